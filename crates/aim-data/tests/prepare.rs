//! Prepared sets: the same bytes whatever the number of threads and however often the work was stopped; what is read of
//! them is what is read of the files; damage is named.
#![cfg(feature = "media")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use aim_core::{Error, Result};
use aim_data::{Dataset, DatasetSpec, PrepareOptions, Prepared, Showing, Source, builtin, load, prepare};
use candle_core::Device;
use serde_json::{Value, json};

/// Number of samples: three shards.
const SAMPLES: usize = 150;

/// A set of sounds, pictures and words.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = String::from("id,split,label,sound,picture,words\n");
    for k in 0..SAMPLES {
        let split = ["train", "train", "train", "validation", "test"][k % 5];
        sound(&folder.path().join(format!("{k}.wav")), k);
        picture(&folder.path().join(format!("{k}.png")), k);
        let picture = if k == 7 { String::new() } else { format!("{k}.png") };
        rows += &format!("s{k},{split},{},{k}.wav,{picture},so it is {}\n", k % 2, k % 3);
    }
    fs::write(folder.path().join("set.csv"), rows).unwrap();
    folder
}

fn sound(path: &Path, k: usize) {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut file = hound::WavWriter::create(path, spec).unwrap();
    (0..1200).for_each(|i| file.write_sample((3000. * (0.01 * (i * (k + 1)) as f64).sin()) as i16).unwrap());
    file.finalize().unwrap();
}

fn picture(path: &Path, k: usize) {
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), 12, 8);
    encoder.set_color(png::ColorType::Grayscale);
    let pixels: Vec<u8> = (0..96).map(|i| ((i * (k + 3)) % 256) as u8).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
}

fn spec(folder: &Path, store: &str) -> DatasetSpec {
    let section: Value = json!({
        "name": "manifest", "file": folder.join("set.csv"), "store": folder.join(store),
        "modalities": {
            "sound": {"audio": {"rate": 8000, "seconds": 0.1, "within": 0.15, "piece": "random", "front": "waveform"}, "standardise": "whole"},
            "picture": {"image": {"size": 6, "augment": "together"}},
            "words": {"text": {"length": 4}},
        },
    });
    builtin().read(&section, "data").unwrap()
}

/// Prepares a set, and is stopped before a shard if `stop` says so.
fn made(spec: &DatasetSpec, threads: usize, stop: Option<usize>) -> Result<Prepared> {
    let calls = AtomicUsize::new(0);
    let progress = |_| match stop {
        Some(stop) if calls.fetch_add(1, Ordering::Relaxed) >= stop => Err(Error::Stopped),
        _ => Ok(()),
    };
    let options = PrepareOptions { only_estimate: false, told: &|_| Ok(()), progress: &progress };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| prepare(spec, None, &options))
}

/// Bytes of every file of a prepared set.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    names.map(|path| (path.file_name().unwrap().into(), fs::read(path).unwrap())).collect()
}

fn values(split: &dyn Source, modality: usize, showing: Option<Showing>) -> Vec<f32> {
    let index: Vec<usize> = (0..split.len()).rev().collect();
    let input = match showing {
        Some(showing) => split.shown(modality, &index, showing, &Device::Cpu),
        None => split.input(modality, &index, &Device::Cpu),
    };
    input.unwrap().values.flatten_all().unwrap().to_vec1().unwrap()
}

fn digest(set: &Dataset) -> Vec<u8> {
    let mut all = vec![];
    [&set.train, &set.validation, &set.test].iter().for_each(|s| s.digest(&mut |b| all.extend_from_slice(b)).unwrap());
    all
}

#[test]
fn one_thread_four_threads_and_a_stopped_work_give_the_same_bytes() {
    let folder = folder();
    let one = made(&spec(folder.path(), "one"), 1, None).unwrap();
    let four = made(&spec(folder.path(), "four"), 4, None).unwrap();
    assert_eq!((one.samples, one.done), (SAMPLES, true));
    let whole = files(&one.folder);
    assert!(whole.keys().any(|name| name == Path::new("shard-00002.safetensors")));
    assert!(files(&four.folder) == whole);
    let cut = spec(folder.path(), "cut");
    assert!(made(&cut, 2, Some(2)).unwrap_err().is_stop());
    let at = folder.path().join("cut").join(one.folder.file_name().unwrap());
    assert!(!at.join("index.json").exists() && at.join("shard-00001.safetensors").exists());
    // What a kill leaves: a file that is not whole, and one that nothing was noted of.
    fs::write(at.join("shard-00002.safetensors.part"), b"half").unwrap();
    fs::write(at.join("shard-00002.safetensors"), b"old").unwrap();
    let before = fs::metadata(at.join("shard-00000.safetensors")).unwrap().modified().unwrap();
    made(&cut, 2, None).unwrap();
    assert_eq!(fs::metadata(at.join("shard-00000.safetensors")).unwrap().modified().unwrap(), before, "made twice");
    let mut again = files(&at);
    again.remove(Path::new("shard-00002.safetensors.part"));
    assert!(again == whole);
}

#[test]
fn a_prepared_set_reads_as_its_files_do_and_needs_them_no_more() {
    let folder = folder();
    let spec = spec(folder.path(), "store");
    let raw = load(&spec, None).unwrap();
    made(&spec, 2, None).unwrap();
    (0..SAMPLES).for_each(|k| {
        ["wav", "png"].iter().for_each(|e| fs::remove_file(folder.path().join(format!("{k}.{e}"))).unwrap())
    });
    let prepared = load(&spec, None).unwrap();
    assert_eq!(digest(&raw), digest(&prepared));
    for (a, b) in [(&raw.train, &prepared.train), (&raw.test, &prepared.test)] {
        for m in 0..3 {
            for showing in [None, Some(Showing { seed: 1, epoch: 0 }), Some(Showing { seed: 1, epoch: 1 })] {
                assert!(values(&**a, m, showing) == values(&**b, m, showing));
            }
        }
    }
    assert!(!prepared.train.has(4, 0) || prepared.train.ids()[4] != "s7");
    let lacks = prepared.train.ids().iter().position(|id| id == "s7").unwrap();
    assert!(!prepared.train.has(lacks, 0) && prepared.train.has(lacks, 1));
}

#[test]
fn damage_is_named_and_mended_by_preparing_again() {
    let folder = folder();
    let spec = spec(folder.path(), "store");
    let at = made(&spec, 2, None).unwrap().folder;
    let whole = files(&at);
    let shard = at.join("shard-00001.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&shard, bytes).unwrap();
    let read = || -> Result<()> {
        let set = load(&spec, None)?;
        let all = |split: &dyn Source| {
            (0..3).try_for_each(|m| split.input(m, &(0..split.len()).collect::<Vec<_>>(), &Device::Cpu).map(drop))
        };
        all(&*set.train).and_then(|()| all(&*set.validation)).and_then(|()| all(&*set.test))
    };
    let error = read().unwrap_err().to_string();
    assert!(error.contains("shard-00001.safetensors") && error.contains("a checksum is wrong"), "{error}");
    assert!(error.contains("data prepare"), "{error}");
    made(&spec, 2, None).unwrap();
    assert!(files(&at) == whole);
    read().unwrap();
}

#[test]
fn an_index_that_does_not_fit_itself_or_its_set_is_damaged() {
    let folder = folder();
    let spec = spec(folder.path(), "store");
    let index = made(&spec, 2, None).unwrap().folder.join("index.json");
    let whole: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let told = |change: &dyn Fn(&mut Value)| {
        let mut damaged = whole.clone();
        change(&mut damaged);
        fs::write(&index, damaged.to_string()).unwrap();
        let read = load(&spec, None).and_then(|set| set.train.input(0, &[0], &Device::Cpu).map(drop));
        let error = read.unwrap_err().to_string();
        assert!(error.contains("data prepare"), "{error}");
        error
    };
    let shorten = |value: &mut Value| drop(value.as_array_mut().unwrap().pop());
    assert!(told(&|index| shorten(&mut index["places"])).contains("do not go together"));
    assert!(told(&|index| shorten(&mut index["places"][3])).contains("do not go together"));
    assert!(told(&|index| shorten(&mut index["modalities"])).contains("do not go together"));
    assert!(told(&|index| index["rows"][0]["cells"] = json!({})).contains("do not go together"));
    let both = |index: &mut Value| ["rows", "places"].iter().for_each(|key| shorten(&mut index[key]));
    assert!(told(&both).contains("is of 149 rows, not 150"));
    let long = |index: &mut Value| {
        let places = index["places"].as_array_mut().unwrap().iter_mut().flat_map(|row| row.as_array_mut().unwrap());
        places.filter(|place| !place.is_null()).for_each(|place| place["bytes"] = u64::MAX.into());
    };
    assert!(told(&long).contains("cannot be read"));
}

#[test]
fn faults_are_listed_and_an_estimate_writes_nothing() {
    let folder = folder();
    let spec = spec(folder.path(), "store");
    let options = PrepareOptions { only_estimate: true, told: &|_| Ok(()), progress: &|_| Ok(()) };
    let told = prepare(&spec, None, &options).unwrap();
    assert!(!told.done && told.bytes > 0 && !folder.path().join("store").exists());
    for k in [3, 140] {
        fs::write(folder.path().join(format!("{k}.wav")), b"no sound").unwrap();
    }
    let error = made(&spec, 2, None).unwrap_err().to_string();
    assert!(error.contains("2 faults") && error.contains("line 5:") && error.contains("line 142:"), "{error}");
    let grid = builtin().read(&json!({"name": "synth-av"}), "data").unwrap();
    assert!(made(&grid, 1, None).unwrap_err().to_string().contains("has no raw files"));
}
