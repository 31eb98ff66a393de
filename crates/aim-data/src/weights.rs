//! Public weights: tensors by name in files of safetensors or of PyTorch, on this machine or on the Hub.

mod pickle;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};
use candle_core::{Device, Tensor};
use safetensors::Dtype;

use crate::{
    files::{bytes, unfit},
    hub,
    read::tensors::{floats, parse},
};

/// The weights of a network as a file holds them.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Tensors of floats by name, as f32 on the CPU. Whole numbers (counters, indices) are no weights and left out.
    pub tensors: BTreeMap<String, Tensor>,
    /// CRC-32 of the file.
    pub crc32: u32,
}

impl Checkpoint {
    /// Reads a file of safetensors, or what `torch.save` made of a state dict (`.pt`, `.pth`, `.bin`). Nothing that
    /// stands in a file is executed.
    ///
    /// # Errors
    /// If the file is neither, incomplete or damaged, names code, or a weight is not finite.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = bytes(path)?;
        let tensors = if is_safetensors(&bytes) {
            safetensors(path, &bytes)?
        } else if bytes.starts_with(b"PK\x03\x04") {
            pickle::tensors(path, &bytes)?
        } else if bytes.starts_with(&[0x80]) {
            let remedy = "load it with torch and save it again: PyTorch 1.6 and newer write archives";
            return Err(unfit(path, "is a bare pickle, as PyTorch wrote before 1.6", remedy));
        } else {
            safetensors(path, &bytes)?
        };
        for (name, tensor) in &tensors {
            let sum = tensor.abs()?.sum_all()?.to_scalar::<f32>()?;
            if !sum.is_finite() {
                let hint = format!("fetch {} again, or another revision of it", path.display());
                return Err(Error::NonFinite { name: name.clone(), value: f64::from(sum), hint });
            }
        }
        Ok(Self { tensors, crc32: crc32fast::hash(&bytes) })
    }
}

/// A file of weights: on this machine, or in a model's repository on the Hub.
#[derive(Clone, Copy, Debug)]
pub struct WeightsFile<'a> {
    /// Path below the folder of the data, or in the repository.
    pub file: &'a Path,
    /// `OWNER/NAME` of the repository, if it is on the Hub.
    pub hub: Option<&'a str>,
    /// Branch, tag or commit there.
    pub revision: Option<&'a str>,
}

impl WeightsFile<'_> {
    /// Name of Hugging Face's description of what a model reads.
    pub const PREPROCESSOR: &'static str = "preprocessor_config.json";
    /// Name of the description of a model, where timm says what it reads.
    pub const CONFIG: &'static str = "config.json";

    /// Checks that there may be such a file, without looking for it.
    ///
    /// # Errors
    /// If the repository's name is none, or needs the feature `hub`, or there is a revision of no repository.
    pub fn check(&self) -> Result<()> {
        match (self.hub, self.revision) {
            (Some(repository), revision) => hub::check_model(repository, revision, self.file),
            (None, Some(_)) => {
                Err(Error::invalid("revision", "is that of no repository", "name one as `hub`, or leave it out"))
            }
            (None, None) => Ok(()),
        }
    }

    /// Where the file is on this machine: below `root`, unless its path is absolute, or in the Hub's cache, after
    /// fetching it if need be. With it are fetched [`PREPROCESSOR`](Self::PREPROCESSOR) and [`CONFIG`](Self::CONFIG) of
    /// the same folder and revision, if there are such files.
    ///
    /// # Errors
    /// If it is not there, or it or what is beside it cannot be fetched.
    pub fn locate(&self, root: Option<&Path>) -> Result<PathBuf> {
        self.check()?;
        match (self.hub, root) {
            (Some(repository), _) => {
                hub::model(repository, self.revision, self.file, &[Self::PREPROCESSOR, Self::CONFIG])
            }
            (None, Some(root)) => Ok(root.join(self.file)),
            (None, None) => Ok(self.file.into()),
        }
    }
}

/// Whether bytes begin with a header as of safetensors: eight bytes of its length, which is less than 4 GiB, then JSON.
/// The low bytes of a length may be those that other formats begin with.
fn is_safetensors(bytes: &[u8]) -> bool {
    bytes.get(4..9) == Some(b"\0\0\0\0{")
}

/// The float tensors of a safetensors file.
fn safetensors(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let file = parse(path, bytes)?;
    let is_float = |kind| matches!(kind, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64);
    let weights = file.iter().filter(|(_, view)| is_float(view.dtype()));
    let one = |(name, view): (&str, _)| {
        let values = floats(path, name, &view)?;
        Ok((name.to_owned(), Tensor::from_vec(values, view.shape(), &Device::Cpu)?))
    };
    weights.map(one).collect()
}

#[cfg(test)]
mod tests;
