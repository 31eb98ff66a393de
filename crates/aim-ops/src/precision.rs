//! How exact products are on devices that offer a choice.

use std::sync::atomic::{AtomicBool, Ordering};

static TF32: AtomicBool = AtomicBool::new(false);

/// Whether convolutions and matrix products on CUDA devices may round their operands to TF32 (10 bits of mantissa), which is
/// several times as fast; not by default. For the whole process; without effect on other devices.
pub fn allow_tf32(allow: bool) {
    TF32.store(allow, Ordering::Relaxed);
    #[cfg(feature = "cuda")]
    candle_core::cuda::set_gemm_reduced_precision_f32(allow);
}

/// What [`allow_tf32`] was last told.
pub fn tf32_allowed() -> bool {
    TF32.load(Ordering::Relaxed)
}
