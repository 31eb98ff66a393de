//! A batch of samples of any number of modalities.

use std::collections::BTreeMap;

use candle_core::{DType, IndexOp, Tensor};

use crate::{Criterion, Error, Input, Result};

/// Samples of every modality, with labels and ids.
#[derive(Clone, Debug)]
pub struct Batch {
    /// One input a modality, in the network's order.
    pub inputs: Vec<Input>,
    /// Class indices `[B]`, u32.
    pub labels: Tensor,
    /// How the task's loss counts them.
    pub criterion: Criterion,
    /// Index of each sample in its split: what per-sample predictions and per-sample method state are filed under.
    pub ids: Vec<usize>,
    /// 1 where a sample has a modality, `[B, M]`; `None` where every sample has every modality.
    pub present: Option<Tensor>,
    /// Modalities whose encoders rest, by index: no sample has them, and their features are zeros without the encoder
    /// being run, so that it has no gradient and its running statistics stay.
    pub resting: Vec<usize>,
    /// Draws or constants supplied from outside in place of a method's own (masks, mixing factors, prototypes), by
    /// name.
    pub given: BTreeMap<String, Tensor>,
}

impl Batch {
    /// A batch of one tensor a modality, in which every modality is present and no position is padding that is told of;
    /// ids count from 0.
    ///
    /// # Errors
    /// If a modality has another number of samples than the labels.
    pub fn new(inputs: Vec<Tensor>, labels: Tensor) -> Result<Self> {
        Self::of(inputs.into_iter().map(Input::from).collect(), labels)
    }

    /// The same of inputs that may say which positions are real.
    ///
    /// # Errors
    /// If a modality has another number of samples than the labels.
    pub fn of(inputs: Vec<Input>, labels: Tensor) -> Result<Self> {
        let len = labels.dims1()?;
        for (m, x) in inputs.iter().map(|x| &x.values).enumerate() {
            if x.dims().first() != Some(&len) {
                return Err(Error::shape(format!("input of modality {m}"), x.dims(), format!("[{len}, ...]")));
            }
        }
        let (ids, given) = ((0..len).collect(), BTreeMap::new());
        Ok(Self { inputs, labels, criterion: Criterion::default(), ids, present: None, resting: vec![], given })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The samples at `rows` (u32), in that order. Supplied draws stay as they are.
    ///
    /// # Errors
    /// If there is no such row.
    pub fn rows(&self, rows: &Tensor) -> Result<Self> {
        let pick = |t: &Tensor| t.index_select(rows, 0);
        let ids = rows.to_vec1::<u32>()?.into_iter().filter_map(|i| self.ids.get(i as usize).copied()).collect();
        Ok(Self {
            inputs: self.inputs.iter().map(|x| x.rows(rows)).collect::<Result<_>>()?,
            labels: pick(&self.labels)?,
            criterion: self.criterion.clone(),
            ids,
            present: self.present.as_ref().map(pick).transpose()?,
            resting: self.resting.clone(),
            given: self.given.clone(),
        })
    }

    /// The samples that have modality `m`; `None` if that is all.
    ///
    /// # Errors
    /// If there is no such modality.
    pub fn having(&self, m: usize) -> Result<Option<Self>> {
        let Some(present) = &self.present else { return Ok(None) };
        let known = present.narrow(1, m, 1)?.squeeze(1)?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        let rows: Vec<u32> = (0..).zip(&known).filter(|(_, known)| **known > 0.).map(|(i, _)| i).collect();
        if rows.len() == known.len() {
            return Ok(None);
        }
        Ok(Some(self.rows(&Tensor::new(rows, self.labels.device())?)?))
    }

    /// The first `n` samples.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn head(&self, n: usize) -> Result<Self> {
        Ok(Self {
            inputs: self.inputs.iter().map(|x| x.head(n)).collect::<Result<_>>()?,
            labels: self.labels.i(..n)?,
            criterion: self.criterion.clone(),
            ids: self.ids[..n.min(self.ids.len())].to_vec(),
            present: self.present.as_ref().map(|p| p.i(..n)).transpose()?,
            resting: self.resting.clone(),
            given: self.given.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn samples_that_have_a_modality() {
        let x = |values: [f32; 3]| Tensor::new(&values, &Device::Cpu).unwrap().unsqueeze(1).unwrap();
        let labels = Tensor::new(&[0u32, 1, 2], &Device::Cpu).unwrap();
        let mut batch = Batch::new(vec![x([1., 2., 3.]), x([4., 5., 6.])], labels).unwrap();
        assert!(batch.having(0).unwrap().is_none());
        batch.present = Some(Tensor::new(&[[1f32, 1.], [0., 1.], [1., 0.]], &Device::Cpu).unwrap());
        let own = batch.having(0).unwrap().unwrap();
        assert_eq!((own.ids.as_slice(), own.labels.to_vec1::<u32>().unwrap()), ([0, 2].as_slice(), vec![0, 2]));
        assert_eq!(own.inputs[1].values.to_vec2::<f32>().unwrap(), [[4.], [6.]]);
        assert_eq!(own.present.unwrap().to_vec2::<f32>().unwrap(), [[1., 1.], [1., 0.]]);
        batch.present = Some(Tensor::zeros((3, 2), DType::F32, &Device::Cpu).unwrap());
        assert!(batch.having(1).unwrap().unwrap().is_empty());
    }
}
