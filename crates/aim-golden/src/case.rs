//! Reading a case folder.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aim_core::{Context, Error, Result};
use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde_json::Value;

/// `case.json`, as far as running the case needs it.
#[derive(Debug, Deserialize)]
pub(crate) struct Spec {
    pub method: String,
    pub kind: String,
    pub model: Option<Model>,
    #[serde(default)]
    pub hyper: BTreeMap<String, Value>,
    pub optimizer: Option<BTreeMap<String, Value>>,
    /// Tensors of the init file that are no parameters; a name stands for all that begin with it and a dot.
    #[serde(default)]
    pub extra_init: Vec<String>,
    pub steps: usize,
    pub epoch: usize,
    pub tolerance: BTreeMap<String, Tolerance>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Model {
    pub modalities: Vec<String>,
    pub encoders: BTreeMap<String, BTreeMap<String, Value>>,
    pub fusion: String,
    pub classes: usize,
    pub uni_heads: Option<bool>,
    /// What else the case says of its network.
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

/// Largest difference that passes: `atol + rtol * |expected|`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Tolerance {
    pub atol: f64,
    pub rtol: f64,
}

/// A case with its tensors.
pub(crate) struct Case {
    pub dir: PathBuf,
    pub device: Device,
    pub spec: Spec,
    pub init: BTreeMap<String, Tensor>,
    pub batch: BTreeMap<String, Tensor>,
    pub expected: BTreeMap<String, Tensor>,
}

impl Case {
    /// Reads a case; the tensors of one that trains go to `device`.
    pub fn load(dir: &Path, device: &Device) -> Result<Self> {
        let path = dir.join("case.json");
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        let spec: Spec = serde_json::from_str(&text)
            .map_err(|e| Error::invalid(path.display().to_string(), e.to_string(), "write it as FORMAT.md says"))?;
        let init = dir.join("init.safetensors");
        let device = if spec.kind == "training" { device } else { &Device::Cpu };
        let tensors = |path: &Path| tensors(path, device);
        let case = Self {
            dir: dir.into(),
            device: device.clone(),
            spec,
            init: if init.exists() { tensors(&init)? } else { BTreeMap::new() },
            batch: tensors(&dir.join("batch.safetensors"))?,
            expected: tensors(&dir.join("expected.safetensors"))?,
        };
        case.bounded().map(|()| case)
    }

    /// Refuses a model larger than its initial values, before its parameters are made: no size can exceed their number.
    fn bounded(&self) -> Result<()> {
        let values: usize = self.init.values().map(Tensor::elem_count).sum();
        let Some(model) = &self.spec.model else { return Ok(()) };
        let sizes = model.encoders.values().flat_map(|encoder| encoder.values()).map(largest);
        match sizes.chain([model.classes as u64]).max() {
            Some(size) if size > values as u64 => {
                Err(self.invalid(format!("has a model of size {size}, but {values} initial values")))
            }
            _ => Ok(()),
        }
    }

    /// A tensor of the batch file.
    pub fn batch(&self, key: &str) -> Result<&Tensor> {
        self.batch.get(key).ok_or_else(|| self.invalid(format!("no batch tensor `{key}`")))
    }

    pub fn invalid(&self, problem: impl Into<String>) -> Error {
        Error::invalid(self.dir.display().to_string(), problem, "the case must follow FORMAT.md")
    }
}

/// The largest whole number in a value.
fn largest(value: &Value) -> u64 {
    match value {
        Value::Array(all) => all.iter().map(largest).max().unwrap_or(0),
        Value::Object(all) => all.values().map(largest).max().unwrap_or(0),
        other => other.as_u64().unwrap_or(0),
    }
}

fn tensors(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    if !path.exists() {
        return Err(Error::io(path, std::io::ErrorKind::NotFound.into()));
    }
    let map = candle_core::safetensors::load(path, device).at(|| path.display().to_string())?;
    Ok(map.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_larger_than_its_initial_values_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let golden = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/joint-mlp-concat-sgd"));
        for file in ["init.safetensors", "batch.safetensors", "expected.safetensors"] {
            std::fs::copy(golden.join(file), folder.path().join(file)).unwrap();
        }
        let text = std::fs::read_to_string(golden.join("case.json")).unwrap();
        let read = |text: &str| {
            std::fs::write(folder.path().join("case.json"), text).unwrap();
            Case::load(folder.path(), &Device::Cpu).map(drop).map_err(|e| e.to_string())
        };
        assert_eq!(read(&text), Ok(()));
        let error = read(&text.replacen("24", "4294967296", 1)).unwrap_err();
        assert!(error.contains("has a model of size 4294967296, but "), "{error}");
    }
}
