//! The Parquet files of a data set, from the Hub's cache on this machine or else from the Hub.

use std::path::{Path, PathBuf};

use aim_core::{Error, Result};
use hf_hub::{HFClientSync, HFError, HFRepositorySync, HFResult, RepoTypeDataset};

use super::Hub;
use crate::{files::visible, hub::REMEDY, table::Part};

/// The files of a split, in their order.
pub(super) type Files = Vec<PathBuf>;

/// One state of a data set.
pub(super) struct Snapshot {
    /// Its folder in the cache, named by the commit.
    pub folder: PathBuf,
    /// Its splits with their files.
    pub splits: Vec<(Part, Files)>,
}

impl Snapshot {
    /// What the cache holds of the set, else what the Hub has, which is then fetched.
    pub fn get(settings: &Hub, client: &HFClientSync) -> Result<Self> {
        let fail = |e: HFError| Error::invalid(format!("data set `{}`", settings.dataset), e.to_string(), REMEDY);
        let (owner, name) = settings.owner_and_name()?;
        let set = client.dataset(owner, name);
        if let Some(cached) = Self::cached(settings, &set).map_err(fail)? {
            return Ok(cached);
        }
        let info = set.info().revision(&settings.revision).send().map_err(fail)?;
        let there: Vec<String> = info.siblings.unwrap_or_default().into_iter().map(|file| file.rfilename).collect();
        for (_, files) in settings.splits(&there)? {
            // The last one first, so that a split whose first file is in the cache is there as a whole.
            for file in files.iter().rev() {
                set.download_file().filename(file).revision(&settings.revision).send().map_err(fail)?;
            }
        }
        let cached = Self::cached(settings, &set).map_err(fail)?;
        cached.ok_or_else(|| fail(HFError::LocalEntryNotFound { path: settings.dataset.clone() }))
    }

    /// The set in the cache, if its splits are there.
    fn cached(settings: &Hub, set: &HFRepositorySync<RepoTypeDataset>) -> HFResult<Option<Self>> {
        let local = set.snapshot_download().revision(&settings.revision).local_files_only(true).send();
        let folder = match local {
            Ok(folder) => folder,
            Err(HFError::LocalEntryNotFound { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut there = vec![];
        below(&folder, "", &mut there);
        let Ok(splits) = settings.splits(&there) else { return Ok(None) };
        let first =
            |files: &[String]| files.first().and_then(|file| Shard::of(file)).is_some_and(|one| one.number == 0);
        let whole = splits.iter().all(|(_, files)| first(files));
        let paths = |files: Vec<String>| files.iter().map(|file| folder.join(file)).collect();
        let splits = splits.into_iter().map(|(part, files)| (part, paths(files))).collect();
        Ok(whole.then_some(Self { folder, splits }))
    }
}

/// Names of all files in a folder, as paths below the first one.
fn below(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    for path in visible(folder).unwrap_or_default() {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let name = format!("{prefix}{name}");
        if path.is_dir() { below(&path, &format!("{name}/"), names) } else { names.push(name) }
    }
}

/// A Parquet file, by what its path says.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shard<'a> {
    subset: &'a str,
    split: &'a str,
    /// Its number in the split, from 0.
    number: usize,
    path: &'a str,
}

impl<'a> Shard<'a> {
    /// `SUBSET/SPLIT/0000.parquet`, as the Hub converts sets, `SUBSET/SPLIT-00000-of-00003.parquet`, as they are
    /// pushed, or `SPLIT.parquet`.
    fn of(path: &'a str) -> Option<Self> {
        let (folder, name) = path.strip_suffix(".parquet")?.rsplit_once('/').unwrap_or(("", path));
        let name = name.trim_end_matches(".parquet");
        let pushed = name.split_once("-of-").and_then(|(name, _)| name.rsplit_once('-'));
        let (folder, split, number) = match (pushed, name.parse()) {
            (Some((split, number)), _) => (folder, split, number.parse().ok()?),
            (None, Ok(number)) => folder.rsplit_once('/').map(|(folder, split)| (folder, split, number))?,
            (None, Err(_)) => (folder, name, 0),
        };
        Some(Self { subset: folder.rsplit('/').next().unwrap_or(folder), split, number, path })
    }
}

impl Hub {
    /// The files of each split among these; validation may be missing.
    fn splits(&self, there: &[String]) -> Result<Vec<(Part, Vec<String>)>> {
        let mut shards: Vec<Shard<'_>> = there.iter().filter_map(|path| Shard::of(path)).collect();
        shards.sort();
        let subset = self.chosen(&shards)?;
        shards.retain(|shard| shard.subset == subset);
        let mut splits = vec![];
        for (part, key, name) in [
            (Part::Train, "train", &self.train),
            (Part::Validation, "validation", &self.validation),
            (Part::Test, "test", &self.test),
        ] {
            let own = shards.iter().filter(|shard| shard.split == name).map(|shard| shard.path.to_owned());
            let files: Vec<String> = own.collect();
            if !files.is_empty() {
                splits.push((part, files));
            } else if part != Part::Validation {
                let mut have: Vec<&str> = shards.iter().map(|shard| shard.split).collect();
                have.dedup();
                let have = if have.is_empty() { "no file".into() } else { have.join(", ") };
                let problem = format!("`{}` has no split `{name}` in Parquet, only {have}", self.dataset);
                return Err(Error::invalid(format!("data.{key}"), problem, "name one that it has"));
            }
        }
        Ok(splits)
    }

    /// The subset that is read.
    fn chosen<'a>(&'a self, shards: &[Shard<'a>]) -> Result<&'a str> {
        let mut subsets: Vec<&str> = shards.iter().map(|shard| shard.subset).collect();
        subsets.dedup();
        let wrong = |problem: String| Err(Error::invalid("data.subset", problem, "name one of them"));
        match (&self.subset, &subsets[..]) {
            (Some(subset), have) if have.contains(&subset.as_str()) => Ok(subset),
            (Some(subset), have) => wrong(format!("`{subset}` is none of the set's, {}", have.join(", "))),
            (None, [] | [_]) => Ok(subsets.first().copied().unwrap_or_default()),
            (None, many) => wrong(format!("is not given, and the set has {}", many.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splits(hub: &Hub, paths: &[&str]) -> Result<Vec<(Part, Vec<String>)>, String> {
        hub.splits(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>()).map_err(|e| e.to_string())
    }

    #[test]
    fn paths_say_subset_split_and_number() {
        let of = |path| Shard::of(path).map(|shard| (shard.subset, shard.split, shard.number));
        assert_eq!(of("plain/train/0012.parquet"), Some(("plain", "train", 12)));
        assert_eq!(of("data/dev-clean-00001-of-00003.parquet"), Some(("data", "dev-clean", 1)));
        assert_eq!(of("test-00000-of-00001.parquet"), Some(("", "test", 0)));
        assert_eq!(of("train.parquet"), Some(("", "train", 0)));
        assert_eq!(of("README.md"), None);
        assert_eq!(of("0000.parquet"), None);
    }

    #[test]
    fn files_are_in_the_order_of_their_numbers_and_a_set_may_have_no_validation_split() {
        let paths = ["a/train/10.parquet", "a/train/2.parquet", "a/test/0.parquet", "a/extra/0.parquet", "x.txt"];
        let [train, test] = splits(&Hub::default(), &paths).unwrap().try_into().unwrap();
        assert_eq!(train, (Part::Train, vec!["a/train/2.parquet".into(), "a/train/10.parquet".into()]));
        assert_eq!(test, (Part::Test, vec!["a/test/0.parquet".into()]));
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let two = ["a/train/0.parquet", "a/test/0.parquet", "b/train/0.parquet", "b/test/0.parquet"];
        assert!(
            splits(&Hub::default(), &two).unwrap_err().contains("data.subset: is not given, and the set has a, b;")
        );
        let hub = |subset: &str, test: &str| Hub { subset: Some(subset.into()), test: test.into(), ..Hub::default() };
        assert_eq!(splits(&hub("b", "test"), &two).unwrap()[0].1, ["b/train/0.parquet"]);
        assert!(splits(&hub("c", "test"), &two).unwrap_err().contains("`c` is none of the set's, a, b"));
        let error = splits(&hub("a", "final"), &two).unwrap_err();
        assert!(error.starts_with("data.test: `") && error.contains("no split `final` in Parquet, only test, train"));
    }
}
