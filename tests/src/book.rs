//! The documentation as tests read it: its files, and the blocks of code in them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folder of the workspace.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A block of code in a page.
pub struct Block {
    /// File and line, as errors name them.
    pub place: String,
    /// What is in it.
    pub text: String,
}

/// The pages in the root, in `docs/` (the book's among them) and in `benches/`, relative to the workspace's folder.
pub fn pages() -> Vec<PathBuf> {
    let mut found = vec![];
    for (folder, deep) in [("", false), ("docs", true), ("benches", false)] {
        collect(Path::new(folder), deep, &mut found);
    }
    found.sort();
    found
}

fn collect(folder: &Path, deep: bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
        let path = folder.join(entry.unwrap().file_name());
        if deep && Path::new(ROOT).join(&path).is_dir() {
            collect(&path, deep, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// Text of a file of the workspace.
pub fn text(path: &Path) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every block of code in this language.
pub fn blocks(language: &str) -> Vec<Block> {
    let fence = format!("```{language}");
    let mut found = vec![];
    for path in pages() {
        let text = text(&path);
        let mut lines = text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            if line.starts_with("```") {
                let body: Vec<&str> = lines.by_ref().map(|(_, l)| l).take_while(|l| !l.starts_with("```")).collect();
                let place = format!("{}:{}", path.display(), at + 1);
                found.extend((line == fence).then(|| Block { place, text: body.join("\n") }));
            }
        }
    }
    found
}
