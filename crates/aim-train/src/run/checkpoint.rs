//! Everything that a restart needs, in one safetensors file with a checksum.

use std::{borrow::Cow, collections::HashMap, path::Path};

use aim_core::{Error, Method, Params, Result, State};
use candle_core::Device;
use safetensors::{SafeTensors, View};
use serde::{Deserialize, Serialize};

use super::EpochLog;

/// Where the header keeps what is no tensor.
const KEY: &str = "checkpoint";

/// The epoch with the best validation so far, by what `train.select` names.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Epoch, counted from 0.
    pub epoch: usize,
    /// The value on validation.
    #[serde(rename = "accuracy")]
    pub value: f64,
}

/// The state of a run behind a step: between two epochs, or within one.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// What the epochs done left in the log.
    pub log: Vec<EpochLog>,
    /// The best of them.
    pub best: Option<Best>,
    /// A learner's state, under `best.` the weights, buffers and method state of the best epoch, and within an epoch
    /// under `begun.` what that epoch has left for the log so far.
    pub state: State,
}

/// Newest version of the file; the first had none.
const VERSION: u32 = 2;

/// Version of a file between two epochs, which programs can read that know no others.
const BETWEEN_EPOCHS: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    log: Cow<'a, [EpochLog]>,
    best: Option<Best>,
    #[serde(default)]
    version: u32,
    crc32: u32,
}

/// What the header of every version has.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    version: u32,
}

impl Checkpoint {
    /// The file's bytes.
    ///
    /// # Errors
    /// If a tensor cannot be read from its device.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let text = self.header(self.checksum()?)?;
        let metadata = HashMap::from([(KEY.to_owned(), text)]);
        safetensors::serialize(self.state.0.iter().map(|(k, t)| (k.as_str(), t)), Some(metadata))
            .map_err(|e| Error::invalid("checkpoint", e.to_string(), "report this fault with the command that met it"))
    }

    /// Reads a file's bytes; `path` is for messages.
    ///
    /// # Errors
    /// If the bytes are no checkpoint, or any of them has changed.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self> {
        let broken = |problem: String| {
            Error::invalid(path.display().to_string(), problem, "start the run's command again, which mends its folder")
        };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| broken(format!("is damaged ({e})")))?;
        let text = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
        let text = text.ok_or_else(|| broken("is no checkpoint of this program".into()))?;
        // The version alone first: a newer program may have changed everything else.
        let Head { version } = serde_json::from_str(text).map_err(|e| broken(format!("is damaged ({e})")))?;
        if version > VERSION {
            let problem = format!("has version {version}, this program knows versions up to {VERSION}");
            // Not `Error::Invalid`, which stands for damage and has the file set aside.
            let source = Box::new(Error::invalid("checkpoint", problem, "use the newer program that wrote it"));
            return Err(Error::At { place: path.display().to_string(), source });
        }
        let header: Header<'_> = serde_json::from_str(text).map_err(|e| broken(format!("is damaged ({e})")))?;
        let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)
            .map_err(|e| broken(format!("is damaged ({e})")))?;
        let state = State(tensors.into_iter().collect());
        let checkpoint = Self { log: header.log.into_owned(), best: header.best, state };
        // An older program wrote the header in other words: what counts is what was written.
        let unsigned = text.replace(&format!("\"crc32\":{}", header.crc32), "\"crc32\":0");
        if checkpoint.checksum_with(&unsigned) != header.crc32 {
            return Err(broken("is damaged (wrong checksum)".into()));
        }
        Ok(checkpoint)
    }

    /// Puts weights and the method's state back, and says of which epoch they are.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn put(&self, params: &Params, method: &mut dyn Method) -> Result<usize> {
        params.load(&self.state.part("net").0)?;
        method.load(&self.state.part("method"))?;
        Ok(self.epochs().saturating_sub(usize::from(self.steps() == 0)))
    }

    /// Epochs done.
    pub fn epochs(&self) -> usize {
        self.log.len()
    }

    /// Steps done of the epoch that has begun, 0 between two epochs.
    pub fn steps(&self) -> usize {
        self.state.number("clock.batch").map_or(0, |batch| batch as usize)
    }

    /// Where it stands, for messages: behind which epoch, and behind which step of the next.
    pub fn place(&self) -> String {
        match self.steps() {
            0 => format!("epoch {}", self.epochs()),
            steps => format!("epoch {} and {steps} steps of the next", self.epochs()),
        }
    }

    /// The checkpoint of the best epoch, which every later one holds.
    #[must_use]
    pub fn of_best(&self) -> Option<Self> {
        let log = self.log.get(..=self.best?.epoch)?.to_vec();
        Some(Self { log, best: self.best, state: self.state.part("best") })
    }

    /// What is no tensor, as text.
    fn header(&self, crc32: u32) -> Result<String> {
        let version = if self.steps() > 0 { VERSION } else { BETWEEN_EPOCHS };
        let header = Header { log: Cow::Borrowed(&self.log), best: self.best, version, crc32 };
        serde_json::to_string(&header)
            .map_err(|e| Error::invalid("checkpoint", e.to_string(), "report this fault with the command that met it"))
    }

    /// CRC-32 over names, types, shapes and values, in the order of the names, and over what is no tensor.
    fn checksum(&self) -> Result<u32> {
        Ok(self.checksum_with(&self.header(0)?))
    }

    fn checksum_with(&self, header: &str) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        for (name, tensor) in &self.state.0 {
            crc.update(format!("{name} {:?} {:?};", tensor.dtype(), tensor.dims()).as_bytes());
            crc.update(&View::data(tensor));
        }
        crc.update(header.as_bytes());
        crc.finalize()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;

    use super::*;
    use crate::{metrics::Scores, run::Quantity};

    fn checkpoint() -> Checkpoint {
        let mut state = State::default();
        state.put("a", &[1.5, -2.]).unwrap();
        state.0.insert("b".into(), Tensor::new(&[[1f32, 2.]], &Device::Cpu).unwrap());
        state.0.insert("best.b".into(), Tensor::new(&[[0.1f32, 2.]], &Device::Cpu).unwrap());
        let entry = |epoch| EpochLog {
            epoch,
            lr: 0.1,
            train: [("loss".to_owned(), Quantity::Number(0.3))].into(),
            validation: Scores {
                values: [("loss".to_owned(), 1. / 3.), ("accuracy".to_owned(), 0.625)].into(),
                modality: [("heart".to_owned(), 0.7)].into(),
            },
        };
        Checkpoint { log: (0..3).map(entry).collect(), best: Some(Best { epoch: 1, value: 0.625 }), state }
    }

    #[test]
    fn survives_the_way_through_a_file() {
        let bytes = checkpoint().to_bytes().unwrap();
        let back = Checkpoint::from_bytes(Path::new("x"), &bytes).unwrap();
        assert_eq!((back.epochs(), &back.log, back.best), (3, &checkpoint().log, checkpoint().best));
        assert_eq!(back.state.numbers("a").unwrap(), [1.5, -2.]);
        assert_eq!(back.state.tensor("b").unwrap().to_vec2::<f32>().unwrap(), [[1., 2.]]);
        assert_eq!(back.to_bytes().unwrap(), bytes);
    }

    #[test]
    fn holds_the_best_epoch_s_checkpoint() {
        let best = checkpoint().of_best().unwrap();
        assert_eq!((best.epochs(), best.best.unwrap().epoch, best.state.0.len()), (2, 1, 1));
        assert_eq!(best.state.tensor("b").unwrap().to_vec2::<f32>().unwrap(), [[0.1, 2.]]);
    }

    #[test]
    fn any_changed_byte_of_the_content_is_noticed() {
        let bytes = checkpoint().to_bytes().unwrap();
        let same = |a: &Checkpoint| a.to_bytes().unwrap() == bytes;
        for i in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[i] ^= 0x10;
            // A change that reads back as the very same content (blank for blank) does no harm.
            assert!(Checkpoint::from_bytes(Path::new("x"), &damaged).map_or(true, |c| same(&c)), "byte {i}");
        }
    }
}
