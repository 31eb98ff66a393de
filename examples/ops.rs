//! `aim-ops` alone with plain candle: a small convolutional network trained by gradient descent, on operations whose
//! backward passes are right and fast.
//!
//! ```text
//! cargo run --release -p aim-examples --bin ops
//! ```

use aim_ops::{Act, Conv2d, Reduction, backward, batch_norm_train, conv2d, cross_entropy, global_avg_pool, linear};
use candle_core::{DType, Device, Result, Tensor, Var};

const CLASSES: usize = 3;
const RATE: f64 = 0.5;

fn main() -> Result<()> {
    let device = Device::Cpu;
    let (images, labels) = gratings(96, &device)?;
    let var = |scale: f64, shape: &[usize]| Var::from_tensor(&wave(scale, shape, &device)?);
    let (kernel, weight) = (var(0.3, &[8, 1, 3, 3])?, var(0.3, &[CLASSES, 8])?);
    let (gain, shift) = (Var::ones(8, DType::F32, &device)?, Var::zeros(8, DType::F32, &device)?);
    let bias = Var::zeros(CLASSES, DType::F32, &device)?;
    let conv = Conv2d { padding: 1, ..Conv2d::default() };
    for step in 0..60 {
        let h = conv2d(&images, &kernel, None, conv)?;
        let (h, _) = batch_norm_train(&h, &gain, &shift, 1e-5, Act::Relu, None)?;
        let logits = linear(&global_avg_pool(&h)?, &weight, Some(&bias))?;
        let loss = cross_entropy(&logits, &labels, 0., Reduction::Mean)?;
        let gradients = backward(&loss)?;
        for var in [&kernel, &gain, &shift, &weight, &bias] {
            if let Some(gradient) = gradients.get(var) {
                var.set(&(var.as_tensor() - (gradient * RATE)?)?)?;
            }
        }
        if step % 20 == 0 || step == 59 {
            println!("step {step}: loss {:.3}", loss.to_scalar::<f32>()?);
        }
    }
    Ok(())
}

/// Pictures of 8 x 8 stripes that stand, lie or cross, and their classes.
fn gratings(samples: usize, device: &Device) -> Result<(Tensor, Tensor)> {
    let pixel = |k: usize| {
        let (class, y, x, phase) = (k / 64 % CLASSES, k / 8 % 8, k % 8, k / 192 % 4);
        let across = [x, y, x + y][class] + phase;
        if across % 4 < 2 { 1f32 } else { -1. }
    };
    let images = Tensor::from_iter((0..samples * 64).map(pixel), device)?.reshape((samples, 1, 8, 8))?;
    Ok((images, Tensor::from_iter((0..samples).map(|i| (i % CLASSES) as u32), device)?))
}

/// Weights without a generator: values of a wave that repeats nowhere.
fn wave(scale: f64, shape: &[usize], device: &Device) -> Result<Tensor> {
    let len: usize = shape.iter().product();
    Tensor::from_iter((0..len).map(|i| (scale * (1.7 * i as f64 + 0.3).sin()) as f32), device)?.reshape(shape)
}
