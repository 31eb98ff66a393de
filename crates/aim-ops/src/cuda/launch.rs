//! Memory for results, and calls of kernels.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, DType, Device, Layout, Result, Shape, Storage, Tensor, Var, bail,
};

use super::many::Many;
use crate::custom::Given;

/// An argument of a kernel.
pub(super) enum Arg<'a> {
    /// A contiguous tensor that is read.
    In(&'a Tensor),
    /// The same, or a null pointer.
    Maybe(Option<&'a Tensor>),
    /// Memory that is written.
    Out(&'a mut Buffer),
    /// The same, or a null pointer.
    MaybeOut(Option<&'a mut Buffer>),
    /// A variable that is read and written.
    Change(&'a Var),
    /// The same, or a null pointer.
    MaybeChange(Option<&'a Var>),
    /// A length, or a flag.
    Int(usize),
    /// A number.
    Float(f64),
    /// Bits of a generator.
    Bits(u64),
    /// Variables that are read and written.
    Many(&'a Many),
}

/// What a kernel is given, in the representation of its parameter.
#[derive(Clone, Copy)]
pub(super) enum Word<'a> {
    /// A pointer, `long long` or `unsigned long long`.
    Long(u64),
    Float(f32),
    /// The structure itself.
    Many(&'a Many),
}

/// How many threads a launch has.
#[derive(Clone, Copy)]
pub(super) enum Grid {
    /// At least one for each of so many elements.
    Elements(usize),
    /// So many blocks.
    Blocks(usize),
    /// A block for as many columns as a warp has threads.
    Columns(usize),
}

impl Grid {
    /// Blocks of `threads` threads.
    pub(super) fn blocks(self, threads: usize) -> usize {
        match self {
            Self::Elements(n) => n.div_ceil(threads),
            Self::Blocks(n) => n,
            Self::Columns(n) => n.div_ceil(threads.min(32)),
        }
    }
}

/// Memory on a device that a kernel fills.
pub(super) struct Buffer {
    storage: Storage,
    shape: Shape,
    /// A tensor of the same device: candle makes tensors of a storage only by an operation on another one.
    near: Tensor,
}

impl Buffer {
    /// Memory for `shape`, uninitialised, on the device of `near`.
    pub(super) fn new(near: &Tensor, shape: impl Into<Shape>, dtype: DType) -> Result<Self> {
        let shape = shape.into();
        if shape.elem_count() == 0 {
            bail!("operations on a CUDA device need elements, there are none in shape {shape:?}");
        }
        let storage = match near.device() {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => Storage::Cuda(super::driver::memory(device, shape.elem_count(), dtype)?),
            #[cfg(test)]
            Device::Cpu => Storage::Cpu(super::emulator::memory(shape.elem_count(), dtype)?),
            device => bail!("no kernels for {:?}", device.location()),
        };
        Ok(Self { storage, shape, near: near.detach() })
    }

    /// f32 memory of the shape and on the device of `t`.
    pub(super) fn like(t: &Tensor) -> Result<Self> {
        Self::new(t, t.shape(), DType::F32)
    }

    /// The values of a tensor once more, which must be all that its memory holds.
    pub(super) fn copy(t: &Tensor) -> Result<Self> {
        let storage = {
            let (storage, layout) = t.storage_and_layout();
            // candle copies the memory as it is.
            if layout.contiguous_offsets() != Some((0, t.elem_count())) {
                bail!("a tensor of shape {:?} that is part of another cannot be copied whole", t.shape());
            }
            storage.try_clone(layout)?
        };
        Ok(Self { storage, shape: t.shape().clone(), near: t.detach() })
    }

    /// The memory, for libraries that fill it.
    #[cfg(feature = "cuda")]
    pub(super) fn storage_mut(&mut self) -> &mut Storage {
        &mut self.storage
    }

    /// The memory with its shape.
    pub(super) fn given(self) -> Given {
        Given::new(self.storage, self.shape)
    }

    /// A constant with this memory.
    pub(super) fn tensor(self) -> Result<Tensor> {
        let near = self.near.clone();
        near.apply_op1_no_bwd(&Constant(self.given()))
    }

    fn word(&mut self) -> Result<Word<'static>> {
        match &mut self.storage {
            #[cfg(feature = "cuda")]
            Storage::Cuda(storage) => super::driver::pointer(storage, 0),
            #[cfg(test)]
            Storage::Cpu(storage) => super::emulator::pointer(storage, 0),
            _ => bail!("no kernels for this device"),
        }
    }
}

/// The operation that makes a tensor of memory.
struct Constant(Given);

impl CustomOp1 for Constant {
    fn name(&self) -> &'static str {
        "kernel"
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.0.on_cpu()
    }
    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.0.on_cuda()
    }
}

/// Where the elements of a contiguous tensor are. The memory outlives a launch that follows: it is freed in the
/// stream's order.
fn word_of(t: &Tensor) -> Result<Word<'static>> {
    let (storage, layout) = t.storage_and_layout();
    let Some((from, _)) = layout.contiguous_offsets() else { bail!("a kernel's operand is not contiguous") };
    match &*storage {
        #[cfg(feature = "cuda")]
        Storage::Cuda(storage) => super::driver::pointer(storage, from),
        #[cfg(test)]
        Storage::Cpu(storage) => super::emulator::pointer(storage, from),
        _ => bail!("no kernels for {:?}", t.device().location()),
    }
}

const NULL: Word<'_> = Word::Long(0);

/// The same as a number.
pub(super) fn address(t: &Tensor) -> Result<u64> {
    match word_of(t)? {
        Word::Long(address) => Ok(address),
        _ => bail!("a tensor's place is an address"),
    }
}

/// Threads of a block on a device.
pub(super) fn threads(device: &Device) -> usize {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => super::driver::THREADS,
        #[cfg(test)]
        Device::Cpu => super::emulator::THREADS,
        _ => 1,
    }
}

impl<'a> Arg<'a> {
    fn word(self) -> Result<Word<'a>> {
        match self {
            Self::In(t) | Self::Maybe(Some(t)) => word_of(t),
            Self::Change(var) | Self::MaybeChange(Some(var)) => word_of(var),
            Self::Out(buffer) | Self::MaybeOut(Some(buffer)) => buffer.word(),
            Self::Maybe(None) | Self::MaybeOut(None) | Self::MaybeChange(None) => Ok(NULL),
            Self::Int(n) => Ok(Word::Long(n as u64)),
            Self::Bits(bits) => Ok(Word::Long(bits)),
            Self::Float(v) => Ok(Word::Float(v as f32)),
            Self::Many(many) => Ok(Word::Many(many)),
        }
    }
}

/// Calls `kernel`, whose parameters must be those of `args`, on a device.
pub(super) fn launch<'a>(
    device: &Device,
    kernel: &'static str,
    grid: Grid,
    args: impl IntoIterator<Item = Arg<'a>>,
) -> Result<()> {
    let words = args.into_iter().map(Arg::word).collect::<Result<Vec<_>>>()?;
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => super::driver::launch(device, kernel, grid, &words),
        #[cfg(test)]
        Device::Cpu => super::emulator::launch(kernel, grid, &words),
        _ => bail!("{kernel}: no kernels for {:?}", device.location()),
    }
}
