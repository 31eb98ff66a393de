//! What makes a run the run it is.

use std::path::Path;

use aim_core::{Error, Result};
use aim_data::{Dataset, Subset};
use candle_core::Tensor;
use safetensors::View;
use serde::{Deserialize, Serialize};
use serde_yaml::Value;

use crate::config::{Difference, RunConfig, differences, text};

/// The resolved configuration, the seed and the data: two runs with the same identity give the same bits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// The seed.
    pub seed: u64,
    /// CRC-32 of the data.
    pub data_crc32: u32,
    /// The configuration.
    #[serde(flatten)]
    pub config: RunConfig,
}

impl Identity {
    /// The identity of a run on these data.
    pub fn new(config: &RunConfig, seed: u64, data_crc32: u32) -> Self {
        Self { seed, data_crc32, config: config.clone() }
    }

    /// As YAML: the content of a run folder's `config.yaml`, which can be run again.
    ///
    /// # Errors
    /// If a value cannot be written.
    pub fn to_yaml(&self) -> Result<String> {
        serde_yaml::to_string(self).map_err(|e| Error::invalid("config", e.to_string(), "report this"))
    }

    /// The identity of the run in a folder.
    ///
    /// # Errors
    /// If the folder holds none, or it is damaged.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("config.yaml");
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        serde_yaml::from_str(&text)
            .map_err(|e| Error::invalid(path.display().to_string(), e.to_string(), "name the folder of a run"))
    }

    /// Eight hexadecimal digits that stand for configuration and data, whatever the seed.
    ///
    /// # Errors
    /// If a value cannot be written.
    pub fn key(&self) -> Result<String> {
        let text = Self { seed: 0, ..self.clone() }.to_yaml()?;
        Ok(format!("{:08x}", crc32fast::hash(text.as_bytes())))
    }
}

/// CRC-32 of everything in a data set: names, inputs, labels and ids.
pub fn checksum(data: &Dataset) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(format!("{:?} {:?}", data.modalities, data.class_names).as_bytes());
    for subset in [&data.train, &data.validation, &data.test] {
        update(&mut crc, subset);
    }
    crc.finalize()
}

fn update(crc: &mut crc32fast::Hasher, subset: &Subset) {
    let tensor = |crc: &mut crc32fast::Hasher, t: &Tensor| {
        crc.update(format!("{:?}", t.dims()).as_bytes());
        crc.update(&View::data(t));
    };
    subset.inputs.iter().for_each(|t| tensor(crc, t));
    subset.labels.iter().for_each(|y| crc.update(&y.to_le_bytes()));
    subset.ids.iter().for_each(|id| crc.update(id.as_bytes()));
}

/// The first place where a stored YAML text says something else than the wanted one, in words; none if they agree.
pub(super) fn difference(found: &str, wanted: &str) -> Option<String> {
    let parse = |text| serde_yaml::from_str::<Value>(text).ok();
    match (parse(found), parse(wanted)) {
        (Some(found), Some(wanted)) => {
            let say = |d: &Difference| format!("says `{}: {}`, this run `{}`", d.key, text(&d.left), text(&d.right));
            differences(&found, &wanted).first().map(say)
        }
        _ => Some("is no YAML".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn the_first_difference_is_named() {
        let a = "{seed: 1, train: {epochs: 3, batch: 32}, rows: [1, 2]}";
        assert_eq!(difference(a, "train: {batch: 32, epochs: 3}\nrows: [1, 2]\nseed: 1"), None);
        for (b, said) in [
            ("{seed: 1, train: {epochs: 4, batch: 32}, rows: [1, 2]}", "says `train.epochs: 4`, this run `3`"),
            ("{seed: 1, train: {epochs: 3}, rows: [1, 2]}", "says `train.batch: null`, this run `32`"),
            ("{seed: 1, train: {epochs: 3, batch: 32}, rows: [2]}", "says `rows: [2]`, this run `[1,2]`"),
            ("{seed: 1, tra", "is no YAML"),
        ] {
            assert_eq!(difference(b, a).as_deref(), Some(said));
        }
    }
}
