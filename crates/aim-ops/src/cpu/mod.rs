//! Kernels for the processor.

pub(crate) mod kernel;
