//! Safetensors of any number type, as f32.

use std::{collections::BTreeMap, fmt, io::Read, path::Path};

use aim_core::{Error, Result};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;

use crate::files::{broken, open, unfit};

/// Parses a file's bytes.
pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|e| incomplete(path, e))
}

/// Shapes of a file's tensors by their names, of which only its header is read.
pub(crate) fn shapes(path: &Path) -> Result<BTreeMap<String, Vec<usize>>> {
    let (mut file, mut head) = (open(path)?, vec![]);
    file.by_ref().take(8).read_to_end(&mut head).map_err(|e| Error::io(path, e))?;
    let length = head.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    file.take(length.min(LONGEST)).read_to_end(&mut head).map_err(|e| Error::io(path, e))?;
    // The library's own reading of a header wants to see all values.
    let about: Value = serde_json::from_slice(head.get(8..).unwrap_or_default()).map_err(|e| incomplete(path, e))?;
    let size = |dim: &Value| dim.as_u64().and_then(|dim| usize::try_from(dim).ok());
    let shape = |tensor: &Value| tensor["shape"].as_array()?.iter().map(size).collect::<Option<Vec<_>>>();
    let tensors = about.as_object().into_iter().flatten().filter(|(name, _)| *name != "__metadata__");
    let found = tensors.map(|(name, tensor)| Some((name.clone(), shape(tensor)?))).collect::<Option<_>>();
    found.ok_or_else(|| incomplete(path, "a tensor has no shape"))
}

/// Longest header that safetensors reads, in bytes.
const LONGEST: u64 = 100_000_000;

fn incomplete(path: &Path, e: impl fmt::Display) -> Error {
    broken(path, format!("is no complete safetensors file ({e})"))
}

/// The whole numbers of a tensor of any type, exactly; an error holds a value that is none, or that a float need not
/// hold.
pub(crate) fn wholes(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Vec<Result<i128, f64>>> {
    let b = view.data();
    let exact = |v: f64| if v.fract() == 0. && v.abs() <= 9_007_199_254_740_992. { Ok(v as i128) } else { Err(v) };
    match view.dtype() {
        Dtype::U64 => words(b, |w| Ok(Ok(u64::from_le_bytes(w).into()))),
        Dtype::I64 => words(b, |w| Ok(Ok(i64::from_le_bytes(w).into()))),
        _ => numbers(path, name, view, |v| Ok(exact(v))),
    }
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
    numbers(path, name, view, fits)
}

/// What `of` makes of the values of a tensor, each as f64, which holds every stored number type but large 64-bit
/// integers exactly.
fn numbers<T>(path: &Path, name: &str, view: &TensorView<'_>, of: impl Fn(f64) -> Result<T>) -> Result<Vec<T>> {
    let b = view.data();
    match view.dtype() {
        Dtype::BOOL | Dtype::U8 => words(b, |w| of(u8::from_le_bytes(w).into())),
        Dtype::I8 => words(b, |w| of(i8::from_le_bytes(w).into())),
        Dtype::U16 => words(b, |w| of(u16::from_le_bytes(w).into())),
        Dtype::I16 => words(b, |w| of(i16::from_le_bytes(w).into())),
        Dtype::F16 => words(b, |w| of(f16::from_le_bytes(w).to_f64())),
        Dtype::BF16 => words(b, |w| of(bf16::from_le_bytes(w).to_f64())),
        Dtype::U32 => words(b, |w| of(u32::from_le_bytes(w).into())),
        Dtype::I32 => words(b, |w| of(i32::from_le_bytes(w).into())),
        Dtype::F32 => words(b, |w| of(f32::from_le_bytes(w).into())),
        Dtype::U64 => words(b, |w| of(u64::from_le_bytes(w) as f64)),
        Dtype::I64 => words(b, |w| of(i64::from_le_bytes(w) as f64)),
        Dtype::F64 => words(b, |w| of(f64::from_le_bytes(w))),
        other => Err(broken(path, format!("tensor `{name}` has type {other:?}, which is no plain number"))),
    }
}

/// What `of` makes of each word, in a vector of the right size at once: one that grows takes its memory twice.
fn words<const N: usize, T>(bytes: &[u8], of: impl Fn([u8; N]) -> Result<T>) -> Result<Vec<T>> {
    let words = bytes.as_chunks().0;
    let mut out = Vec::with_capacity(words.len());
    words.iter().try_for_each(|word| of(*word).map(|value| out.push(value)))?;
    Ok(out)
}
