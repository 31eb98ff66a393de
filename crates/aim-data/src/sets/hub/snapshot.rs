//! The Parquet files of a data set, from the Hub's cache on this machine or else from the Hub.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};
use hf_hub::{HFClientSync, HFError, HFRepositorySync, HFResult, RepoTypeDataset};

use super::{Hub, unpack::write_whole};
use crate::{
    files::{unfit, visible},
    hub::REMEDY,
    table::Part,
};

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
    /// The set's files, from the cache if it holds all of them, else from the Hub.
    pub fn get(settings: &Hub, client: &HFClientSync) -> Result<Self> {
        let fail = |e: HFError| Error::invalid(format!("data set `{}`", settings.dataset), e.to_string(), REMEDY);
        let (owner, name) = settings.owner_and_name()?;
        let set = client.dataset(owner, name);
        let local = || cached(settings, &set).map_err(fail);
        let folder = local()?;
        let listed = folder.as_ref().map(|folder| read_list(&settings.list(folder))).transpose()?.flatten();
        if let (Some(folder), Some(there)) = (&folder, &listed)
            && let Some(whole) = Self::of(folder, settings.splits(there)?)
        {
            return Ok(whole);
        }
        let info = match (set.info().revision(&settings.revision).send(), folder) {
            (Ok(info), _) => info,
            (Err(e), Some(folder)) if listed.is_none() => {
                return Self::unlisted(settings, folder)?.ok_or_else(|| fail(e));
            }
            (Err(e), _) => return Err(fail(e)),
        };
        let there: Vec<String> = info.siblings.unwrap_or_default().into_iter().map(|file| file.rfilename).collect();
        let splits = settings.splits(&there)?;
        // The last one first: a split whose first file is in the cache is there as a whole, for whom has no list.
        for file in splits.iter().flat_map(|(_, files)| files.iter().rev()) {
            set.download_file().filename(file).revision(&settings.revision).send().map_err(fail)?;
        }
        let missing = || fail(HFError::LocalEntryNotFound { path: settings.dataset.clone() });
        let folder = local()?.ok_or_else(missing)?;
        write_whole(&settings.list(&folder), serde_json::json!(there).to_string().as_bytes())?;
        Self::of(&folder, splits).ok_or_else(missing)
    }

    /// These files in a folder, if it has all of them.
    fn of(folder: &Path, splits: Vec<(Part, Vec<String>)>) -> Option<Self> {
        let paths = |files: Vec<String>| files.iter().map(|file| folder.join(file)).collect();
        let splits: Vec<(Part, Files)> = splits.into_iter().map(|(part, files)| (part, paths(files))).collect();
        let whole = splits.iter().flat_map(|(_, files)| files).all(|file| file.exists());
        whole.then(|| Self { folder: folder.into(), splits })
    }

    /// What another program has put into the cache, where the Hub cannot say what there is: all files of the splits as
    /// far as their names tell.
    fn unlisted(settings: &Hub, folder: PathBuf) -> Result<Option<Self>> {
        let mut there = vec![];
        below(&folder, "", &mut there)?;
        let Ok(splits) = settings.splits(&there) else { return Ok(None) };
        let whole = splits.iter().all(|(_, files)| all_there(files));
        Ok(if whole { Self::of(&folder, splits) } else { None })
    }
}

/// The folder of the set's state in the cache, whatever it holds of it.
fn cached(settings: &Hub, set: &HFRepositorySync<RepoTypeDataset>) -> HFResult<Option<PathBuf>> {
    match set.snapshot_download().revision(&settings.revision).local_files_only(true).send() {
        Ok(folder) => Ok(Some(folder)),
        Err(HFError::LocalEntryNotFound { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

/// What the Hub said that the set holds, if that was kept.
fn read_list(path: &Path) -> Result<Option<Vec<String>>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| unfit(path, e.to_string(), "delete it")),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, e)),
    }
}

/// Whether the files of a split are numbered from 0 without a gap, up to the number that their names give if they do.
fn all_there(files: &[String]) -> bool {
    let shards: Vec<Shard<'_>> = files.iter().filter_map(|file| Shard::of(file)).collect();
    shards.iter().enumerate().all(|(i, shard)| shard.number == i && shard.of.is_none_or(|n| n == shards.len()))
}

/// Names of all files in a folder, as paths below the first one.
fn below(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<()> {
    for path in visible(folder)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            below(&path, &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}

/// A Parquet file, by what its path says.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shard<'a> {
    subset: &'a str,
    split: &'a str,
    /// Its number in the split, from 0.
    number: usize,
    /// How many the split has, where the name says so.
    of: Option<usize>,
    path: &'a str,
}

impl<'a> Shard<'a> {
    /// `SUBSET/SPLIT/0000.parquet`, as the Hub converts sets, `SUBSET/SPLIT-00000-of-00003.parquet`, as they are
    /// pushed, or `SPLIT.parquet`.
    fn of(path: &'a str) -> Option<Self> {
        let (folder, name) = path.strip_suffix(".parquet")?.rsplit_once('/').unwrap_or(("", path));
        let name = name.trim_end_matches(".parquet");
        let (pushed, of) =
            name.split_once("-of-").map_or((None, None), |(name, n)| (name.rsplit_once('-'), n.parse().ok()));
        let (folder, split, number) = match (pushed, name.parse()) {
            (Some((split, number)), _) => (folder, split, number.parse().ok()?),
            (None, Ok(number)) => folder.rsplit_once('/').map(|(folder, split)| (folder, split, number))?,
            (None, Err(_)) => (folder, name, 0),
        };
        Some(Self { subset: folder.rsplit('/').next().unwrap_or(folder), split, number, of, path })
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
        let whole = |files: &[&str]| all_there(&files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>());
        assert!(whole(&["a/train/0.parquet", "a/train/1.parquet"]) && whole(&["train-00000-of-00001.parquet"]));
        for part in
            [&["a/train/1.parquet"][..], &["a/train/0.parquet", "a/train/2.parquet"], &["train-00000-of-00002.parquet"]]
        {
            assert!(!whole(part), "{part:?}");
        }
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
