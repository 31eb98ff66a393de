//! Samples that a set does not hold, for networks that were trained on it: unlabelled rows of a manifest, or tensors.

use std::{collections::BTreeMap, path::Path};

use aim_core::{Batch, Error, Result};
use candle_core::Device;

use crate::{
    Columns, DatasetSpec, Decoding, Modality,
    sets::{Faults, NewArrays, NewRows},
};

/// What samples that a set does not hold can be given as.
#[derive(Clone, Debug)]
pub enum NewForm {
    /// Rows of a manifest.
    Manifest {
        /// Names of its columns.
        columns: Columns,
        /// How each modality is decoded.
        modalities: BTreeMap<String, Decoding>,
    },
    /// Tensors in a safetensors file or a NumPy archive.
    Arrays,
}

/// Where new samples are read from.
pub(crate) trait Reads {
    /// The samples at `index` as a batch whose ids are these indices and whose labels say nothing; none if one cannot
    /// be read, which is noted.
    fn read(&self, index: &[usize], device: &Device, faults: &mut Faults) -> Result<Option<Batch>>;

    /// Whether a sample has a modality.
    fn has(&self, sample: usize, modality: usize) -> bool;
}

/// Samples whose classes need not be known, in the order of their file.
pub struct NewSamples<'a> {
    file: &'a Path,
    ids: Vec<String>,
    labels: Vec<Option<u32>>,
    inputs: Box<dyn Reads>,
}

impl<'a> NewSamples<'a> {
    /// Opens a file of new samples for a network that was trained on `spec`, reads `modalities` and knows these
    /// classes. Of a manifest the rows are read and checked as a whole, their files a batch at a time; tensors are read
    /// at once.
    ///
    /// # Errors
    /// If the set takes no new samples, the file is none that it takes, or it lacks a modality; a label that is none of
    /// the classes, and every other fault of the rows, with its line.
    pub fn open(spec: &DatasetSpec, file: &'a Path, modalities: &[Modality], classes: &[String]) -> Result<Self> {
        let form = spec.new_form().ok_or_else(|| {
            let remedy = "train on the sets `manifest`, `corpus` or `bundle` to read files of your own";
            Error::invalid(format!("data set `{}`", spec.name()), "is read by its own loader alone", remedy)
        })?;
        suits(&form, file)?;
        match form {
            NewForm::Manifest { columns, modalities: decodings } => {
                let (rows, ids, labels) = NewRows::open(file, &columns, &decodings, modalities, classes)?;
                Ok(Self { file, ids, labels, inputs: Box::new(rows) })
            }
            NewForm::Arrays => {
                let (arrays, ids, labels) = NewArrays::open(file, modalities, classes)?;
                Ok(Self { file, ids, labels, inputs: Box::new(arrays) })
            }
        }
    }

    /// Name of each sample.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Class of each sample, where the file says it.
    pub fn labels(&self) -> &[Option<u32>] {
        &self.labels
    }

    /// Whether a sample has a modality.
    pub fn has(&self, sample: usize, modality: usize) -> bool {
        self.inputs.has(sample, modality)
    }

    /// Hands every sample to `act`, in batches of `size` in the order of the file; a batch's ids are indices of
    /// samples. Behind a sample that cannot be read the others are only looked at, and `act` is called no more.
    ///
    /// # Errors
    /// Every sample that cannot be read, with its line and the reason; an error of `act`.
    pub fn batches(&self, size: usize, device: &Device, act: &mut dyn FnMut(Batch) -> Result<()>) -> Result<()> {
        let (all, mut faults) = ((0..self.ids.len()).collect::<Vec<_>>(), Faults::default());
        for index in all.chunks(size.max(1)) {
            let batch = self.inputs.read(index, device, &mut faults)?;
            batch.filter(|_| faults.is_empty()).map_or(Ok(()), &mut *act)?;
        }
        faults.refuse(self.file)
    }
}

/// Refuses a file of the other form, by what its name ends with.
fn suits(form: &NewForm, file: &Path) -> Result<()> {
    let arrays = file.extension().is_some_and(|end| end == "safetensors" || end == "npz");
    let place = || file.display().to_string();
    match form {
        NewForm::Manifest { .. } if arrays => {
            let remedy = "give a CSV or JSONL file with a row a sample";
            Err(Error::invalid(place(), "holds tensors, and the network reads files by a manifest", remedy))
        }
        NewForm::Arrays if !arrays => {
            let remedy = "give a .safetensors or .npz file with x.<modality>";
            Err(Error::invalid(place(), "is no file of tensors, which the network reads", remedy))
        }
        _ => Ok(()),
    }
}
