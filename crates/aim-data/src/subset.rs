//! A split in memory.

use std::sync::OnceLock;

use aim_core::{Error, Input, Result};
use candle_core::{Device, Tensor};

use crate::{Reading, Source};

/// One split in memory.
#[derive(Clone, Debug)]
pub struct Subset {
    inputs: Vec<Input>,
    shapes: Vec<Vec<usize>>,
    labels: Vec<u32>,
    ids: Vec<String>,
    groups: Vec<u32>,
    /// By modality and sample; nothing where samples have all.
    present: Vec<Vec<bool>>,
    reading: OnceLock<Reading>,
}

impl Subset {
    /// A split of one tensor a modality: `[N, ...]`, f32, contiguous, on the CPU. `labels` and `ids` are those of the N
    /// samples.
    ///
    /// # Errors
    /// If their numbers differ.
    pub fn new(inputs: Vec<Tensor>, labels: Vec<u32>, ids: Vec<String>) -> Result<Self> {
        Self::of(inputs.into_iter().map(Input::from).collect(), labels, ids)
    }

    /// The same of inputs that may say which positions are real.
    ///
    /// # Errors
    /// If the numbers of samples differ.
    pub fn of(inputs: Vec<Input>, labels: Vec<u32>, ids: Vec<String>) -> Result<Self> {
        let len = labels.len();
        if ids.len() != len {
            return Err(Error::shape("ids of a split", &[ids.len()], format!("[{len}], as there are labels")));
        }
        let shape = |(m, x): (usize, &Input)| match x.values.dims().split_first() {
            Some((n, shape)) if *n == len => Ok(shape.to_vec()),
            _ => Err(Error::shape(format!("input of modality {m}"), x.values.dims(), format!("[{len}, ...]"))),
        };
        let shapes = inputs.iter().enumerate().map(shape).collect::<Result<_>>()?;
        Ok(Self { inputs, shapes, labels, ids, groups: vec![], present: vec![], reading: OnceLock::new() })
    }

    /// The split with the group of each sample, or without groups if there are none.
    ///
    /// # Errors
    /// If their number is another than that of the samples.
    pub fn grouped(self, groups: Vec<u32>) -> Result<Self> {
        if !groups.is_empty() && groups.len() != self.labels.len() {
            return Err(Error::shape("groups of a split", &[groups.len()], format!("[{}]", self.labels.len())));
        }
        Ok(Self { groups, ..self })
    }
}

impl Subset {
    /// The split of samples that may lack modalities: whether each has one, by modality and sample.
    ///
    /// # Errors
    /// If their numbers are others than those of the split.
    pub fn present(self, present: Vec<Vec<bool>>) -> Result<Self> {
        let fits = present.len() == self.inputs.len() && present.iter().all(|own| own.len() == self.labels.len());
        if !fits {
            let got = [present.len(), present.first().map_or(0, Vec::len)];
            let want = format!("{} modalities of {} samples", self.inputs.len(), self.labels.len());
            return Err(Error::shape("modalities that samples have", &got, want));
        }
        Ok(Self { present, ..self })
    }
}

impl Source for Subset {
    fn labels(&self) -> &[u32] {
        &self.labels
    }

    fn ids(&self) -> &[String] {
        &self.ids
    }

    fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }

    fn input(&self, modality: usize, index: &[usize], device: &Device) -> Result<Input> {
        let picks = Tensor::new(index.iter().map(|&i| i as u32).collect::<Vec<_>>(), &Device::Cpu)?;
        let Input { values, valid } = self.inputs[modality].rows(&picks)?;
        let valid = valid.map(|v| v.to_device(device)).transpose()?;
        Ok(Input { values: values.to_device(device)?, valid })
    }

    fn has(&self, sample: usize, modality: usize) -> bool {
        self.present.get(modality).is_none_or(|own| own.get(sample).copied().unwrap_or(false))
    }

    fn groups(&self) -> &[u32] {
        &self.groups
    }

    fn read_by(&self, reading: &Reading) {
        self.reading.get_or_init(|| reading.without_workers());
    }

    fn reading(&self) -> Reading {
        self.reading.get().cloned().unwrap_or_default()
    }
}
