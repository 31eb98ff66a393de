//! Whole epochs of a preset on samples that lie in memory, and on the same samples from a prepared set on the disk.

use std::{fmt::Write, fs, ops::ControlFlow::Continue, path::Path};

use aim_balance::MethodSpec;
use aim_config::yaml::parse;
use aim_core::{Error, Net, Result, Rng};
use aim_data::{Dataset, DatasetSpec, PrepareOptions, Reading, Splits, load, load_by, prepare};
use aim_fusion::LateFusion;
use aim_optim::{OptimizerSettings, Sgd};
use aim_train::Learner;
use candle_core::Device;

use crate::preset::Preset;

const SEED: u64 = 0;
/// More epochs than anyone times.
const EPOCHS: usize = 1 << 20;

/// A preset's network in training on a set.
pub struct OnData {
    learner: Learner,
    data: Dataset,
    batch: usize,
}

impl OnData {
    /// The preset with joint training on so many random training samples, which are written into a folder: once in
    /// memory, once read from a prepared set by so many threads, nothing of which stays in memory.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn both(preset: &Preset, folder: &Path, samples: usize, workers: usize) -> Result<[Self; 2]> {
        let spec = written(preset, folder, samples)?;
        let memory = load(&spec, None)?;
        let told = PrepareOptions { only_estimate: false, told: &|_| Ok(()), progress: &|_| Ok(()) };
        prepare(&spec, None, &told)?;
        let (disk, _) = load_by(&spec, None, &Reading::new(0, workers))?;
        Ok([Self::new(preset, memory)?, Self::new(preset, disk)?])
    }

    fn new(preset: &Preset, data: Dataset) -> Result<Self> {
        let method = MethodSpec::read(aim_balance::builtin(), &parse("joint")?)?;
        let net = LateFusion::new(&preset.model(&method)?, &data.named_shapes(), data.classes(), SEED, &Device::Cpu)?;
        let (built, opt) = (method.build(net.spec())?, Sgd { lr: 0.001, momentum: 0.9, ..Sgd::default() });
        let learner = Learner::new(Box::new(net), built, opt.build(), SEED, EPOCHS);
        Ok(Self { learner, data, batch: preset.batch })
    }

    /// One epoch; gives the loss of its last step.
    ///
    /// # Errors
    /// If a sample cannot be read or a tensor operation fails.
    pub fn epoch(&mut self) -> Result<f64> {
        let mut loss = f64::NAN;
        self.learner.epoch(&Splits::new(&self.data, self.batch, &Device::Cpu), |_, report| {
            loss = report.values("loss")?.and_then(|values| values.first().copied()).unwrap_or(f64::NAN);
            Ok(Continue(()))
        })?;
        Ok(loss)
    }
}

/// A manifest of rows of arrays: training samples, and one each that validates and tests.
fn written(preset: &Preset, folder: &Path, samples: usize) -> Result<DatasetSpec> {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|e| Error::io(path, e))
    };
    let (mut decoded, mut header) = (serde_json::Map::new(), String::from("id,split,label"));
    for input in preset.inputs {
        let (file, mut rng) = (format!("{}.npy", input.name), Rng::keyed(SEED, input.name));
        put(&file, &npy(&[&[samples + 2], input.shape].concat(), || input.value(&mut rng)))?;
        decoded.insert(input.name.into(), serde_json::json!({"array": {"file": file}}));
        header = header + "," + input.name;
    }
    let mut rows = header + "\n";
    for row in 0..samples + 2 {
        let split = ["train", "validation", "test"][(row + 1).saturating_sub(samples)];
        let cells = format!(",{row}").repeat(preset.inputs.len());
        let _infallible = writeln!(rows, "s{row},{split},{}{cells}", row % preset.classes);
    }
    put("set.csv", rows.as_bytes())?;
    let section = serde_json::json!({
        "name": "manifest", "file": folder.join("set.csv"), "memory": 64., "modalities": decoded,
    });
    aim_data::builtin().read(&section, "data")
}

/// An array of f32 in NumPy's format.
fn npy(shape: &[usize], mut value: impl FnMut() -> f32) -> Vec<u8> {
    let shape_text = shape.iter().map(|n| format!("{n},")).collect::<String>();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape_text}), }}");
    header += &" ".repeat(64 - (11 + header.len()) % 64);
    header += "\n";
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    (0..shape.iter().product()).for_each(|_: usize| bytes.extend(value().to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_from_a_prepared_set_takes_the_same_steps() {
        for (name, samples) in [("mlp-tri", 70), ("bert-vit", 9)] {
            let folder = std::env::temp_dir().join(format!("aim-benches-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            let preset = Preset::named(name).unwrap();
            let losses = OnData::both(preset, &folder, samples, 1).and_then(|[mut memory, mut disk]| {
                let workers = [&memory, &disk].map(|side| side.data.train.reading().workers());
                assert_eq!((workers, disk.data.train.len()), ([0, 1], samples));
                Ok([[memory.epoch()?, memory.epoch()?], [disk.epoch()?, disk.epoch()?]])
            });
            fs::remove_dir_all(&folder).unwrap();
            let [memory, disk] = losses.unwrap();
            assert!(memory == disk && memory[0] != memory[1], "{name}: {memory:?}, {disk:?}");
        }
    }
}
