//! Access to the memory of CPU tensors.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor, bail};

/// The elements of a contiguous layout.
fn slice<'a>(op: &str, storage: &'a Storage, layout: &Layout) -> Result<&'a [f32]> {
    let Storage::Cpu(CpuStorage::F32(data)) = storage else { bail!("{op}: operands must be f32 on the CPU") };
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&data[from..to]),
        None => bail!("{op}: operand {:?} is not contiguous", layout.shape()),
    }
}

/// Calls `f` with the elements of contiguous f32 CPU tensors.
pub(crate) fn read<R, const N: usize>(
    op: &str,
    tensors: [&Tensor; N],
    f: impl FnOnce([&[f32]; N]) -> Result<R>,
) -> Result<R> {
    let guards = tensors.map(|t| t.storage_and_layout());
    let mut slices = [&[] as &[f32]; N];
    for (to, (storage, layout)) in slices.iter_mut().zip(&guards) {
        *to = slice(op, storage, layout)?;
    }
    f(slices)
}

/// Where a tensor's storage lives; equal for tensors that share it.
pub(crate) fn storage_address(t: &Tensor) -> usize {
    let (storage, _) = t.storage_and_layout();
    std::ptr::from_ref(&*storage).addr()
}

struct Write<'a, F> {
    op: &'static str,
    f: RefCell<Option<&'a mut F>>,
}

impl<F: FnMut(&mut [f32]) -> Result<()>> InplaceOp1 for Write<'_, F> {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(data) = storage else { bail!("{}: operands must be f32", self.op) };
        let Some((from, to)) = layout.contiguous_offsets() else { bail!("{}: operand is not contiguous", self.op) };
        match self.f.borrow_mut().as_mut() {
            Some(f) => f(&mut data[from..to]),
            None => Ok(()),
        }
    }
}

/// Calls `f` with the elements of a contiguous f32 CPU tensor, to be changed in place.
///
/// Calls nest, for tensors which do not share storage: each holds its tensor's lock.
pub(crate) fn write(op: &'static str, t: &Tensor, mut f: impl FnMut(&mut [f32]) -> Result<()>) -> Result<()> {
    t.inplace_op1(&Write { op, f: RefCell::new(Some(&mut f)) })
}
