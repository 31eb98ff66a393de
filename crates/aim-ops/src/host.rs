//! Access to the memory of CPU tensors.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor, bail};

/// The elements of a contiguous layout.
pub(crate) fn slice<'a>(op: &str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let CpuStorage::F32(data) = storage else { bail!("{op}: operands must be f32") };
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&data[from..to]),
        None => bail!("{op}: operand {:?} is not contiguous", layout.shape()),
    }
}

/// Calls `f` with the elements of a contiguous f32 CPU tensor.
pub(crate) fn with<R>(op: &str, t: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let (storage, layout) = t.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(slice(op, storage, layout)?),
        _ => bail!("{op}: operand is not on the CPU"),
    }
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
pub(crate) fn with_mut(op: &'static str, t: &Tensor, mut f: impl FnMut(&mut [f32]) -> Result<()>) -> Result<()> {
    t.inplace_op1(&Write { op, f: RefCell::new(Some(&mut f)) })
}
