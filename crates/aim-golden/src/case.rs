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
        Ok(Self {
            dir: dir.into(),
            device: device.clone(),
            spec,
            init: if init.exists() { tensors(&init)? } else { BTreeMap::new() },
            batch: tensors(&dir.join("batch.safetensors"))?,
            expected: tensors(&dir.join("expected.safetensors"))?,
        })
    }

    /// A tensor of the batch file.
    pub fn batch(&self, key: &str) -> Result<&Tensor> {
        self.batch.get(key).ok_or_else(|| self.invalid(format!("no batch tensor `{key}`")))
    }

    pub fn invalid(&self, problem: impl Into<String>) -> Error {
        Error::invalid(self.dir.display().to_string(), problem, "the case must follow FORMAT.md")
    }
}

fn tensors(path: &Path, device: &Device) -> Result<BTreeMap<String, Tensor>> {
    if !path.exists() {
        return Err(Error::io(path, std::io::ErrorKind::NotFound.into()));
    }
    let map = candle_core::safetensors::load(path, device).at(|| path.display().to_string())?;
    Ok(map.into_iter().collect())
}
