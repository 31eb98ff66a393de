//! The ledger of a table: its finished runs as one small file, without weights and predictions, so that nothing need be
//! made again on another machine.
//!
//! A gzipped file with a line of JSON for the whole and one for each run. gzip's checksum covers all of it, and each
//! run's key its configuration.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    declared::{Declaration, declarations},
    place::keyed,
    results::{RunResults, TestSplit},
};
use crate::{
    Registries,
    config::Identity,
    run::{Folder, Outcome, write_atomically},
};

/// Version of the file that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// Most bytes of an unpacked ledger; a run takes a few thousand.
const MOST: u64 = 1 << 30;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    ledger: u32,
    table: String,
    runs: usize,
    /// What was planned.
    declared: Vec<Declaration>,
}

/// A run's line.
#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    /// As in the run's `config.yaml`.
    identity: Value,
    outcome: Outcome,
    seconds: Vec<f64>,
    test: TestSplit,
}

impl Line {
    /// Name, key and seed, which no two runs share and the file is in the order of.
    fn place(&self) -> (String, String, u64) {
        let name = self.identity["name"].as_str().unwrap_or_default().to_owned();
        (name, self.key.clone(), self.identity["seed"].as_u64().unwrap_or_default())
    }
}

/// A run with what makes it the run it is.
struct Kept {
    identity: Identity,
    line: Line,
}

/// Finished runs of a table.
pub struct Ledger {
    path: PathBuf,
    runs: Vec<Kept>,
    /// What was planned.
    pub(super) declared: Vec<Declaration>,
}

impl Ledger {
    /// The file of a table in a folder of ledgers.
    pub fn path(folder: &Path, table: &str) -> PathBuf {
        folder.join(format!("{table}.jsonl.gz"))
    }

    /// Writes the finished runs that lie in a table's folder into a folder of ledgers, trials and pilots included; the
    /// file and the number of its runs. What the file holds of other runs stays in it. A run that cannot be read is
    /// told of and left out. The same runs give the same bytes.
    ///
    /// # Errors
    /// If there is no table there, the file is damaged or of a newer program, or it cannot be written.
    pub fn write(table: &Path, into: &Path, registries: &Registries, tell: &dyn Fn(&str)) -> Result<(PathBuf, usize)> {
        let name = table.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !table.join("results.jsonl").exists() {
            let remedy = "make the table first, and name its folder: runs/synth-av";
            return Err(Error::invalid(table.display().to_string(), "has no results.jsonl", remedy));
        }
        let path = Self::path(into, name);
        let (mut declared, mut lines) = (declarations(table)?, BTreeMap::new());
        if let Some((head, kept)) = contents(&path, name)? {
            declared = Declaration::joined(head.declared, declared);
            lines.extend(kept.into_iter().map(|line| (line.place(), line)));
        }
        for folder in runs(table) {
            match line(&folder, registries) {
                Ok(line) => lines.extend(line.map(|line| (line.place(), line))),
                Err(error) => tell(&format!("{} is left out: {error}", folder.display())),
            }
        }
        let mut text = json(&Head { ledger: VERSION, table: name.to_owned(), runs: lines.len(), declared })?;
        for line in lines.values() {
            text += &json(line)?;
        }
        fs::create_dir_all(into).map_err(|e| Error::io(into, e))?;
        write_atomically(&path, &pressed(&text).map_err(|e| Error::io(&path, e))?)?;
        Ok((path, lines.len()))
    }

    /// Reads the ledger of a table; none if the folder holds none.
    ///
    /// # Errors
    /// If there is no such folder, or the ledger is damaged, of another table or of a newer program.
    pub fn read(folder: &Path, table: &str, registries: &Registries) -> Result<Option<Self>> {
        if !folder.is_dir() {
            let remedy = "name the folder of the ledgers, or leave --ledger out";
            return Err(Error::invalid(folder.display().to_string(), "is no folder", remedy));
        }
        let path = Self::path(folder, table);
        let Some((Head { declared, .. }, lines)) = contents(&path, table)? else { return Ok(None) };
        // What this program cannot understand, it cannot want either.
        let kept =
            |line: Line| Some(Kept { identity: Identity::parse(&line.identity.to_string(), registries).ok()?, line });
        Ok(Some(Self { runs: lines.into_iter().filter_map(kept).collect(), declared, path }))
    }

    /// The run of this configuration, data, seed and these revisions, if it is there.
    pub fn find(&self, wanted: &Identity) -> Option<RunResults> {
        let same = |kept: &&Kept| {
            let found = &kept.identity;
            found.seed == wanted.seed && found.revisions == wanted.revisions && found.is_like(wanted)
        };
        let Line { outcome, seconds, test, .. } = &self.runs.iter().find(same)?.line;
        Some(RunResults {
            config: wanted.config.clone(),
            outcome: outcome.clone(),
            log: Vec::new(),
            seconds: seconds.clone(),
            answers: Vec::new(),
            fold: None,
            test: *test,
            data_crc32: wanted.data_crc32,
            projection: None,
            class_names: Vec::new(),
            folder: None,
        })
    }

    /// Number of runs with these seeds.
    pub(super) fn runs_of(&self, seeds: std::ops::Range<u64>) -> usize {
        self.runs.iter().filter(|kept| seeds.contains(&kept.identity.seed)).count()
    }

    /// What it holds, in words.
    pub fn summary(&self) -> String {
        format!("ledger {}: {} runs, which are not made again", self.path.display(), self.runs.len())
    }

    /// Seconds of the epochs of runs of this name.
    pub(super) fn seconds<'a>(&'a self, row: &'a str) -> impl Iterator<Item = &'a f64> {
        let of_row = move |kept: &&Kept| kept.identity.config.name == row;
        self.runs.iter().filter(of_row).flat_map(|kept| &kept.line.seconds)
    }
}

/// What a table's ledger holds; none if there is no such file.
fn contents(path: &Path, table: &str) -> Result<Option<(Head, Vec<Line>)>> {
    let bytes = match fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|e| Error::io(path, e))?,
    };
    let wrong = |problem: String, remedy: &str| Error::invalid(path.display().to_string(), problem, remedy);
    let damaged =
        |how: String| wrong(format!("is damaged ({how})"), "restore the file; without it its runs are trained anew");
    let mut text = String::new();
    let packed = MultiGzDecoder::new(&*bytes).take(MOST + 1).read_to_string(&mut text);
    packed.map_err(|e| damaged(e.to_string()))?;
    if text.len() as u64 > MOST {
        return Err(damaged("unpacked it takes more than 1 GiB".into()));
    }
    let mut lines = text.lines();
    let head: Head = parsed(lines.next().unwrap_or_default()).map_err(&damaged)?;
    if head.ledger > VERSION {
        let problem = format!("has version {}, this program knows versions up to {VERSION}", head.ledger);
        return Err(wrong(problem, "use the newer program that wrote it"));
    }
    if head.table != table {
        return Err(wrong(format!("is the ledger of `{}`", head.table), "give it back its name"));
    }
    let lines = lines.map(parsed).collect::<std::result::Result<Vec<Line>, _>>().map_err(&damaged)?;
    let keyed = |line: &Line| Identity::key_of(line.identity.clone()).as_ref() == Some(&line.key);
    if lines.len() != head.runs || !lines.iter().all(keyed) {
        return Err(damaged("runs are missing, or are not those of their keys".into()));
    }
    Ok(Some((head, lines)))
}

/// Folders of the runs in a table's folder, in order.
fn runs(table: &Path) -> Vec<PathBuf> {
    let below = |folder: &Path| {
        let mut all: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        all.sort();
        all
    };
    let rows = below(table).into_iter().filter(|path| keyed(path).is_some());
    rows.flat_map(|row| below(&row)).filter(|run| run.join("result.json").exists()).collect()
}

/// The line of a run; none if it is not done.
fn line(folder: &Path, registries: &Registries) -> Result<Option<Line>> {
    let identity = Identity::load(folder, registries)?;
    let opened = Folder::open(folder, &identity, registries)?;
    let Some(run) = RunResults::read(&opened, &identity.config)? else { return Ok(None) };
    let RunResults { outcome, seconds, test, .. } = run;
    let value = identity.to_value()?;
    let key = Identity::key_of(value.clone()).unwrap_or_default();
    Ok(Some(Line { key, identity: value, outcome, seconds, test }))
}

fn json(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(value).map(|text| text + "\n");
    text.map_err(|e| Error::invalid("ledger", e.to_string(), "report this fault with the command that met it"))
}

fn parsed<T: DeserializeOwned>(line: &str) -> std::result::Result<T, String> {
    serde_json::from_str(line).map_err(|e| e.to_string())
}

fn pressed(text: &str) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()
}
