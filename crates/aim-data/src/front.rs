//! Audio front ends, which are those of `aim-media`, as tensors and with the errors of this workspace.

use aim_core::{Error, Result};
use candle_core::{Device, Tensor};

pub use aim_media::front::*;

/// A front end's refusal as an error of the workspace.
pub fn refused(error: aim_media::Error) -> Error {
    Error::invalid(error.place, error.problem, error.remedy)
}

/// A spectrogram as a tensor on the CPU.
///
/// # Errors
/// If the numbers are not as many as the shape says.
pub fn tensor(picture: &Spectrogram) -> Result<Tensor> {
    Ok(Tensor::from_slice(&picture.data, &picture.shape, &Device::Cpu)?)
}
