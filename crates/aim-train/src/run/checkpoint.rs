//! Everything that a restart needs, in one safetensors file with a checksum.

use std::{collections::HashMap, path::Path};

use aim_core::{Context, Error, Method, Params, Result, State};
use candle_core::{Device, Tensor};
use safetensors::{SafeTensors, View};
use serde::{Deserialize, Serialize};

/// Where the header keeps what is no tensor.
const KEY: &str = "checkpoint";

/// The epoch with the best validation accuracy so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Epoch, counted from 0.
    pub epoch: usize,
    /// Its validation accuracy.
    pub accuracy: f64,
}

/// The state of a run between two epochs.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Epochs done.
    pub epochs: usize,
    /// The best of them.
    pub best: Option<Best>,
    /// Weights, buffers, and the states of optimizer, schedule and method.
    pub state: State,
}

#[derive(Serialize, Deserialize)]
struct Header {
    epochs: usize,
    best: Option<Best>,
    crc32: u32,
}

impl Checkpoint {
    /// The file's bytes.
    ///
    /// # Errors
    /// If a tensor cannot be read from its device.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let header = Header { epochs: self.epochs, best: self.best, crc32: self.checksum() };
        let text =
            serde_json::to_string(&header).map_err(|e| Error::invalid("checkpoint", e.to_string(), "report this"))?;
        let metadata = HashMap::from([(KEY.to_owned(), text)]);
        safetensors::serialize(self.state.0.iter().map(|(k, t)| (k.as_str(), t)), Some(metadata))
            .map_err(|e| Error::invalid("checkpoint", e.to_string(), "report this"))
    }

    /// Reads a file's bytes; `path` is for messages.
    ///
    /// # Errors
    /// If the bytes are no checkpoint, or any of them has changed.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self> {
        let broken =
            |problem: String| Error::invalid(path.display().to_string(), problem, "restore or delete the file");
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| broken(format!("is damaged ({e})")))?;
        let text = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
        let text = text.ok_or_else(|| broken("is no checkpoint of this program".into()))?;
        let header: Header = serde_json::from_str(text).map_err(|e| broken(format!("is damaged ({e})")))?;
        let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).at(|| path.display().to_string())?;
        let state = State(tensors.into_iter().collect());
        let checkpoint = Self { epochs: header.epochs, best: header.best, state };
        if checkpoint.checksum() != header.crc32 {
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
        Ok(self.epochs - 1)
    }

    /// CRC-32 over names, types, shapes and values, in the order of the names, and over what is no tensor.
    fn checksum(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        for (name, tensor) in &self.state.0 {
            crc.update(format!("{name} {:?} {:?};", tensor.dtype(), tensor.dims()).as_bytes());
            crc.update(&View::data(tensor));
        }
        crc.update(format!("{} {:?}", self.epochs, self.best.map(|b| (b.epoch, b.accuracy.to_bits()))).as_bytes());
        crc.finalize()
    }
}

/// Independent copies of tensors that training will change.
pub(super) fn copied(state: State) -> Result<State> {
    let copy = |(name, tensor): (String, Tensor)| Ok((name, tensor.copy()?));
    Ok(State(state.0.into_iter().map(copy).collect::<Result<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let mut state = State::default();
        state.put("a", &[1.5, -2.]).unwrap();
        state.0.insert("b".into(), Tensor::new(&[[1f32, 2.]], &Device::Cpu).unwrap());
        Checkpoint { epochs: 3, best: Some(Best { epoch: 1, accuracy: 0.625 }), state }
    }

    #[test]
    fn survives_the_way_through_a_file() {
        let bytes = checkpoint().to_bytes().unwrap();
        let back = Checkpoint::from_bytes(Path::new("x"), &bytes).unwrap();
        assert_eq!((back.epochs, back.best), (3, checkpoint().best));
        assert_eq!(back.state.numbers("a").unwrap(), [1.5, -2.]);
        assert_eq!(back.state.tensor("b").unwrap().to_vec2::<f32>().unwrap(), [[1., 2.]]);
        assert_eq!(back.to_bytes().unwrap(), bytes);
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
