//! The files of the workspace.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folder of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").components().collect()
}

/// Files with one of these extensions, relative to the workspace's folder, in order; none of build outputs, runs or
/// hidden folders.
pub fn with(extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = vec![];
    collect(&root(), &mut found);
    let wanted = |path: &PathBuf| path.extension().and_then(|e| e.to_str()).is_some_and(|e| extensions.contains(&e));
    let mut all: Vec<PathBuf> = found.into_iter().filter(wanted).collect();
    all.iter_mut().for_each(|path| *path = path.strip_prefix(root()).unwrap_or(path).to_owned());
    all.sort();
    all
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match path.is_dir() {
            true if name.starts_with('.') || ["target", "runs"].contains(&name.as_str()) => {}
            true => collect(&path, found),
            false => found.push(path),
        }
    }
}

/// Text of a file of the workspace; empty if it cannot be read as text.
pub fn text(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}
