//! What labels stand for in the task's loss.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use crate::{Error, Result};

/// How the task's cross-entropy counts labels; plain by default. Definitions are those of PyTorch's
/// `CrossEntropyLoss`: with smoothing `s`, weights `w` and `C` classes the loss of sample `i` is
/// `-(1 - s) w[y_i] log p_i[y_i] - s / C sum_c w[c] log p_i[c]`, and that of a batch is their sum over the sum of
/// `w[y_i]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Criterion {
    /// Label smoothing, from 0 to 1.
    pub smoothing: f64,
    /// Weight of each class; 1 each, if there are none.
    pub weights: Option<Arc<[f32]>>,
}

impl Criterion {
    /// What the loss of a batch with these labels is divided by: the sum of their weights, or their number.
    ///
    /// # Errors
    /// If a label has no weight.
    pub fn mass(&self, labels: &Tensor) -> Result<f64> {
        let Some(weights) = &self.weights else { return Ok(labels.elem_count() as f64) };
        let unknown = |label| {
            let problem = format!("label {label} has no weight, there are {}", weights.len());
            Error::invalid("class weights", problem, "give one weight a class")
        };
        let of = |label: u32| weights.get(label as usize).map(|w| f64::from(*w)).ok_or_else(|| unknown(label));
        labels.to_dtype(DType::U32)?.to_vec1()?.into_iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_mass_of_labels_by_hand() {
        let labels = Tensor::new(&[0u32, 2, 2], &Device::Cpu).unwrap();
        assert_eq!(Criterion::default().mass(&labels).unwrap(), 3.);
        let weighted = |weights: &[f32]| Criterion { smoothing: 0., weights: Some(weights.into()) }.mass(&labels);
        assert_eq!(weighted(&[0.5, 9., 2.]).unwrap(), 4.5);
        assert!(weighted(&[0.5, 9.]).unwrap_err().to_string().contains("label 2"));
    }
}
