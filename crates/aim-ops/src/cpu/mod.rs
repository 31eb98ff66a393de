//! Operations on the processor: kernels for its instruction sets, work spread over threads.
//!
//! Results are the same bits for every number of threads: work is cut so that no sum depends on the cut.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
mod attention;
mod batch_norm;
mod conv;
mod conv_node;
mod elementwise;
mod embedding;
mod gemm;
pub(crate) mod kernel;
mod lanes;
mod layer_norm;
mod linear;
mod math;
mod matrix;
mod noise;
mod par;
mod planes;
mod pool;
mod reduce;
mod rows;
mod scratch;
mod shared;
mod simd;
mod softmax;
mod strided;
mod tiles;
mod transpose;
pub(crate) mod update;
mod vectors;
mod winograd;

pub(crate) use attention::{attention, multi_head_attention};
pub(crate) use batch_norm::{batch_norm_eval, batch_norm_train};
pub(crate) use conv::{Axis, Shape as ConvShape};
pub(crate) use conv_node::conv;
pub(crate) use elementwise::{add, dropout, gelu, relu};
pub(crate) use embedding::embedding;
pub(crate) use layer_norm::layer_norm;
pub(crate) use linear::linear;
pub(crate) use noise::{noisy, spread};
pub(crate) use pool::{WIDEST, avg_pool2d, global_avg_pool, max_pool2d};
pub(crate) use rows::keep_rows;
pub(crate) use softmax::{Targets, cross_entropy, log_softmax, softmax};

#[cfg(test)]
mod tests;
