//! The folder of a model as it lies on the Hub: `config.json` and weights in safetensors files.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{Error, Result};

/// A JSON file of a model's folder.
pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let remedy = "give the folder of a model as the Hub has it";
    let text = fs::read_to_string(path).map_err(|e| Error::invalid(path.display(), e, remedy))?;
    serde_json::from_str(&text).map_err(|e| Error::invalid(path.display(), e, remedy))
}

#[derive(Deserialize)]
struct Index {
    weight_map: std::collections::BTreeMap<String, String>,
}

/// The files that hold the weights: one, or those that an index names.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let index = folder.join("model.safetensors.index.json");
    let names: BTreeSet<String> = if index.exists() {
        json::<Index>(&index)?.weight_map.into_values().collect()
    } else {
        BTreeSet::from(["model.safetensors".to_owned()])
    };
    let plain = |name: &String| Path::new(name).file_name() == Some(name.as_ref());
    if let Some(name) = names.iter().find(|name| !plain(name)) {
        let problem = format!("`{name}` is not the name of a file beside it");
        return Err(Error::invalid(index.display(), problem, "give the folder of a model as the Hub has it"));
    }
    let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    match paths.iter().find(|path| !path.is_file()) {
        None => Ok(paths),
        Some(missing) => {
            let remedy = "give a folder with the model's safetensors files";
            Err(Error::invalid(missing.display(), "there is no such file", remedy))
        }
    }
}

/// The weights of a model's folder: in f32 on the CPU, in bf16 on other devices.
pub(crate) fn weights(folder: &Path, device: &Device) -> Result<VarBuilder<'static>> {
    let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
    // SAFETY: the files are read through a map and must not be changed meanwhile; nothing here writes to them.
    Ok(unsafe { VarBuilder::from_mmaped_safetensors(&files(folder)?, dtype, device)? })
}

/// One id or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(u32),
    Several(Vec<u32>),
}

#[derive(Deserialize)]
struct Generation {
    eos_token_id: Option<Ids>,
}

/// Tokens that end a text: those of `generation_config.json` if it is there, else of `config.json`.
pub(crate) fn end_tokens(folder: &Path) -> Result<Vec<u32>> {
    let generation = folder.join("generation_config.json");
    let path = if generation.exists() { generation } else { folder.join("config.json") };
    Ok(match json::<Generation>(&path)?.eos_token_id {
        None => vec![],
        Some(Ids::One(id)) => vec![id],
        Some(Ids::Several(ids)) => ids,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_files_beside_it_only() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("model");
        fs::create_dir_all(folder.join("within")).unwrap();
        for path in ["other", "model/first", "model/within/first"] {
            fs::write(root.path().join(path), "").unwrap();
        }
        let with = |name: &str| {
            let index = serde_json::json!({"weight_map": {"a": name, "b": name}}).to_string();
            fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
            files(&folder).map_err(|e| e.to_string())
        };
        assert_eq!(with("first"), Ok(vec![folder.join("first")]));
        for name in ["../other", "within/first", "./first", "/dev/null", "..", ""] {
            let error = with(name).unwrap_err();
            assert!(error.contains("index.json: ") && error.contains("a file beside it"), "{name}: {error}");
        }
        assert!(with("second").unwrap_err().contains("there is no such file"));
    }
}
