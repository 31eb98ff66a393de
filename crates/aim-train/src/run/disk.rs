//! Files that are complete and new, or complete and old, whatever happens; and a lock.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};

/// Writes a file under another name, waits until it is on the disk and renames it.
///
/// # Errors
/// If that fails; an older file of that name is then still there.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_part(path, bytes)?;
    settle(&part(path), path).map_err(|e| Error::io(path, e))
}

/// Writes what is to become a file, and waits until it is on the disk.
pub(super) fn write_part(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = part(path);
    let write = || {
        let mut file = File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| {
        // Best effort: what was begun is of no use, and the first error is the one to tell.
        fs::remove_file(&part).ok();
        Error::io(path, e)
    })
}

/// Gives a file its name, and waits until the folder's entry is on the disk, too.
pub(super) fn settle(part: &Path, path: &Path) -> std::io::Result<()> {
    fs::rename(part, path)?;
    // Other systems than Unix cannot open a folder for that.
    match path.parent().filter(|_| cfg!(unix)) {
        Some(folder) => File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?.sync_all(),
        None => Ok(()),
    }
}

/// Name of a file until it is whole.
pub(super) fn part(path: &Path) -> PathBuf {
    path.with_added_extension("part")
}

/// Locks the folder, if it is not locked; the lock goes with the process, so a killed one leaves none behind.
pub(crate) fn lock(path: &Path) -> Result<Option<File>> {
    let file = path.join(".lock");
    let lock = File::create(&file).map_err(|e| Error::io(&file, e))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(e)) => Err(Error::io(file, e)),
    }
}
