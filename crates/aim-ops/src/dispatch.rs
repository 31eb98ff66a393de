//! Which implementation of an operation a device has.

/// Calls `op` of the module for the device of a tensor: `cpu`, `cuda` or, for all others, `compose`.
macro_rules! on_device {
    ($x:expr, $op:ident($($arg:expr),* $(,)?)) => {
        match $x.device() {
            candle_core::Device::Cpu => $crate::cpu::$op($($arg),*),
            #[cfg(feature = "cuda")]
            candle_core::Device::Cuda(_) => $crate::cuda::$op($($arg),*),
            _ => $crate::compose::$op($($arg),*),
        }
    };
}

/// Returns what `op` gives on devices other than the CPU.
macro_rules! unless_on_cpu {
    ($x:expr, $module:ident::$op:ident($($arg:expr),* $(,)?)) => {
        match $x.device() {
            candle_core::Device::Cpu => {}
            #[cfg(feature = "cuda")]
            candle_core::Device::Cuda(_) => return $crate::cuda::$module::$op($($arg),*),
            _ => return $crate::compose::$module::$op($($arg),*),
        }
    };
}

pub(crate) use {on_device, unless_on_cpu};
