//! A user's own data: one safetensors file a split.
//!
//! Each file holds `x.<modality>` `[N, ...]` for every modality, `y` `[N]` (class indices) and, if wanted, `id` `[N]`
//! (whole numbers). Any plain number type will do; values are taken as they are, so scale them beforehand.

use std::path::{Path, PathBuf};

use aim_core::{Error, Result};
use safetensors::SafeTensors;
use serde::Deserialize;

use crate::{
    Dataset, Subset,
    card::{Card, SettingCard},
    dataset::choose,
    files::{broken, bytes, existing},
    hub,
    read::tensors,
    settings::{Source, check_as, load_as, wrong},
    table::Array,
};

/// Card of the set.
pub(crate) const CARD: Card = Card {
    name: "bundle",
    about: "your own data: one safetensors file a split with x.<modality> [N, ...], y [N] and optionally id [N]",
    modalities: "those in the files, in the order of their names or of the setting",
    settings: &[
        SettingCard { name: "train", default: "-", range: "path", meaning: "file of the training split" },
        SettingCard { name: "validation", default: "-", range: "path", meaning: "file of the validation split" },
        SettingCard {
            name: "test",
            default: "-",
            range: "path",
            meaning: "file of the test split; relative paths start at the current folder or else at the data folder, \
                      hf://datasets/OWNER/NAME[@REVISION]/PATH is fetched from the Hugging Face Hub (feature `hub`)",
        },
        SettingCard {
            name: "modalities",
            default: "all, sorted",
            range: "list of names",
            meaning: "which modalities, in which order",
        },
        SettingCard {
            name: "class_names",
            default: "0, 1, ... up to the largest training label",
            range: "list of names",
            meaning: "names of the classes, in the order of the labels",
        },
    ],
    needs_root: false,
    check: check_as::<Bundle>,
    load: load_as::<Bundle>,
};

/// Settings of the set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Bundle {
    train: PathBuf,
    validation: PathBuf,
    test: PathBuf,
    modalities: Option<Vec<String>>,
    class_names: Option<Vec<String>>,
}

impl Source for Bundle {
    fn check(&self) -> Result<()> {
        for (key, path) in [("train", &self.train), ("validation", &self.validation), ("test", &self.test)] {
            if path.as_os_str().is_empty() {
                return Err(wrong(key, "is missing", "name the safetensors file of that split"));
            }
            hub::check(key, path)?;
        }
        Ok(())
    }

    fn read(self, root: Option<&Path>) -> Result<Dataset> {
        let (modalities, train) = split(&self.train, root, "train", self.modalities.as_deref())?;
        let (_, validation) = split(&self.validation, root, "validation", Some(&modalities))?;
        let (_, test) = split(&self.test, root, "test", Some(&modalities))?;
        let largest = train.labels.iter().max().map_or(0, |m| *m as usize + 1);
        let class_names = self.class_names.unwrap_or_else(|| (0..largest).map(|c| c.to_string()).collect());
        Ok(Dataset { name: "bundle".to_owned(), modalities, class_names, train, validation, test })
    }
}

/// Reads one split; the modalities are those asked for or else all, sorted.
fn split(path: &Path, root: Option<&Path>, name: &str, want: Option<&[String]>) -> Result<(Vec<String>, Subset)> {
    let path = &locate(path, root)?;
    let bytes = bytes(path)?;
    let file = tensors::parse(path, &bytes)?;
    let mut have: Vec<String> =
        file.names().iter().filter_map(|n| n.strip_prefix("x.")).map(ToOwned::to_owned).collect();
    have.sort();
    let names = want.map_or_else(|| have.clone(), <[String]>::to_vec);
    choose(&path.display().to_string(), &have, &names)?;
    let labels = labels(path, &file)?;
    let inputs = names.iter().map(|m| input(path, &file, m, labels.len())).collect::<Result<_>>()?;
    let ids = ids(path, &file, name, labels.len())?;
    Ok((names, Subset { inputs, labels, ids }))
}

fn locate(path: &Path, root: Option<&Path>) -> Result<PathBuf> {
    if let Some(fetched) = hub::local(path)? {
        return Ok(fetched);
    }
    match root.map(|root| root.join(path)) {
        Some(below) if !path.exists() && below.exists() => Ok(below),
        _ => existing(path.to_path_buf()),
    }
}

fn input(path: &Path, file: &SafeTensors<'_>, modality: &str, len: usize) -> Result<candle_core::Tensor> {
    let name = format!("x.{modality}");
    let view = file.tensor(&name).map_err(|e| broken(path, format!("tensor `{name}`: {e}")))?;
    match view.shape().split_first() {
        Some((n, shape)) if *n == len && !shape.is_empty() => {
            let data = tensors::numbers(path, &name, &view)?.into_iter().map(|v| v as f32).collect();
            Array { data, shape: shape.to_vec() }.tensor(&(0..len).collect::<Vec<_>>())
        }
        _ => {
            let want = format!("[{len}, ...], {len} samples as `y` has and at least one more dimension,");
            Err(Error::shape(format!("{}: {name}", path.display()), view.shape(), want))
        }
    }
}

fn labels(path: &Path, file: &SafeTensors<'_>) -> Result<Vec<u32>> {
    let view = file.tensor("y").map_err(|_| broken(path, "has no tensor `y` with the labels"))?;
    if view.shape().len() != 1 {
        return Err(Error::shape(format!("{}: y", path.display()), view.shape(), "[N]"));
    }
    let whole = |(i, v): (usize, f64)| {
        let fits = v >= 0. && v <= f64::from(u32::MAX) && v.fract() == 0.;
        fits.then_some(v as u32).ok_or_else(|| broken(path, format!("label {v} of row {i} is no class index")))
    };
    tensors::numbers(path, "y", &view)?.into_iter().enumerate().map(whole).collect()
}

fn ids(path: &Path, file: &SafeTensors<'_>, split: &str, len: usize) -> Result<Vec<String>> {
    let Ok(view) = file.tensor("id") else { return Ok((0..len).map(|i| format!("{split}.{i}")).collect()) };
    if view.shape() != [len] {
        return Err(Error::shape(format!("{}: id", path.display()), view.shape(), format!("[{len}], as `y` has")));
    }
    Ok(tensors::numbers(path, "id", &view)?.into_iter().map(|v| v.to_string()).collect())
}
