//! Where runs lie: folders are found by what their runs are, so that what an older program has made is not made again.

use std::path::{Path, PathBuf};

use aim_core::Result;

use crate::{Registries, config::Identity};

/// The folder of a row's runs.
pub(super) struct Place {
    /// The folder, one below which each seed has.
    pub folder: PathBuf,
    /// What ends its name.
    pub key: String,
    /// Methods whose numbers have changed since runs of this row were made, in words, if there are no others.
    pub outdated: Option<String>,
}

/// The place of runs of this name under a folder: that of its key, or else one in which an older program has made the
/// same runs.
///
/// # Errors
/// If the configuration cannot be written.
pub(super) fn place(under: &Path, name: &str, identity: &Identity, registries: &Registries) -> Result<Place> {
    let key = identity.key()?;
    let folder = under.join(format!("{name}.{key}"));
    let mut own = Place { folder, key, outdated: None };
    if own.folder.exists() {
        return Ok(own);
    }
    for (folder, key) in siblings(under, name) {
        let Some(found) = stored(&folder, registries).filter(|found| found.is_like(identity)) else { continue };
        if found.revisions == identity.revisions {
            return Ok(Place { folder, key, outdated: None });
        }
        own.outdated = Some(changed(&found, identity));
    }
    Ok(own)
}

/// Name and key of a folder of runs; none for another.
pub(super) fn keyed(path: &Path) -> Option<(&str, &str)> {
    let (name, key) = path.file_name()?.to_str()?.rsplit_once('.')?;
    (key.len() == 8 && key.bytes().all(|b| b.is_ascii_hexdigit())).then_some((name, key))
}

/// Folders of that name with a key of eight digits behind it, in the order of their keys.
fn siblings(under: &Path, name: &str) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(under).into_iter().flatten().flatten();
    let of_name = |path: PathBuf| {
        let key = keyed(&path).filter(|(own, _)| *own == name)?.1.to_owned();
        Some((path, key))
    };
    let mut all: Vec<_> = entries.filter_map(|entry| of_name(entry.path())).collect();
    all.sort_by(|a, b| a.1.cmp(&b.1));
    all
}

/// What a seed's folder says that the runs are, if one can be understood.
fn stored(folder: &Path, registries: &Registries) -> Option<Identity> {
    let seeds = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    seeds.filter(|path| path.join("config.yaml").exists()).find_map(|path| Identity::load(&path, registries).ok())
}

/// The methods whose revisions differ.
fn changed(found: &Identity, now: &Identity) -> String {
    let differ = now.revisions.iter().filter(|(name, revision)| found.revisions.get(*name) != Some(revision));
    let say = |(name, revision): (&String, &u32)| {
        // The first revision of a preparation goes without saying.
        let old = found.revisions.get(name).copied().unwrap_or(1);
        format!("revision {old} of `{name}`, which is now at revision {revision}")
    };
    differ.map(say).collect::<Vec<_>>().join(" and ")
}
