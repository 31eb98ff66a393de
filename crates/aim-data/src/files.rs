//! Where the data lies, and errors that say so.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use aim_core::{Error, Result};

/// How the folder of the data is told.
const REMEDY: &str = "name the folder that holds the data sets with --data-root or AIM_DATA";

/// The folder of the data: the flag `--data-root`, else the environment's `AIM_DATA`.
pub fn root(flag: Option<PathBuf>) -> Option<PathBuf> {
    flag.or_else(|| std::env::var_os("AIM_DATA").filter(|v| !v.is_empty()).map(PathBuf::from))
}

/// The folder of one set below the root.
pub(crate) fn folder(root: Option<&Path>, set: &str) -> Result<PathBuf> {
    let root = root.ok_or_else(|| Error::invalid(format!("data set `{set}`"), "its folder is not known", REMEDY))?;
    existing(root.join(set))
}

/// The path, if there is something there.
pub(crate) fn existing(path: PathBuf) -> Result<PathBuf> {
    if path.exists() { Ok(path) } else { Err(Error::invalid(path.display().to_string(), "does not exist", REMEDY)) }
}

/// Opens a file of a set.
pub(crate) fn open(path: &Path) -> Result<BufReader<File>> {
    existing(path.to_path_buf())?;
    Ok(BufReader::new(File::open(path).map_err(|e| Error::io(path, e))?))
}

/// The whole content of a file.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    open(path)?.read_to_end(&mut out).map_err(|e| Error::io(path, e))?;
    Ok(out)
}

/// Paths of what a folder holds, in the order of their names, without hidden ones.
pub(crate) fn visible(folder: &Path) -> Result<Vec<PathBuf>> {
    let paths = || std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = paths().map_err(|e| Error::io(folder, e))?;
    paths.retain(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')));
    paths.sort();
    Ok(paths)
}

/// An error about a file's content.
pub(crate) fn broken(path: &Path, problem: impl Into<String>) -> Error {
    Error::invalid(path.display().to_string(), problem, "fetch or write the file again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_by_name_without_hidden_files_and_no_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        ["b", ".hidden", "a"].iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
        assert_eq!(visible(folder.path()).unwrap(), ["a", "b"].map(|name| folder.path().join(name)));
        let error = visible(&folder.path().join("a")).unwrap_err().to_string();
        assert!(error.contains(&folder.path().join("a").display().to_string()), "{error}");
    }
}
