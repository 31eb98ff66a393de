//! Files that are complete and new, or complete and old, whatever happens; and a lock.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use aim_core::{Error, Result};

use super::lease::{self, Lease, Locked, Taken};

/// Writes a file under another name, waits until it is on the disk and renames it.
///
/// # Errors
/// If that fails; an older file of that name is then still there.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = part(path);
    write_part(&part, path, bytes)?;
    settle(&part, path).map_err(|e| Error::io(path, e))
}

/// What the name of a file ends with until it is whole.
pub(super) const PART: &str = "part";

/// Name of a file until it is whole.
pub(super) fn part(path: &Path) -> PathBuf {
    path.with_added_extension(PART)
}

/// Writes what is to become a file under another name, and waits until it is on the disk.
pub(super) fn write_part(part: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = File::create(part)?;
        file.write_all(bytes)?;
        able(file.sync_all(), part, "cannot be told to bring files to the disk").map(drop)
    };
    write().map_err(|e| {
        // Best effort: what was begun is of no use, and the first error is the one to tell.
        fs::remove_file(part).ok();
        Error::io(path, e)
    })
}

/// Gives a file its name, and waits until the folder's entry is on the disk, too.
pub(super) fn settle(part: &Path, path: &Path) -> std::io::Result<()> {
    fs::rename(part, path)?;
    // Other systems than Unix cannot open a folder for that.
    match path.parent().filter(|_| cfg!(unix)) {
        Some(folder) => {
            let entry = File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
            let synced = entry.and_then(|entry| entry.sync_all());
            able(synced, path, "cannot be told to bring folders to the disk").map(drop)
        }
        None => Ok(()),
    }
}

/// Appends to a file, which readers that hold it open then see grow.
pub(super) fn append(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || File::options().append(true).open(path)?.write_all(bytes);
    write().map_err(|e| Error::io(path, e))
}

/// Makes a file hold these bytes without being another file: what is right at its beginning is left alone. Only for
/// what can be made anew if this is cut short.
pub(super) fn make_hold(path: &Path, bytes: &[u8]) -> Result<()> {
    let old = match fs::read(path) {
        Ok(old) => old,
        Err(e) if e.kind() == ErrorKind::NotFound => return write_atomically(path, bytes),
        Err(e) => return Err(Error::io(path, e)),
    };
    let same = old.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    let write = || {
        let file = File::options().append(true).open(path)?;
        file.set_len(same as u64)?;
        (&file).write_all(&bytes[same..])
    };
    write().map_err(|e| Error::io(path, e))
}

/// What a file system may be unable to do: its result, or `None`, which is told of once, if this one is.
fn able<T>(result: io::Result<T>, path: &Path, what: &'static str) -> io::Result<Option<T>> {
    static TOLD: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    match result {
        Err(e) if cannot(&e) => {
            if let Ok(mut told) = TOLD.lock()
                && !told.contains(&what)
            {
                told.push(what);
                // Best effort: whoever read this may be gone.
                drop(writeln!(io::stderr(), "the file system of {} {what}; it goes on without ({e})", path.display()));
            }
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Whether an error says that the file system does not know the operation, and not that it failed.
fn cannot(error: &io::Error) -> bool {
    /// No locks available (ENOLCK), as on network file systems without their lock server.
    const NO_LOCKS: i32 = if cfg!(target_os = "linux") { 37 } else { 77 };
    /// Operation not supported (ENOTSUP, EOPNOTSUPP) on Linux and elsewhere.
    const NOT_SUPPORTED: [i32; 3] = [95, 45, 102];
    let code = error.raw_os_error();
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput)
        || code.is_some_and(|code| cfg!(unix) && (code == NO_LOCKS || NOT_SUPPORTED.contains(&code)))
}

/// A folder that this process alone works on as long as this value lives.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Goes before the lock of this machine, which tells others that the lease is left.
    lease: Lease,
    _file: File,
}

impl Lock {
    /// Whether it holds; to be asked right before anything is written.
    pub fn check(&self) -> Result<()> {
        self.lease.check()
    }

    /// What no other lock has.
    pub fn token(&self) -> String {
        self.lease.token()
    }
}

/// Locks the folder, unless another process works there, which is then named. Where it is not clear whether that one
/// still does, it is watched for as long as [leases](super::lease) say.
pub(crate) fn lock(path: &Path) -> Result<std::result::Result<Lock, String>> {
    let mut told = false;
    loop {
        match try_lock(path)? {
            Tried::Held(lock) => return Ok(Ok(lock)),
            Tried::Busy(by) => return Ok(Err(by)),
            Tried::Unclear(by) => {
                if !std::mem::replace(&mut told, true) {
                    let folder = path.display();
                    // Best effort: whoever read this may be gone.
                    drop(writeln!(
                        io::stderr(),
                        "{folder}: waits to see whether {by} still works there (2 min at most)"
                    ));
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        }
    }
}

/// What came of trying to lock a folder once.
pub(super) enum Tried {
    /// It is locked.
    Held(Lock),
    /// Another process works there.
    Busy(String),
    /// Another process may work there; try again.
    Unclear(String),
}

/// Locks the folder, if that can be done at once.
pub(super) fn try_lock(path: &Path) -> Result<Tried> {
    let file = path.join(".lock");
    let lock = File::create(&file).map_err(|e| Error::io(&file, e))?;
    let locked = match lock.try_lock() {
        Ok(()) => Locked::Here,
        Err(fs::TryLockError::WouldBlock) => Locked::Elsewhere,
        Err(fs::TryLockError::Error(e)) => {
            let what = "has no locks, so that a process that was killed is waited for";
            able::<()>(Err(e), &file, what).map_err(|e| Error::io(&file, e))?;
            Locked::Never
        }
    };
    Ok(match lease::take(path, locked)? {
        Taken::Held(lease) => Tried::Held(Lock { lease, _file: lock }),
        Taken::Busy(by) => Tried::Busy(by),
        Taken::Unclear(by) => Tried::Unclear(by),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_system_cannot_do_is_told_apart_from_what_failed() {
        for code in [38, 95, 37, 22] {
            let error = || io::Error::from_raw_os_error(code);
            assert!(able::<()>(Err(error()), Path::new("x"), "cannot").unwrap().is_none(), "{}", error());
        }
        // No space left, an error of the disk, no permission, a file system that is read-only.
        for code in [28, 5, 13, 30] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(able::<()>(Err(error), Path::new("x"), "cannot").unwrap_err().raw_os_error(), Some(code));
        }
    }

    #[test]
    fn a_file_that_is_made_to_hold_something_stays_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        make_hold(&path, b"one\ntwo\n").unwrap();
        let mut reader = File::open(&path).unwrap();
        append(&path, b"three\n").unwrap();
        for bytes in [&b"one\ntwo\nthree\n"[..], b"one\ntwo\n", b"one\nzwei\n", b""] {
            make_hold(&path, bytes).unwrap();
            let mut seen = Vec::new();
            io::Seek::rewind(&mut reader).unwrap();
            io::Read::read_to_end(&mut reader, &mut seen).unwrap();
            assert_eq!(seen, bytes);
        }
    }
}
