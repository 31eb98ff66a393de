//! A user's own data: one safetensors file a split.
//!
//! Each file holds `x.<modality>` `[N, ...]` for every modality, `y` `[N]` (class indices) and, if wanted, `id` `[N]`
//! (whole numbers) and `present.<modality>` `[N]`, 0 where a sample lacks the modality and 1 elsewhere. Any plain
//! number type will do; values are taken as they are, so scale them beforehand. Arrays must be contiguous when they are
//! written (`numpy.ascontiguousarray`): safetensors 0.8.0 writes others as they lie in memory.

mod new;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use aim_config::{Rule, settings, words};
use aim_core::{Error, Result};
use safetensors::SafeTensors;

use crate::{
    Dataset, DatasetInfo, DatasetSettings, NewForm, Reading, Source, Subset,
    dataset::choose,
    files::{broken, bytes, existing, unfit},
    hub,
    read::tensors,
    table::Array,
};

pub(crate) use new::NewArrays;

/// Most classes: each has a name and a row of every head, so that a single wrong label could ask for all memory.
const CLASSES: u32 = 1 << 20;

/// Most bytes that a label, an id or a mark of presence takes while it is read.
const LABEL: u64 = 96;

/// A split's file.
const FILE: Rule = words("path").required();

static INFO: DatasetInfo = DatasetInfo {
    name: "bundle",
    about: "your own data: one safetensors file a split with x.<modality> [N, ...], y [N] and optionally id [N] \
            and present.<modality> [N]",
    modalities: "those in the files, in the order of their names or of the setting",
    needs_root: false,
};

settings! {
    /// Settings of `bundle`.
    pub struct Bundle {
        /// File of the training split.
        pub train: PathBuf = PathBuf::new() => FILE, "yours";
        /// File of the validation split.
        pub validation: PathBuf = PathBuf::new() => FILE, "yours";
        /// File of the test split; relative paths start at the current folder or else at the data folder,
        /// hf://datasets/OWNER/NAME[@REVISION]/PATH is fetched from the Hugging Face Hub (feature `hub`).
        pub test: PathBuf = PathBuf::new() => FILE, "yours";
        /// Modalities that are read, in this order.
        pub modalities: Option<Vec<String>> = None => words("names of modalities").shown("all, sorted"), "ours";
        /// Names of the classes, in the order of the labels.
        pub class_names: Option<Vec<String>> = None
            => words("names of classes").shown("0, 1, ... up to the largest training label"), "ours";
    }
}

impl DatasetSettings for Bundle {
    fn info(&self) -> &'static DatasetInfo {
        &INFO
    }
    fn check(&self) -> Result<()> {
        [("train", &self.train), ("validation", &self.validation), ("test", &self.test)]
            .into_iter()
            .try_for_each(|(key, path)| hub::check(key, path))
    }
    /// All values, and beside them the bytes of one file after the other.
    fn demand(&self, root: Option<&Path>, _: &Reading) -> Result<Option<u64>> {
        let (mut values, mut largest) = (0_u64, 0);
        for path in [&self.train, &self.validation, &self.test] {
            let path = locate(path, root)?;
            let bytes = std::fs::metadata(&path).map(|about| about.len()).map_err(|e| Error::io(&path, e))?;
            let size = |shape: &Vec<usize>| shape.iter().fold(4, |size: u64, d| size.saturating_mul(*d as u64));
            let taken = |name: &str| self.modalities.as_ref().is_none_or(|all| all.iter().any(|m| m == name));
            for (name, shape) in tensors::shapes(&path)? {
                let own = match name.strip_prefix("x.") {
                    Some(modality) if taken(modality) => size(&shape),
                    Some(_) => 0,
                    None => size(&shape).saturating_mul(LABEL / 4),
                };
                values = values.saturating_add(own);
            }
            largest = largest.max(bytes);
        }
        Ok(Some(values.saturating_add(largest)))
    }
    fn new_form(&self) -> Option<NewForm> {
        Some(NewForm::Arrays)
    }
    fn load(&self, root: Option<&Path>) -> Result<Dataset> {
        let files = [&self.train, &self.validation, &self.test].map(|path| locate(path, root));
        if let [Ok(train), Ok(validation), Ok(test)] = &files {
            differ(&[("train", train), ("validation", validation), ("test", test)])?;
        }
        let (modalities, train) = split(&self.train, root, "train", self.modalities.as_deref())?;
        let (_, validation) = split(&self.validation, root, "validation", Some(&modalities))?;
        let (_, test) = split(&self.test, root, "test", Some(&modalities))?;
        let class_names = match &self.class_names {
            Some(names) => names.clone(),
            None => counted_classes(&locate(&self.train, root)?, train.labels())?,
        };
        let [train, validation, test] = [train, validation, test].map(|split| -> Arc<dyn Source> { Arc::new(split) });
        Ok(Dataset { name: "bundle".to_owned(), modalities, class_names, train, validation, test })
    }
}

/// Refuses files of which two are one.
fn differ(files: &[(&str, &PathBuf); 3]) -> Result<()> {
    let same =
        |a: &Path, b: &Path| a == b || a.canonicalize().ok().is_some_and(|a| b.canonicalize().is_ok_and(|b| a == b));
    for (i, (name, path)) in files.iter().enumerate() {
        if let Some((other, _)) = files[..i].iter().find(|(_, other)| same(path, other)) {
            let problem = format!("is the file of `data.{other}`, too: {}", path.display());
            return Err(Error::invalid(format!("data.{name}"), problem, "give each split samples of its own"));
        }
    }
    Ok(())
}

/// Names of the classes up to the largest label. There must be no more of them than samples: a label that stands for
/// "ignore", as 255 or -1 stored without sign, would make thousands of classes that nothing is of.
fn counted_classes(path: &Path, labels: &[u32]) -> Result<Vec<String>> {
    let Some((row, largest)) = labels.iter().enumerate().max_by_key(|(row, label)| (**label, usize::MAX - row)) else {
        return Ok(vec![]);
    };
    if *largest as usize >= labels.len() {
        let samples = labels.len();
        let problem =
            format!("label {largest} of row {row} makes {} classes of {samples} samples", u64::from(*largest) + 1);
        let remedy =
            "leave out samples that are to be ignored, count classes from 0, or name all of them in class_names";
        return Err(unfit(path, problem, remedy));
    }
    Ok((0..=*largest).map(|class| class.to_string()).collect())
}

/// Refuses tensors that nothing would read.
fn unread(path: &Path, file: &SafeTensors<'_>) -> Result<()> {
    let there = |modality: &str| file.tensor(&format!("x.{modality}")).is_ok();
    let known = |name: &str| match name.split_once('.') {
        Some(("x", modality)) => !modality.is_empty(),
        Some(("present", modality)) => there(modality),
        _ => name == "y" || name == "id",
    };
    match file.names().into_iter().filter(|name| !known(name)).min() {
        None => Ok(()),
        Some(name) => {
            let problem = format!("has a tensor `{name}`, which nothing reads");
            let remedy = "name modalities x.<modality>, what samples have of them present.<modality>, labels y and ids id, \
                          and leave out what is none";
            Err(unfit(path, problem, remedy))
        }
    }
}

/// Reads one split; the modalities are those asked for or else all, sorted.
fn split(path: &Path, root: Option<&Path>, name: &str, want: Option<&[String]>) -> Result<(Vec<String>, Subset)> {
    let path = &locate(path, root)?;
    let bytes = bytes(path)?;
    let file = tensors::parse(path, &bytes)?;
    unread(path, &file)?;
    let mut have: Vec<String> =
        file.names().iter().filter_map(|n| n.strip_prefix("x.")).map(ToOwned::to_owned).collect();
    have.sort();
    let names = want.map_or_else(|| have.clone(), <[String]>::to_vec);
    choose(&path.display().to_string(), &have, &names)?;
    let labels = labels(path, &file)?;
    let present: Vec<_> = names.iter().map(|m| present(path, &file, m, labels.len())).collect::<Result<_>>()?;
    let input = |(m, present): (&String, &Vec<bool>)| input(path, &file, m, present);
    let inputs = names.iter().zip(&present).map(input).collect::<Result<_>>()?;
    let ids = ids(path, &file, name, labels.len())?;
    if let Some(row) = (0..labels.len()).find(|row| present.iter().all(|own| !own[*row])) {
        let problem = format!("sample `{}` of row {row} has none of the modalities", ids[row]);
        return Err(unfit(path, problem, "leave it out, or correct present.<modality>"));
    }
    Ok((names, Subset::new(inputs, labels, ids)?.present(present)?))
}

/// Whether each sample has a modality: all, where the file does not say.
fn present(path: &Path, file: &SafeTensors<'_>, modality: &str, len: usize) -> Result<Vec<bool>> {
    let name = format!("present.{modality}");
    let Ok(view) = file.tensor(&name) else { return Ok(vec![true; len]) };
    if view.shape() != [len] {
        let want = format!("[{len}], 0 or 1 a sample,");
        return Err(Error::shape(format!("{}: {name}", path.display()), view.shape(), want));
    }
    let flag = |(row, value): (usize, Result<i128, f64>)| match value {
        Ok(0) => Ok(false),
        Ok(1) => Ok(true),
        other => {
            let value = other.map_or_else(|float| float.to_string(), |whole| whole.to_string());
            Err(unfit(path, format!("{name} is {value} in row {row}"), "store 1 where a sample has it, else 0"))
        }
    };
    tensors::wholes(path, &name, &view)?.into_iter().enumerate().map(flag).collect()
}

/// Zeros in place of what samples lack, whatever stands there.
fn blank(array: &mut Array, present: &[bool]) {
    let size = array.size().max(1);
    let lacking = array.data.chunks_mut(size).zip(present).filter(|(_, has)| !**has);
    lacking.for_each(|(values, _)| values.fill(0.));
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

fn input(path: &Path, file: &SafeTensors<'_>, modality: &str, present: &[bool]) -> Result<candle_core::Tensor> {
    let (name, len) = (format!("x.{modality}"), present.len());
    let view = file.tensor(&name).map_err(|e| broken(path, format!("tensor `{name}`: {e}")))?;
    match view.shape().split_first() {
        Some((n, shape)) if *n == len && !shape.is_empty() => {
            let mut array = Array { data: tensors::floats(path, &name, &view)?, shape: shape.to_vec() };
            blank(&mut array, present);
            array.into_tensor()
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
    let refuse = |i: usize, label: String| {
        let problem = format!("label {label} of row {i} is no class index below {CLASSES}");
        unfit(path, problem, "store classes as whole numbers from 0, and leave out samples without one")
    };
    let class = |(i, v): (usize, Result<i128, f64>)| match v {
        Ok(v) => u32::try_from(v).ok().filter(|v| *v < CLASSES).ok_or_else(|| refuse(i, v.to_string())),
        Err(v) => Err(refuse(i, v.to_string())),
    };
    tensors::wholes(path, "y", &view)?.into_iter().enumerate().map(class).collect()
}

fn ids(path: &Path, file: &SafeTensors<'_>, split: &str, len: usize) -> Result<Vec<String>> {
    let Ok(view) = file.tensor("id") else { return Ok((0..len).map(|i| format!("{split}.{i}")).collect()) };
    if view.shape() != [len] {
        return Err(Error::shape(format!("{}: id", path.display()), view.shape(), format!("[{len}], an id a sample,")));
    }
    let whole = |(i, v): (usize, Result<i128, f64>)| {
        let wrong = |v: f64| unfit(path, format!("id {v} of row {i} is no whole number"), "store ids as whole numbers");
        v.map(|v| v.to_string()).map_err(wrong)
    };
    tensors::wholes(path, "id", &view)?.into_iter().enumerate().map(whole).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn a_label_that_would_ask_for_all_memory_is_refused() {
        let read = |label: u32| {
            let tensor = Tensor::new(&[0, label], &Device::Cpu).unwrap();
            let bytes = safetensors::serialize([("y", &tensor)], None).unwrap();
            labels(Path::new("a"), &SafeTensors::deserialize(&bytes).unwrap()).map_err(|e| e.to_string())
        };
        assert_eq!(read(CLASSES - 1), Ok(vec![0, CLASSES - 1]));
        let error = read(u32::MAX).unwrap_err();
        assert!(error.contains("a: label 4294967295 of row 1 is no class index"), "{error}");
    }
}
