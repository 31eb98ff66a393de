//! Where the data lies, and errors that say so.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use aim_core::{Error, Result};

/// How the folder of the data is told.
const REMEDY: &str = "name the folder that holds the data sets with --data-root or AIM_DATA";

/// What a relative path counts from.
const PATHS: &str = "check the path: it counts from --data-root (or AIM_DATA) if that is given, else from the folder that you are in, \
                     and in a manifest from the manifest's own folder";

/// The folder of the data: the flag `--data-root`, else the environment's `AIM_DATA`.
pub fn root(flag: Option<PathBuf>) -> Option<PathBuf> {
    flag.or_else(|| std::env::var_os("AIM_DATA").filter(|v| !v.is_empty()).map(PathBuf::from))
}

/// The folder of one set below the root.
pub(crate) fn folder(root: Option<&Path>, set: &str) -> Result<PathBuf> {
    let root = root.ok_or_else(|| Error::invalid(format!("data set `{set}`"), "its folder is not known", REMEDY))?;
    there(root.join(set), REMEDY)
}

/// The path, if there is something there.
pub(crate) fn existing(path: PathBuf) -> Result<PathBuf> {
    there(path, PATHS)
}

fn there(path: PathBuf, remedy: &str) -> Result<PathBuf> {
    if path.exists() { Ok(path) } else { Err(Error::invalid(path.display().to_string(), "does not exist", remedy)) }
}

/// Opens a file of a set; what often stands in a file's place is refused by its name.
pub(crate) fn open(path: &Path) -> Result<BufReader<File>> {
    existing(path.to_path_buf())?;
    let failed = |e| Error::io(path, e);
    if std::fs::metadata(path).map_err(failed)?.is_dir() {
        return Err(unfit(path, "is a folder", "give the path of a file"));
    }
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    match stand_in(file.fill_buf().map_err(failed)?) {
        Some((problem, remedy)) => Err(unfit(path, problem, remedy)),
        None => Ok(file),
    }
}

/// What stands in place of a file that begins with these bytes, and what to do.
fn stand_in(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let text = String::from_utf8_lossy(&head[..head.len().min(512)]).to_ascii_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let page = ["<!doctype html", "<html", "<?xml"].iter().any(|start| text.starts_with(start));
    match head {
        [] => Some(("is empty (0 bytes)", "fetch or write the file again")),
        [0, 5, 0x16, 7, ..] => Some(("is what macOS keeps beside a file (`._`)", "name the file itself")),
        _ if text.starts_with("version https://git-lfs") => {
            Some(("is a Git LFS pointer, not the file itself", "fetch the file with `git lfs pull`"))
        }
        _ if page => Some(("is a web page", "fetch the file again: the download was answered by a page")),
        _ => None,
    }
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

/// An error about a file's content that only another file mends.
pub(crate) fn broken(path: &Path, problem: impl Into<String>) -> Error {
    unfit(path, problem, "fetch or write the file again")
}

/// An error about a file that may well be whole, with what to do.
pub(crate) fn unfit(path: &Path, problem: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::invalid(path.display().to_string(), problem, remedy)
}

/// Checks what is counted of a public set, whose size is known: fewer or more would be another set under its name.
pub(crate) fn counted(path: &Path, found: usize, known: usize, what: &str) -> Result<()> {
    if found == known {
        return Ok(());
    }
    let problem = format!("holds {found} {what}, but the set has {known}");
    Err(unfit(path, problem, "fetch the set again, and leave its files as they are"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_place_of_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for (bytes, message) in [
            (&b""[..], "is empty (0 bytes); fetch or write"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
            (b"\xef\xbb\xbf\n <!DOCTYPE HTML><html>", "is a web page"),
            (b"<HTML>", "is a web page"),
            (b"<?xml version='1.0'?><Error>", "is a web page"),
            (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", "macOS"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = bytes_of(&path);
            assert!(error.contains(message) && error.starts_with(&path.display().to_string()), "{error}");
        }
        std::fs::write(&path, "1,2\n").unwrap();
        assert_eq!(bytes(&path).unwrap(), b"1,2\n");
        assert!(bytes_of(folder.path()).contains("is a folder; give the path of a file"));
    }

    fn bytes_of(path: &Path) -> String {
        bytes(path).unwrap_err().to_string()
    }

    #[test]
    fn a_folder_is_listed_by_name_without_hidden_files_and_no_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        ["b", ".hidden", "a"].iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
        assert_eq!(visible(folder.path()).unwrap(), ["a", "b"].map(|name| folder.path().join(name)));
        let error = visible(&folder.path().join("a")).unwrap_err().to_string();
        assert!(error.contains(&folder.path().join("a").display().to_string()), "{error}");
    }
}
