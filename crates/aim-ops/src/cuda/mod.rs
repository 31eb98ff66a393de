//! Operations on NVIDIA devices: kernels of our own, matrix products by cuBLAS, convolutions by cuDNN.
//!
//! Nothing here waits for the device. Sums are taken in a fixed order, so a run gives the same bits each time (a
//! convolution that cuDNN's deterministic algorithms refuse excepted); they differ from the CPU's, whose order is
//! another. The kernels are compiled by NVRTC when the first one is needed.
//!
//! Tests run the same kernels and the same code around them on the CPU: see [`emulator`].

mod batch_norm;
mod elementwise;
mod launch;
mod linear;
mod many;
mod node;
mod norm;
mod pool;
mod softmax;
pub(crate) mod update;

#[cfg(feature = "cuda")]
mod conv;
#[cfg(feature = "cuda")]
mod cudnn;
#[cfg(feature = "cuda")]
mod driver;
#[cfg(test)]
mod emulator;
#[cfg(feature = "cuda")]
mod graph;
#[cfg(test)]
mod tests;

#[cfg(feature = "cuda")]
pub(crate) use {
    batch_norm::noisy_by_spread,
    conv::conv,
    driver::memory,
    elementwise::{dropout, embedding, gelu, noisy, relu},
    linear::linear,
    norm::{batch_norm_eval, batch_norm_train, layer_norm},
    pool::{avg_pool2d, global_avg_pool, max_pool2d},
    softmax::{attention, cross_entropy, log_softmax, soft_cross_entropy, softmax},
};

/// The source of all kernels.
const SOURCE: &str = concat!(
    include_str!("kernels/prelude.cu"),
    include_str!("kernels/elementwise.cu"),
    include_str!("kernels/norm.cu"),
    include_str!("kernels/batch_norm.cu"),
    include_str!("kernels/pool.cu"),
    include_str!("kernels/softmax.cu"),
    include_str!("kernels/update.cu"),
);
