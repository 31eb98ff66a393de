//! A batch of samples of any number of modalities.

use std::collections::BTreeMap;

use candle_core::{IndexOp, Tensor};

use crate::{Error, Result};

/// Samples of every modality, with labels and ids.
#[derive(Clone, Debug)]
pub struct Batch {
    /// One tensor a modality, `[B, ...]`, in the network's order.
    pub inputs: Vec<Tensor>,
    /// Class indices `[B]`, u32.
    pub labels: Tensor,
    /// Index of each sample in its split: what per-sample predictions and per-sample method state are filed under.
    pub ids: Vec<usize>,
    /// 1 where a sample has a modality, `[B, M]`; `None` where every sample has every modality.
    pub present: Option<Tensor>,
    /// Draws or constants supplied from outside in place of a method's own (masks, mixing factors, prototypes), by name.
    pub given: BTreeMap<String, Tensor>,
}

impl Batch {
    /// A batch in which every modality is present; ids count from 0.
    ///
    /// # Errors
    /// If a modality has another number of samples than the labels.
    pub fn new(inputs: Vec<Tensor>, labels: Tensor) -> Result<Self> {
        let len = labels.dims1()?;
        for (m, x) in inputs.iter().enumerate() {
            if x.dims().first() != Some(&len) {
                return Err(Error::shape(format!("input of modality {m}"), x.dims(), format!("[{len}, ...]")));
            }
        }
        Ok(Self { inputs, labels, ids: (0..len).collect(), present: None, given: BTreeMap::new() })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The first `n` samples.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn head(&self, n: usize) -> Result<Self> {
        Ok(Self {
            inputs: self.inputs.iter().map(|x| x.i(..n)).collect::<candle_core::Result<_>>()?,
            labels: self.labels.i(..n)?,
            ids: self.ids[..n.min(self.ids.len())].to_vec(),
            present: self.present.as_ref().map(|p| p.i(..n)).transpose()?,
            given: self.given.clone(),
        })
    }
}
