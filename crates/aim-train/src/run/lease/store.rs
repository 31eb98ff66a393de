//! What leases ask of a file system.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use aim_core::{Error, Result};

/// What a lease's number stands behind.
pub(super) const NAME: &str = ".lease.";

/// A file system as one machine sees it.
pub(super) trait Store: Send + Sync {
    /// Numbers of the leases in a folder.
    fn list(&self, folder: &Path) -> Result<Vec<u64>>;
    /// The content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Makes a file that is not there; of several machines that try one alone succeeds.
    fn create(&self, path: &Path, content: &[u8]) -> io::Result<()>;
    /// Writes a file over that is there, with content as long as it has.
    fn update(&self, path: &Path, content: &[u8]) -> io::Result<()>;
    /// Takes a file away.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Whether a file is there.
    fn exists(&self, path: &Path) -> io::Result<bool> {
        match self.read(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            read => read.map(|_| true),
        }
    }
}

/// The same where the file system has no links.
fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let written = File::create_new(path)?.write_all(content);
    // Best effort: a lease that is not whole would be waited for.
    written.inspect_err(|_| drop(fs::remove_file(path)))
}

/// The file system as this machine sees it.
pub(super) struct Disk;

impl Store for Disk {
    fn list(&self, folder: &Path) -> Result<Vec<u64>> {
        let entries = fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
        let number = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_prefix(NAME)?.parse().ok();
        Ok(entries.flatten().filter_map(number).collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn create(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        // Whole before it has its name: whoever is killed in between leaves no lease that says nothing and is waited
        // for.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Relaxed));
        let own = path.with_file_name(format!("{NAME}{process}-{count}"));
        fs::write(&own, content).inspect_err(|_| drop(fs::remove_file(&own)))?;
        let linked = fs::hard_link(&own, path);
        drop(fs::remove_file(&own));
        match linked {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => create(path, content),
            linked => linked,
        }
    }

    fn update(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        File::options().write(true).open(path)?.write_all(content)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}
