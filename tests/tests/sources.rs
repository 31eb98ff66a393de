//! Splits that do not lie in memory: samples are read from a file when a batch asks for them.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    ops::ControlFlow::Continue,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aim_core::{Error, Input, Result};
use aim_data::{Dataset, Source, Splits};
use aim_tests::{bundle_config, train_run, write_bundle};
use aim_train::{
    config::{Identity, Protocol, RunConfig},
    experiment::restrict,
    run::{EpochLog, Folder, Stop, Watch, checksum, learner},
    standard,
};
use candle_core::{Device, Tensor};

const CPU: Device = Device::Cpu;

/// A split whose inputs lie in one file a modality, sample after sample.
struct OnDisk {
    files: Vec<PathBuf>,
    shapes: Vec<Vec<usize>>,
    labels: Vec<u32>,
    ids: Vec<String>,
    /// A sample that cannot be read.
    bad: Option<usize>,
    /// Most samples that were asked for at once.
    most: AtomicUsize,
}

impl OnDisk {
    /// What a split holds, in files of `folder`.
    fn write(split: &dyn Source, folder: &Path, name: &str) -> Self {
        let all: Vec<usize> = (0..split.len()).collect();
        let files = (0..split.shapes().len()).map(|m| {
            let values = split.input(m, &all, &CPU).unwrap().values.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let path = folder.join(format!("{name}.{m}"));
            File::create(&path)
                .unwrap()
                .write_all(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
                .unwrap();
            path
        });
        let (labels, ids) = (split.labels().to_vec(), split.ids().to_vec());
        let (files, shapes) = (files.collect(), split.shapes().to_vec());
        Self { files, shapes, labels, ids, bad: None, most: AtomicUsize::new(0) }
    }

    fn sample(&self, modality: usize, sample: usize) -> Result<Vec<f32>> {
        let (path, size) = (&self.files[modality], 4 * self.shapes[modality].iter().product::<usize>());
        if self.bad == Some(sample) {
            let place = format!("sample `{}` in {}", self.ids[sample], path.display());
            return Err(Error::invalid(place, "is damaged", "mend the file"));
        }
        let read = || {
            let (mut file, mut bytes) = (File::open(path)?, vec![0; size]);
            file.seek(SeekFrom::Start((sample * size) as u64))?;
            file.read_exact(&mut bytes).map(|()| bytes)
        };
        let bytes = read().map_err(|e| Error::io(path, e))?;
        Ok(bytes.chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }
}

impl Source for OnDisk {
    fn labels(&self) -> &[u32] {
        &self.labels
    }
    fn ids(&self) -> &[String] {
        &self.ids
    }
    fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }
    fn input(&self, modality: usize, index: &[usize], device: &Device) -> Result<Input> {
        self.most.fetch_max(index.len(), Ordering::Relaxed);
        let values = index.iter().map(|i| self.sample(modality, *i)).collect::<Result<Vec<_>>>()?.concat();
        let shape = [&[index.len()], &self.shapes[modality][..]].concat();
        Ok(Tensor::from_vec(values, shape, device)?.into())
    }
}

struct Silent;

impl Watch for Silent {
    fn epoch(&self, _: &EpochLog, _: usize, _: f64) {}
    fn say(&self, _: &str) {}
}

/// A run of AIM, with the splits in memory.
fn aim(folder: &Path, train: &str) -> (RunConfig, Dataset) {
    write_bundle(folder);
    let row = "  - {name: aim, method: {name: aim, warmup: 0, prototypes: class-mean}}";
    let (config, _) = RunConfig::single(&bundle_config(row, &[train]), Some("aim"), standard()).unwrap();
    let data = aim_data::load(&config.data, Some(folder)).unwrap();
    (config, data)
}

/// The same samples on the disk.
fn on_disk(data: &Dataset, folder: &Path) -> [OnDisk; 3] {
    let splits = [("train", &data.train), ("validation", &data.validation), ("test", &data.test)];
    splits.map(|(name, split)| OnDisk::write(&**split, folder, name))
}

fn with(data: &Dataset, [train, validation, test]: [Arc<dyn Source>; 3]) -> Dataset {
    Dataset { train, validation, test, ..data.clone() }
}

#[test]
fn a_run_on_samples_from_the_disk_is_the_run_on_those_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (mut config, data) = aim(folder.path(), "train.epochs=2");
    let stored = on_disk(&data, folder.path()).map(Arc::new);
    let disk = with(&data, stored.clone().map(|split| split as Arc<dyn Source>));
    disk.check().unwrap();
    assert_eq!((checksum(&disk).unwrap(), disk.summary()), (checksum(&data).unwrap(), data.summary()));
    for protocol in [Protocol::Clean, Protocol::BalanceBench] {
        config.protocol = protocol;
        let run = |name: &str, data: &Dataset| {
            let data = restrict(&config, data).unwrap();
            let path = folder.path().join(format!("{}-{name}", protocol.name()));
            let open = Folder::open(&path, &Identity::new(&config, 0, 0), standard()).unwrap();
            let stop = Stop::default();
            train_run((&config, 0), &data, &open, (&Silent, &stop), Duration::ZERO).unwrap();
            ["last.safetensors", "metrics.jsonl", "predictions.csv", "result.json"]
                .map(|f| std::fs::read(path.join(f)).unwrap())
        };
        assert!(run("memory", &data) == run("disk", &disk), "{}", protocol.name());
    }
    assert!(stored.iter().all(|split| split.most.load(Ordering::Relaxed) > 0));
}

#[test]
fn nobody_asks_for_all_samples_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (config, data) = aim(folder.path(), "train.epochs=1");
    // The samples of each split again and again, 900 of them.
    let many = on_disk(&data, folder.path()).map(|one| {
        let len = one.labels.len();
        let (labels, times) = ((0..900).map(|i| one.labels[i % len]).collect(), 900 / len);
        let ids = (0..900).map(|i| format!("{}.{}", one.ids[i % len], i / len)).collect();
        for path in &one.files {
            std::fs::write(path, std::fs::read(path).unwrap().repeat(times)).unwrap();
        }
        Arc::new(OnDisk { labels, ids, ..one })
    });
    let data = with(&data, many.clone().map(|split| split as Arc<dyn Source>));
    data.check().unwrap();
    checksum(&data).unwrap();
    let data = restrict(&config, &data).unwrap();
    let open = Folder::open(&folder.path().join("run"), &Identity::new(&config, 0, 0), standard()).unwrap();
    let stop = Stop::default();
    train_run((&config, 0), &data, &open, (&Silent, &stop), Duration::ZERO).unwrap();
    let most = many.map(|split| split.most.load(Ordering::Relaxed));
    assert!(most.iter().all(|most| (1..=256).contains(most)), "{most:?} of 900 at once");
}

#[test]
fn the_error_of_a_sample_reaches_whoever_trains() {
    let folder = tempfile::tempdir().unwrap();
    let (config, data) = aim(folder.path(), "train.epochs=2");
    let fails = |bad: [Option<usize>; 3]| {
        let mut splits = on_disk(&data, folder.path());
        splits.iter_mut().zip(bad).for_each(|(split, bad)| split.bad = bad);
        let data = with(&data, splits.map(|split| Arc::new(split) as Arc<dyn Source>));
        let mut learner = learner(&config, &data, 0, &CPU).unwrap();
        let splits = Splits::new(&data, config.train.batch, &CPU);
        let trained = learner.run(&splits, |_, _| Ok(Continue(()))).map_err(|e| e.to_string());
        (trained, checksum(&data).map_err(|e| e.to_string()), data.check().map_err(|e| e.to_string()))
    };
    let (trained, read, checked) = fails([Some(47), None, None]);
    for error in [trained.unwrap_err(), read.unwrap_err(), checked.unwrap_err()] {
        assert!(error.contains("sample `train.47`") && error.contains("mend the file"), "{error}");
    }
    // Nobody trains on the test split.
    let (trained, read, _) = fails([None, None, Some(3)]);
    assert!(trained.is_ok() && read.unwrap_err().contains("sample `test.3`"));
    assert!(fails([None; 3]).0.is_ok());
}
