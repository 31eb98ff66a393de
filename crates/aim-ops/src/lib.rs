//! Training-grade tensor operations for [candle](candle_core): every one has a real backward pass.
//!
//! All operations take f32 tensors, check their arguments and return errors that name the operation and the shapes; none panics.
//! Gradients are first order: a gradient is a constant, not a graph of its own.

mod activation;
mod check;
mod compose;
mod conv;
mod host;
mod linear;
mod loss;
mod norm;
mod pool;
mod transformer;
pub mod update;

pub use activation::{dropout, gelu, relu};
pub use conv::{Conv1d, Conv2d, conv1d, conv2d};
pub use linear::linear;
pub use loss::{Reduction, cross_entropy, soft_cross_entropy};
pub use norm::{Act, BatchStats, batch_norm_eval, batch_norm_train, layer_norm};
pub use pool::{Pool2d, avg_pool2d, global_avg_pool, max_pool2d};
pub use transformer::{attention, embedding, log_softmax, softmax};

#[cfg(test)]
mod tests;
