//! What a step says about itself.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use crate::Result;

/// Named quantities of a step (losses, scores, coefficients, logits). They stay tensors, so noting one costs nothing
/// and never waits for a device.
#[derive(Clone, Debug, Default)]
pub struct Report(BTreeMap<String, Tensor>);

impl Report {
    /// Notes a tensor, cut off from the graph.
    pub fn note(&mut self, name: impl Into<String>, value: &Tensor) {
        self.0.insert(name.into(), value.detach());
    }

    /// Notes a number.
    ///
    /// # Errors
    /// If the tensor cannot be made.
    pub fn scalar(&mut self, name: impl Into<String>, value: f64) -> Result<()> {
        self.0.insert(name.into(), Tensor::new(value, &Device::Cpu)?);
        Ok(())
    }

    /// Notes a list of numbers, for instance one a depth.
    ///
    /// # Errors
    /// If the tensor cannot be made.
    pub fn list(&mut self, name: impl Into<String>, values: &[f64]) -> Result<()> {
        self.0.insert(name.into(), Tensor::new(values, &Device::Cpu)?);
        Ok(())
    }

    /// The quantity of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// All quantities, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Tensor)> {
        self.0.iter()
    }

    /// The values of one quantity, flattened; `None` where it was not noted.
    ///
    /// # Errors
    /// If a copy from the device fails.
    pub fn values(&self, name: &str) -> Result<Option<Vec<f64>>> {
        self.0.get(name).map(|t| Ok(t.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)).transpose()
    }
}
