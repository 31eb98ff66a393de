//! The spread of a tensor, and noise added to one. Neither is part of a graph.

use candle_core::{Result, Tensor, bail};

use crate::{check, cpu, random::key};

/// Standard deviation of all elements (n - 1); NaN for a single one.
///
/// # Errors
/// A dtype other than f32, an empty `x`.
pub fn spread(x: &Tensor) -> Result<f64> {
    check::f32("spread", "x", x)?;
    check::not_empty("spread", "x", x)?;
    if x.device().is_cpu() {
        return cpu::spread(x);
    }
    let x = x.detach().flatten_all()?;
    let squares = x.broadcast_sub(&x.mean_keepdim(0)?)?.sqr()?.sum_all()?.to_scalar::<f32>()?;
    Ok((f64::from(squares) / (x.elem_count() as f64 - 1.)).sqrt())
}

/// `scale * x + std * n`, with `n` from the standard normal distribution: a pure function of `(seed, element index)`,
/// whatever the number of threads. No draw is further than 5.8 from 0.
///
/// # Errors
/// A dtype other than f32, a negative or infinite `std`.
pub fn noisy(x: &Tensor, scale: f64, std: f64, seed: u64) -> Result<Tensor> {
    check::f32("noisy", "x", x)?;
    if !(0. ..f64::INFINITY).contains(&std) {
        bail!("noisy: std must be a number that is not negative, got {std}");
    }
    let (x, key) = (x.detach(), key(seed));
    if x.device().is_cpu() {
        return cpu::noisy(&x, scale as f32, std as f32, key);
    }
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return crate::cuda::noisy(&x, scale as f32, std as f32, key);
    }
    let zeros = Tensor::zeros(x.shape(), x.dtype(), &candle_core::Device::Cpu)?;
    (x.clone() * scale)? + cpu::noisy(&zeros, 0., std as f32, key)?.to_device(x.device())?
}

/// [`noisy`] with the tensor's own [`spread`] as `std`, plus `floor`: a single element has no spread, and gets the
/// floor alone. Untried kernels of a CUDA device do not wait for it ([`Kernels`](crate::Kernels)).
///
/// # Errors
/// As [`spread`], and as [`noisy`] for the floor.
pub fn noisy_by_spread(x: &Tensor, scale: f64, floor: f64, seed: u64) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() && crate::kernels() == crate::Kernels::Untried {
        check::f32("noisy", "x", x)?;
        if let Some(y) = crate::cuda::noisy_by_spread(&x.detach(), scale as f32, floor as f32, key(seed))? {
            return Ok(y);
        }
    }
    let spread = spread(x)?;
    noisy(x, scale, if spread.is_finite() { spread } else { 0. } + floor, seed)
}
