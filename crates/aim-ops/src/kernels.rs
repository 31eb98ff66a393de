//! Which kernels CUDA devices run.

use std::sync::atomic::{AtomicBool, Ordering};

/// Which implementations CUDA devices use, where there are two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernels {
    /// Those whose results were compared with the CPU's on a device.
    #[default]
    Proven,
    /// Newer ones, meant to be faster, which no device has run yet: the emulator of the tests has, as far as it can.
    Untried,
}

static UNTRIED: AtomicBool = AtomicBool::new(false);

/// Chooses the kernels of CUDA devices, for the whole process; without effect on other devices.
pub fn set_kernels(kernels: Kernels) {
    UNTRIED.store(kernels == Kernels::Untried, Ordering::Relaxed);
}

/// The kernels of CUDA devices.
pub fn kernels() -> Kernels {
    if UNTRIED.load(Ordering::Relaxed) { Kernels::Untried } else { Kernels::Proven }
}
