//! The law of absence: what a modality would have said changes nothing.

use candle_core::{DType, Tensor};

use super::{Subject, same, values};
use crate::{Batch, Error, Output, Pass, Result};

impl Subject<'_> {
    /// The input of an absent modality reaches no logits, and its feature is 0.
    pub(super) fn absent(&self) -> Result<()> {
        for m in self.modalities() {
            let mut other = self.batch.clone();
            other.inputs[m] = self.others(m)?;
            let subset: Vec<bool> = self.modalities().map(|other| other != m).collect();
            let left_out = |batch: &Batch| self.net.forward(batch, &mut Pass::eval().subset(&subset));
            self.silent(m, "it is left out by `Pass::subset`", &left_out(self.batch)?, &left_out(&other)?)?;
            let present = self.present(m)?;
            let lacking = |batch: &Batch| {
                let batch = Batch { present: Some(present.clone()), ..batch.clone() };
                self.net.forward(&batch, &mut Pass::eval())
            };
            self.silent(m, "every sample lacks it by `Batch::present`", &lacking(self.batch)?, &lacking(&other)?)?;
        }
        Ok(())
    }

    /// That every sample has every modality but one.
    fn present(&self, m: usize) -> Result<Tensor> {
        let row: Vec<f32> = self.modalities().map(|other| if other == m { 0. } else { 1. }).collect();
        let device = self.batch.labels.device();
        Ok((Tensor::ones((self.batch.len(), 1), DType::F32, device)?)
            .matmul(&Tensor::new(row, device)?.unsqueeze(0)?)?)
    }

    /// Compares the outputs for two inputs of an absent modality.
    fn silent(&self, m: usize, why: &str, a: &Output, b: &Output) -> Result<()> {
        let remedy = "multiply its feature by 0 in `Net::fuse` where `Pass::includes` or `present` says so";
        let fail = |problem: String| Err(Error::invalid(self.name(m), problem, remedy));
        if values(&a.features[m])?.iter().any(|x| *x != 0.) {
            return fail(format!("its feature is not 0 although {why}"));
        }
        let pairs = std::iter::once((&a.logits, &b.logits)).chain(a.unimodal.iter().zip(&b.unimodal));
        for (a, b) in pairs {
            if !same(a, b)? {
                return fail(format!("its input changes the logits although {why}"));
            }
        }
        Ok(())
    }
}
