//! Layers: parameter handles and how they are applied. The tensors come from the pass.

use aim_core::{Handle, Norm, Pass, Result};
use aim_ops::Act;
use candle_core::Tensor;

/// A low-rank addition to a weight: `scale B A`, in the weight's shape.
#[derive(Clone, Debug)]
pub struct Adapter {
    pub(crate) a: Handle,
    pub(crate) b: Handle,
    pub(crate) scale: f64,
}

impl Adapter {
    /// The sum of `weight` and the addition in this pass.
    ///
    /// # Errors
    /// If the weight has another number of elements.
    pub fn added_to(&self, weight: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        with_addition(weight, &pass.weight(&self.a), &pass.weight(&self.b), self.scale)
    }
}

/// `W + scale B A` in the shape of the weight W, for `A [rank, in]` and `B [out, rank]`.
///
/// # Errors
/// If the weight has another number of elements.
pub fn with_addition(weight: &Tensor, a: &Tensor, b: &Tensor, scale: f64) -> Result<Tensor> {
    let change = (b.matmul(a)? * scale)?;
    Ok((weight + change.reshape(weight.dims())?)?)
}

/// The weight of a layer in this pass, its addition included.
fn adapted(weight: &Handle, adapter: Option<&Adapter>, pass: &Pass<'_>) -> Result<Tensor> {
    let weight = pass.weight(weight);
    adapter.map_or_else(|| Ok(weight.clone()), |adapter| adapter.added_to(&weight, pass))
}

/// `x W^T + b`.
#[derive(Clone, Debug)]
pub struct Linear {
    pub(crate) weight: Handle,
    pub(crate) adapter: Option<Adapter>,
    pub(crate) bias: Option<Handle>,
}

impl Linear {
    /// Applies the layer to `[..., in]`.
    ///
    /// # Errors
    /// If the width does not fit.
    pub fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let bias = self.bias(pass);
        Ok(aim_ops::linear(x, &adapted(&self.weight, self.adapter.as_ref(), pass)?, bias.as_ref())?)
    }

    /// Applies the layer and ReLU behind it, in one operation.
    ///
    /// # Errors
    /// If the width does not fit.
    pub fn forward_relu(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let bias = self.bias(pass);
        Ok(aim_ops::linear_relu(x, &adapted(&self.weight, self.adapter.as_ref(), pass)?, bias.as_ref())?)
    }

    /// The weight `[out, in]` in this pass; heads have no low-rank addition.
    pub fn weight(&self, pass: &Pass<'_>) -> Tensor {
        pass.weight(&self.weight)
    }

    /// The bias `[out]` in this pass.
    pub fn bias(&self, pass: &Pass<'_>) -> Option<Tensor> {
        self.bias.as_ref().map(|b| pass.weight(b))
    }
}

/// 2-D convolution, with or without bias.
#[derive(Clone, Debug)]
pub struct Conv {
    pub(crate) weight: Handle,
    pub(crate) adapter: Option<Adapter>,
    pub(crate) bias: Option<Handle>,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

impl Conv {
    /// Applies the layer to `[B, C, H, W]`.
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let p = aim_ops::Conv2d { stride: self.stride, padding: self.padding, ..Default::default() };
        let bias = self.bias.as_ref().map(|b| pass.weight(b));
        Ok(aim_ops::conv2d(x, &adapted(&self.weight, self.adapter.as_ref(), pass)?, bias.as_ref(), p)?)
    }
}

/// 1-D convolution without bias.
#[derive(Clone, Debug)]
pub struct Conv1d {
    pub(crate) weight: Handle,
    pub(crate) adapter: Option<Adapter>,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

impl Conv1d {
    /// Applies the layer to `[B, C, L]`.
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let p = aim_ops::Conv1d { stride: self.stride, padding: self.padding, ..Default::default() };
        Ok(aim_ops::conv1d(x, &self.weight(pass)?, None, p)?)
    }

    /// The weight `[out, in, k]` in this pass, its low-rank addition included.
    pub(crate) fn weight(&self, pass: &Pass<'_>) -> Result<Tensor> {
        adapted(&self.weight, self.adapter.as_ref(), pass)
    }
}

/// Batch normalisation with PyTorch's semantics: eps 1e-5, momentum 0.1, biased variance to normalise with, unbiased
/// variance in the running statistics.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    pub(crate) weight: Handle,
    pub(crate) bias: Handle,
    pub(crate) running_mean: Handle,
    pub(crate) running_var: Handle,
}

const EPS: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

impl BatchNorm {
    /// `act(bn(x) + residual)` for `[B, C, ...]`, with the statistics that the pass's [`Norm`] names.
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn forward(&self, x: &Tensor, act: Act, residual: Option<&Tensor>, pass: &Pass<'_>) -> Result<Tensor> {
        let (gamma, beta) = (pass.weight(&self.weight), pass.weight(&self.bias));
        if pass.norm == Norm::Running || self.weight.frozen {
            let (mean, var) = (pass.weight(&self.running_mean), pass.weight(&self.running_var));
            return Ok(aim_ops::batch_norm_eval(x, &mean, &var, &gamma, &beta, EPS, act, residual)?);
        }
        let (y, stats) = aim_ops::batch_norm_train(x, &gamma, &beta, EPS, act, residual)?;
        // A single value says nothing of a spread.
        if pass.norm == Norm::Update && stats.count > 1 {
            let n = stats.count as f64;
            blend(&self.running_mean, &stats.mean, 1.)?;
            blend(&self.running_var, &stats.var, n / (n - 1.))?;
        }
        Ok(y)
    }
}

/// Updates a running statistic: `running = (1 - momentum) * running + momentum * scale * new`, momentum 0.1.
///
/// # Errors
/// If shapes differ.
pub fn blend(running: &Handle, new: &Tensor, scale: f64) -> Result<()> {
    let old = (running.var.as_detached_tensor() * (1. - MOMENTUM))?;
    Ok(running.var.set(&(old + (new.detach() * (MOMENTUM * scale))?)?)?)
}

/// Normalisation over the last dimension, with the eps of Hugging Face's transformers.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    pub(crate) weight: Handle,
    pub(crate) bias: Handle,
    pub(crate) eps: f64,
}

impl LayerNorm {
    /// The same with another constant beside the variance; 1e-12 at first, as in public transformers.
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }

    /// Applies the layer to `[..., width]`.
    ///
    /// # Errors
    /// If the width does not fit.
    pub fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        Ok(aim_ops::layer_norm(x, &pass.weight(&self.weight), &pass.weight(&self.bias), self.eps)?)
    }
}

#[cfg(test)]
mod tests {
    use aim_core::{Draws, Part, View};
    use candle_core::Device;

    use super::*;
    use crate::Build;

    #[test]
    fn a_view_replaces_running_statistics_too() {
        let mut build = Build::new(0, &Device::Cpu);
        let norm = build.batch_norm("bn", Part::Encoder { modality: 0, depth: 0 }, 1).unwrap();
        let number = |x: f32| Tensor::new(&[x], &Device::Cpu).unwrap();
        let x = Tensor::new(&[[3f32], [7.]], &Device::Cpu).unwrap();
        let apply = |pass: &Pass<'_>| {
            let y = norm.forward(&x, Act::None, None, pass).unwrap();
            y.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let close = |got: Vec<f32>, want: [f32; 2]| {
            assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-4), "{got:?} is not {want:?}");
        };
        // The network's own statistics are mean 0 and variance 1; the view's (x - 1) / sqrt(4).
        let view = View::from([("bn.running_mean".into(), number(1.)), ("bn.running_var".into(), number(4.))]);
        close(apply(&Pass::eval().view(&view)), [1., 3.]);
        close(apply(&Pass::eval()), [3., 7.]);
        // A training pass normalises by the batch, whatever the view says, and updates the network's own.
        close(apply(&Pass::train(Draws { seed: 0, epoch: 0, step: 0 }).view(&view)), [-1., 1.]);
        // mean 0.1 * 5, variance 0.9 * 1 + 0.1 * 8: (3 - 0.5) / sqrt(1.7), (7 - 0.5) / sqrt(1.7)
        close(apply(&Pass::eval()), [1.91741, 4.98527]);
        // A single value a channel leaves them as they are.
        let one = x.narrow(0, 0, 1).unwrap();
        norm.forward(&one, Act::None, None, &Pass::train(Draws { seed: 0, epoch: 0, step: 0 })).unwrap();
        close(apply(&Pass::eval()), [1.91741, 4.98527]);
    }
}
