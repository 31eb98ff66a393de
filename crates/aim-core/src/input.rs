//! What an encoder reads: the values of one modality, and which positions of its sequences are real.

use candle_core::{IndexOp, Tensor};

use crate::{Error, Result};

/// One modality of a batch.
#[derive(Clone, Debug)]
pub struct Input {
    /// The values `[B, ...]`.
    pub values: Tensor,
    /// 1 where a position of a sequence is real and 0 where it is padding, `[B, T]`, f32 or u8; `None` where all are
    /// real, or where the values themselves tell.
    pub valid: Option<Tensor>,
}

impl From<Tensor> for Input {
    fn from(values: Tensor) -> Self {
        Self { values, valid: None }
    }
}

impl Input {
    /// Sequences of unequal length, padded to one.
    ///
    /// # Errors
    /// If `valid` is no matrix with a row a sample.
    pub fn padded(values: Tensor, valid: Tensor) -> Result<Self> {
        let samples = values.dim(0)?;
        if valid.rank() != 2 || valid.dim(0)? != samples {
            return Err(Error::shape("valid positions", valid.dims(), format!("[{samples}, T]")));
        }
        Ok(Self { values, valid: Some(valid) })
    }

    /// Other values of the same length at the same positions: for whatever changes values one by one.
    #[must_use]
    pub fn with(&self, values: Tensor) -> Self {
        Self { values, valid: self.valid.clone() }
    }

    /// The samples at `rows` (u32), in that order.
    ///
    /// # Errors
    /// If there is no such row.
    pub fn rows(&self, rows: &Tensor) -> Result<Self> {
        self.both(|t| t.index_select(rows, 0))
    }

    /// The first `n` samples.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn head(&self, n: usize) -> Result<Self> {
        self.both(|t| t.i(..n))
    }

    /// The valid positions `[B, length]` as the values' type; `None` where none are told.
    ///
    /// # Errors
    /// If they are told for another length.
    pub fn valid_of(&self, length: usize) -> Result<Option<Tensor>> {
        let Some(valid) = &self.valid else { return Ok(None) };
        let want = [self.values.dim(0)?, length];
        if valid.dims() != want {
            let want =
                format!("{want:?}, by the axis that the encoder reads as time (`layout` of the data or the encoder),");
            return Err(Error::shape("valid positions", valid.dims(), want));
        }
        Ok(Some(valid.to_dtype(self.values.dtype())?))
    }

    fn both(&self, f: impl Fn(&Tensor) -> candle_core::Result<Tensor>) -> Result<Self> {
        Ok(Self { values: f(&self.values)?, valid: self.valid.as_ref().map(f).transpose()? })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn valid_positions_follow_their_samples() {
        let tensor = |rows: &[[f32; 2]; 3]| Tensor::new(rows, &Device::Cpu).unwrap();
        let valid = tensor(&[[1., 1.], [1., 0.], [0., 1.]]);
        let input = Input::padded(tensor(&[[1., 2.], [3., 0.], [0., 4.]]), valid).unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let rows = |i: &Input| [flat(&i.values), flat(i.valid.as_ref().unwrap())];
        let picked = input.rows(&Tensor::new(&[2u32, 0], &Device::Cpu).unwrap()).unwrap();
        assert_eq!(rows(&picked), [vec![0., 4., 1., 2.], vec![0., 1., 1., 1.]]);
        assert_eq!(rows(&input.head(1).unwrap()), [vec![1., 2.], vec![1., 1.]]);
        assert_eq!(rows(&input.with(tensor(&[[9.; 2]; 3])))[1], [1., 1., 1., 0., 0., 1.]);
    }

    #[test]
    fn valid_positions_of_another_length_are_refused() {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
        let refused = Input::padded(zeros(&[3, 2, 4]), zeros(&[2, 4])).unwrap_err().to_string();
        assert!(refused.contains("[3, T]"), "{refused}");
        let input = Input::padded(zeros(&[3, 2, 4]), zeros(&[3, 2])).unwrap();
        assert!(input.valid_of(2).unwrap().is_some() && Input::from(zeros(&[3, 4])).valid_of(4).unwrap().is_none());
        assert!(input.valid_of(4).unwrap_err().to_string().contains("[3, 4]"));
    }
}
