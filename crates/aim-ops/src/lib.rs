//! Training-grade tensor operations for [candle](candle_core): every one has a real backward pass.
//!
//! All operations take f32 tensors, check their arguments and return errors that name the operation and the shapes;
//! none panics. Gradients are first order: a gradient is a constant, not a graph of its own. A gradient that nobody
//! asked for, such as that of a network's input or of a frozen weight, is not computed where it costs more than the
//! others' by-product.
//!
//! Gradients flow from one operation of this crate to the next without the zeros that candle's backward pass adds each
//! of them to; [`backward`] spares those of the variables as well. [`Tensor::backward`](candle_core::Tensor::backward)
//! gives the same.
//!
//! On the CPU every operation has kernels of its own (AMX, AVX-512, AVX2 or portable, chosen at run time),
//! [`unit_rows`] excepted. For one instruction set, results are the same bits for every run and every number of
//! threads.
//!
//! With the feature `cuda`, NVIDIA devices have kernels of their own as well, convolutions by cuDNN and matrix products
//! by cuBLAS: nothing but [`spread`] waits for the device, so labels (of 32 bits) and ids out of range give NaN there
//! instead of an error, and empty tensors are errors for all operations. [`Kernels`] says which of two implementations
//! they use where there is a newer one. On other devices the operations are compositions of candle's own.
//!
//! ```
//! use aim_ops::{Conv2d, conv2d, relu};
//! use candle_core::{Device, Tensor, Var};
//!
//! let x = Tensor::randn(0f32, 1., (2, 3, 8, 8), &Device::Cpu)?;
//! let w = Var::randn(0f32, 1., (4, 3, 3, 3), &Device::Cpu)?;
//! let y = relu(&conv2d(&x, &w, None, Conv2d { stride: 2, padding: 1, ..Conv2d::default() })?)?;
//! let gradients = y.sum_all()?.backward()?;
//! assert_eq!(gradients.get(&w).map(|g| g.dims()), Some(&[4, 3, 3, 3][..]));
//! # Ok::<(), candle_core::Error>(())
//! ```

mod activation;
mod check;
mod compose;
mod conv;
mod cpu;
// The tests run it in an emulator.
#[cfg(any(feature = "cuda", test))]
mod cuda;
mod custom;
mod dispatch;
mod host;
mod instructions;
mod kernels;
mod linear;
mod loss;
pub mod memory;
mod noise;
mod norm;
mod pool;
mod precision;
mod random;
mod relay;
mod rows;
mod transformer;
pub mod update;

pub use activation::{add, dropout, gelu, relu};
pub use conv::{Conv1d, Conv2d, conv1d, conv2d};
pub use instructions::instruction_set;
pub use kernels::{Kernels, kernels, set_kernels};
pub use linear::{linear, linear_relu};
pub use loss::{Reduction, cross_entropy, soft_cross_entropy, weighted_cross_entropy};
pub use noise::{noisy, noisy_by_spread, spread};
pub use norm::{Act, BatchStats, batch_norm_eval, batch_norm_train, layer_norm, unit_rows};
pub use pool::{Pool2d, avg_pool2d, global_avg_pool, max_pool2d};
pub use precision::{Precision, precision, set_precision};
pub use relay::backward;
pub use rows::keep_rows;
pub use transformer::{attention, embedding, log_softmax, multi_head_attention, softmax};

#[cfg(test)]
mod tests;
