//! Safetensors of any number type, as f32.

use std::path::Path;

use aim_core::Result;
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::files::{broken, unfit};

/// Parses a file's bytes.
pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|e| broken(path, format!("is no complete safetensors file ({e})")))
}

/// The whole numbers of a tensor of any type, exactly; an error holds a value that is none, or that a float need not
/// hold.
pub(crate) fn wholes(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Vec<Result<i128, f64>>> {
    let b = view.data();
    let exact = |v: f64| if v.fract() == 0. && v.abs() <= 9_007_199_254_740_992. { Ok(v as i128) } else { Err(v) };
    Ok(match view.dtype() {
        Dtype::U64 => words(b, |w| Ok(u64::from_le_bytes(w).into())),
        Dtype::I64 => words(b, |w| Ok(i64::from_le_bytes(w).into())),
        _ => numbers(path, name, view)?.into_iter().map(exact).collect(),
    })
}

/// The values of a tensor as f32.
///
/// # Errors
/// If it holds no plain numbers, or whole numbers of more digits than f32 keeps.
pub(crate) fn floats(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Vec<f32>> {
    let whole = matches!(view.dtype(), Dtype::U32 | Dtype::I32 | Dtype::U64 | Dtype::I64);
    let fits = |v: f64| {
        if whole && f64::from(v as f32) != v {
            let problem = format!("value {v} of tensor `{name}` has more digits than are kept");
            return Err(unfit(path, problem, "scale the tensor, or store it as floats"));
        }
        Ok(v as f32)
    };
    numbers(path, name, view)?.into_iter().map(fits).collect()
}

/// The values of a tensor as f64, which holds every stored number type but large 64-bit integers exactly.
fn numbers(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Vec<f64>> {
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

fn words<const N: usize, T>(bytes: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|w| f(*w)).collect()
}
