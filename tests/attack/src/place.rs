//! Folders of a thread's own, for readers that take paths.

use std::{cell::RefCell, collections::BTreeMap, path::Path};

use tempfile::TempDir;

thread_local! {
    static FOLDERS: RefCell<BTreeMap<&'static str, TempDir>> = const { RefCell::new(BTreeMap::new()) };
}

/// Lends the thread's folder of this name, which is made by `make` the first time and kept as it is left.
///
/// # Panics
/// If there is no room for it.
pub(crate) fn within<T>(name: &'static str, make: impl FnOnce(&Path), then: impl FnOnce(&Path) -> T) -> T {
    // Taken out while it is in use, so that a panic drops what it may have left in any state.
    let folder = FOLDERS.with_borrow_mut(|all| all.remove(name)).unwrap_or_else(|| {
        let folder = tempfile::Builder::new().prefix("attack").tempdir().expect("a temporary folder");
        make(folder.path());
        folder
    });
    let out = then(folder.path());
    FOLDERS.with_borrow_mut(|all| all.insert(name, folder));
    out
}

/// Writes a file of an input.
///
/// # Panics
/// If it cannot be written.
pub(crate) fn put(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("room for a file");
}
