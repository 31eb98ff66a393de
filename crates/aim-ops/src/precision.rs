//! How exact products are on devices that offer a choice.

use std::sync::atomic::{AtomicU8, Ordering};

/// To what CUDA devices round the operands of convolutions and matrix products; sums are f32, and so is everything
/// else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Not at all: 24 bits of mantissa.
    #[default]
    F32,
    /// To TF32: 11 bits, the exponents of f32.
    Tf32,
    /// To bfloat16: 8 bits, the exponents of f32, for convolutions and linear maps, whose results are rounded as well;
    /// what else is multiplied, as in attention, to TF32.
    Bf16,
}

static CHOSEN: AtomicU8 = AtomicU8::new(Precision::F32 as u8);

/// Chooses the precision of products on CUDA devices, for the whole process; without effect on other devices.
pub fn set_precision(precision: Precision) {
    CHOSEN.store(precision as u8, Ordering::Relaxed);
    // What candle multiplies itself.
    #[cfg(feature = "cuda")]
    candle_core::cuda::set_gemm_reduced_precision_f32(precision != Precision::F32);
}

/// The precision of products on CUDA devices.
pub fn precision() -> Precision {
    match CHOSEN.load(Ordering::Relaxed) {
        n if n == Precision::Tf32 as u8 => Precision::Tf32,
        n if n == Precision::Bf16 as u8 => Precision::Bf16,
        _ => Precision::F32,
    }
}
