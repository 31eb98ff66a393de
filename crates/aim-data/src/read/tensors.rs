//! Safetensors of any number type, as f32.

use std::path::Path;

use aim_core::Result;
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::files::broken;

/// Parses a file's bytes.
pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|e| broken(path, format!("is no complete safetensors file ({e})")))
}

/// The values of a tensor as f64, which holds every stored number type but large 64-bit integers exactly.
pub(crate) fn numbers(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Vec<f64>> {
    let b = view.data();
    Ok(match view.dtype() {
        Dtype::BOOL | Dtype::U8 => b.iter().map(|v| f64::from(*v)).collect(),
        Dtype::I8 => b.iter().map(|v| f64::from(*v as i8)).collect(),
        Dtype::U16 => words(b, |w| f64::from(u16::from_le_bytes(w))),
        Dtype::I16 => words(b, |w| f64::from(i16::from_le_bytes(w))),
        Dtype::F16 => words(b, |w| f16::from_le_bytes(w).to_f64()),
        Dtype::BF16 => words(b, |w| bf16::from_le_bytes(w).to_f64()),
        Dtype::U32 => words(b, |w| f64::from(u32::from_le_bytes(w))),
        Dtype::I32 => words(b, |w| f64::from(i32::from_le_bytes(w))),
        Dtype::F32 => words(b, |w| f64::from(f32::from_le_bytes(w))),
        Dtype::U64 => words(b, |w| u64::from_le_bytes(w) as f64),
        Dtype::I64 => words(b, |w| i64::from_le_bytes(w) as f64),
        Dtype::F64 => words(b, f64::from_le_bytes),
        other => return Err(broken(path, format!("tensor `{name}` has type {other:?}, which is no plain number"))),
    })
}

fn words<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks::<N>().0.iter().map(|w| f(*w)).collect()
}
