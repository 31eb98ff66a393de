//! Every operation as a composition of candle's own ones: slow on the CPU, right on every device.
//!
//! The fast kernels are tested against these, and devices without kernels of their own run them.

mod conv;
mod loss;
mod norm;
mod pool;
mod transformer;
pub(crate) mod update;

pub(crate) use conv::{conv1d, conv2d, linear};
pub(crate) use loss::{cross_entropy, soft_cross_entropy};
pub(crate) use norm::{batch_norm_eval, batch_norm_train, layer_norm, relu};
pub(crate) use pool::{avg_pool2d, global_avg_pool, max_pool2d};
pub(crate) use transformer::{additive_mask, attention, dropout, embedding, gelu, log_softmax, softmax};
