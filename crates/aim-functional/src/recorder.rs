//! The backend that a constructor runs over once, to learn which parameters it declares.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aim_core::{Context as _, Result};
use candle_core::{DType, Device, Shape, Tensor, bail};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};

use crate::roles::Declared;

/// Answers zeros and notes what was asked for.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Declared>>>);

/// The parameters that a constructor asks for, in that order.
pub(crate) fn record<M>(
    construct: impl FnOnce(VarBuilder<'static>) -> candle_core::Result<M>,
    device: &Device,
) -> Result<Vec<Declared>> {
    let recorder = Recorder::default();
    construct(VarBuilder::from_backend(Box::new(recorder.clone()), DType::F32, device.clone()))
        .at(|| "constructor".into())?;
    let declared = recorder.list().clone();
    Ok(declared)
}

impl Recorder {
    fn list(&self) -> MutexGuard<'_, Vec<Declared>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimpleBackend for Recorder {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let (mut list, dims) = (self.list(), shape.dims());
        match list.iter().find(|d| d.name == name) {
            Some(known) if known.shape != dims => {
                bail!("`{name}` is asked for with the shapes {:?} and {dims:?}; give each its own name", known.shape)
            }
            Some(_) => {}
            None => list.push(Declared { name: name.into(), shape: dims.to_vec(), init }),
        }
        Tensor::zeros(shape, dtype, device)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let known = self.list().iter().find(|d| d.name == name).map(|d| d.shape.clone());
        match known {
            Some(shape) => Tensor::zeros(shape, dtype, device),
            None => bail!("`{name}` is asked for without a shape; use `VarBuilder::get` or `get_with_hints`"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.list().iter().any(|d| d.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_come_in_order_and_once() {
        let declared = record(
            |vb| {
                let norm = candle_nn::layer_norm(3, 1e-5, vb.pp("norm"))?;
                let tied = vb.pp("norm").get(3, "weight")?;
                vb.pp("norm").get_unchecked("bias")?;
                candle_nn::linear(2, 3, vb.pp("out")).map(|linear| (norm, tied, linear))
            },
            &Device::Cpu,
        );
        let names: Vec<_> = declared.unwrap().into_iter().map(|d| (d.name, d.shape)).collect();
        let want: [(&str, &[usize]); 4] =
            [("norm.weight", &[3]), ("norm.bias", &[3]), ("out.weight", &[3, 2]), ("out.bias", &[3])];
        assert_eq!(names, want.map(|(name, shape)| (name.to_owned(), shape.to_vec())));
    }

    #[test]
    fn what_cannot_be_declared_is_said() {
        let error = |f: fn(VarBuilder<'static>) -> candle_core::Result<Tensor>| {
            record(f, &Device::Cpu).unwrap_err().to_string()
        };
        let twice = error(|vb| {
            vb.get(2, "w")?;
            vb.get(3, "w")
        });
        assert!(twice.contains("constructor: `w` is asked for with the shapes [2] and [3]"), "{twice}");
        assert!(error(|vb| vb.get_unchecked("w")).contains("without a shape"));
    }
}
