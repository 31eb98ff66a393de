//! Prepared sets that are read sample by sample: the same data as their files, within a limit of memory.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fmt::Write, fs, ops::ControlFlow::Continue, path::Path};

use aim_data::{Dataset, DatasetSpec, Loader, PrepareOptions, Reading, Source, builtin, load, load_by, prepare};
use candle_core::Device;
use serde_json::json;

const SAMPLES: usize = 60;
/// Numbers of a series: a MiB holds 16 of them.
const SIZE: usize = 16_000;

/// A set of series of different lengths and words, in which some samples lack one or the other.
fn write(folder: &Path) {
    let mut rows = String::from("id,split,label,track,words,group\n");
    for k in 0..SAMPLES {
        let split = ["train", "train", "validation", "test"][k % 4];
        let line = (0..SIZE / 4).map(|i| format!("{}", (i * (k + 1)) % 17)).collect::<Vec<_>>().join(",") + "\n";
        fs::write(folder.join(format!("{k}.csv")), line.repeat(1 + k % 4)).unwrap();
        let track = if k == 8 { String::new() } else { format!("{k}.csv") };
        let words = if k == 9 { "" } else { "so it goes" };
        writeln!(rows, "s{k},{split},{},{track},{words},g{}", k % 3, k % 4 + k / 30 * 4).unwrap();
    }
    fs::write(folder.join("set.csv"), rows).unwrap();
}

fn spec(folder: &Path, memory: f64) -> DatasetSpec {
    let series = json!({"length": 4, "columns": SIZE / 4, "header": false});
    let section = json!({
        "name": "manifest", "file": folder.join("set.csv"), "memory": memory,
        "modalities": {
            "track": {"series": series, "standardise": "whole"},
            "words": {"text": {"length": 4, "at_least": 1}},
        },
    });
    builtin().read(&section, "data").unwrap()
}

fn set(folder: &Path, memory: f64, prepared: bool) -> Dataset {
    let spec = spec(folder, memory);
    if prepared {
        prepare(&spec, None, &PrepareOptions { only_estimate: false, told: &|_| Ok(()), progress: &|_| Ok(()) })
            .unwrap();
    }
    load(&spec, None).unwrap()
}

fn digest(set: &Dataset) -> Vec<u8> {
    let mut all = vec![];
    [&set.train, &set.validation, &set.test].iter().for_each(|s| s.digest(&mut |b| all.extend_from_slice(b)).unwrap());
    all
}

type Seen = Vec<(Vec<usize>, Vec<f32>, Vec<f32>)>;

/// Indices, values and valid positions of a split's batches in an epoch.
fn epoch(split: &dyn Source) -> Seen {
    let mut seen = vec![];
    let numbers = |t: &candle_core::Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let batches = Loader::new(split, 7, &Device::Cpu).epoch(0, 0);
    batches
        .visit(|batch| {
            let valid = batch.inputs[0].valid.as_ref().map(&numbers).unwrap();
            seen.push((batch.ids, numbers(&batch.inputs[0].values), valid));
            Ok(Continue(()))
        })
        .unwrap();
    seen
}

#[test]
fn a_prepared_set_is_the_data_of_its_files_whatever_is_kept_of_it() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let raw = set(folder.path(), 4., false);
    let (want, valid) = (digest(&raw), epoch(&*raw.train));
    assert!(valid.iter().any(|(_, _, valid)| valid.contains(&0.)) && raw.train.reading().workers() == 0);
    assert_eq!((raw.train.groups()[..3].to_vec(), raw.test.groups()[0]), (vec![0, 1, 0], 3));
    for (memory, workers) in [(0, 0), (1, 0), (1, 4), (100, 1)] {
        let prepared = set(folder.path(), 4., true);
        assert!(digest(&prepared) == want, "the values stand for it");
        assert_eq!(prepared.train.groups(), raw.train.groups());
        let reading = Reading::new(memory, workers);
        prepared.read_by(&reading);
        assert_eq!(prepared.train.reading().workers(), workers);
        for split in [&prepared.train, &prepared.train, &prepared.test] {
            let raw = if split.len() == raw.test.len() { &raw.test } else { &raw.train };
            assert!(epoch(&**split) == epoch(&**raw), "{memory} MiB, {workers} workers");
        }
        // A MiB has room for 16 of the 44 series that were read, 100 MiB for all.
        let bytes = 4 * SIZE;
        let left = (memory << 20) - [0, 16, 44][memory.min(2)] * bytes;
        assert!(!reading.take(left + 1) && reading.take(left.saturating_sub(10 * bytes)), "{memory} MiB: {left}");
        reading.give(left.saturating_sub(10 * bytes));
        drop(prepared);
        assert!(reading.take(memory << 20), "what stayed is given back");
    }
}

#[test]
fn a_set_that_does_not_fit_is_told_by_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let fits = set(folder.path(), 4., true);
    // 60 samples of 64 kB take 0.0036 GiB.
    let [small, again] = [0.001, 0.002].map(|memory| set(folder.path(), memory, true));
    assert!(digest(&small) == digest(&again) && digest(&small) != digest(&fits));
    let lacks = small.train.ids().iter().position(|id| id == "s8").unwrap();
    let zeros = small.train.input(0, &[lacks], &Device::Cpu).unwrap().values.flatten_all().unwrap();
    assert_eq!(zeros.to_vec1::<f32>().unwrap(), vec![0.; SIZE]);
    assert!(epoch(&*small.validation) == epoch(&*fits.validation));
}

#[test]
fn raw_files_beyond_what_reading_may_use_are_decoded_on_demand_and_the_same_data() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let raw = set(folder.path(), 4., false);
    for (memory, workers) in [(0, 0), (1, 4), (3, 2)] {
        let reading = Reading::new(memory, workers);
        let (few, _) = load_by(&spec(folder.path(), 4.), None, &reading).unwrap();
        assert!(digest(&few) == digest(&raw), "{memory} MiB");
        assert_eq!((few.train.reading().workers(), few.test.groups()), (workers, raw.test.groups()));
        assert!(epoch(&*few.train) == epoch(&*raw.train) && epoch(&*few.test) == epoch(&*raw.test));
        // What was read stays as far as it goes: another record does not fit, and all is given back.
        assert!(!reading.take((memory << 20) + 1) && !reading.take(memory << 20) | (memory == 0));
        drop(few);
        assert!(reading.take(memory << 20));
    }
    // All 60 series take 3.7 MiB, and so are in memory at once.
    let (whole, _) = load_by(&spec(folder.path(), 4.), None, &Reading::new(4, 2)).unwrap();
    assert!(digest(&whole) == digest(&raw) && whole.train.reading().workers() == 0);
}

#[test]
fn copies_of_another_split_are_refused_wherever_samples_are_read_from() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    // Every test row has the content of the training row two lines above.
    let rows = fs::read_to_string(folder.path().join("set.csv")).unwrap();
    let copied = |line: &str| match line.split(',').collect::<Vec<_>>()[..] {
        [id, "test", label, path, words, group] => {
            let of = path.trim_end_matches(".csv").parse::<usize>().unwrap() - 2;
            let words = if of == 9 { "" } else { words };
            format!("{id},test,{label},{of}.csv,{words},{group}\n")
        }
        _ => format!("{line}\n"),
    };
    fs::write(folder.path().join("set.csv"), rows.lines().map(copied).collect::<String>()).unwrap();
    let refused = |memory: usize| {
        let error = load_by(&spec(folder.path(), 4.), None, &Reading::new(memory, 0)).unwrap_err().to_string();
        let copies = "15 of the 15 samples of the test split have the content of samples of the train split";
        assert!(error.contains(copies), "{memory} MiB: {error}");
    };
    refused(4);
    refused(0);
    prepare(
        &spec(folder.path(), 4.),
        None,
        &PrepareOptions { only_estimate: false, told: &|_| Ok(()), progress: &|_| Ok(()) },
    )
    .unwrap();
    refused(4);
}
