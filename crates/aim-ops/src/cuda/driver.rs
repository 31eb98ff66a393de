//! The device itself: memory, and kernels compiled once for a process.

use std::sync::OnceLock;

use candle_core::{
    CudaDevice, CudaStorage, DType, Result,
    backend::BackendStorage,
    bail,
    cuda::{
        CudaStorageSlice,
        cudarc::{
            driver::{DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg},
            nvrtc::{CompileOptions, compile_ptx_with_opts},
        },
    },
};

use super::{
    SOURCE,
    launch::{Grid, Word},
    many::Many,
};

// SAFETY: the structure of the same name in `update.cu` has the same fields in the same layout.
unsafe impl DeviceRepr for Many {}

/// Threads of a block.
pub(super) const THREADS: usize = 256;

/// The kernels' intermediate code.
fn code() -> Result<&'static str> {
    static CODE: OnceLock<std::result::Result<String, String>> = OnceLock::new();
    let compiled = CODE.get_or_init(|| {
        let options = vec![format!("-DTHREADS={THREADS}")];
        let options = CompileOptions { options, name: Some("aim-ops.cu".into()), ..CompileOptions::default() };
        compile_ptx_with_opts(SOURCE, options).map(|ptx| ptx.to_src()).map_err(|e| format!("{e:?}"))
    });
    match compiled {
        Ok(code) => Ok(code),
        Err(e) => bail!("the CUDA kernels do not compile: {e}"),
    }
}

/// Memory for `n` elements, uninitialised.
pub(crate) fn memory(device: &CudaDevice, n: usize, dtype: DType) -> Result<CudaStorage> {
    // SAFETY: kernels write every element before anybody reads one.
    let slice = unsafe {
        match dtype {
            DType::F32 => CudaStorageSlice::F32(device.alloc(n)?),
            DType::U32 => CudaStorageSlice::U32(device.alloc(n)?),
            DType::BF16 => CudaStorageSlice::BF16(device.alloc(n)?),
            dtype => bail!("no kernels for {dtype:?}"),
        }
    };
    Ok(CudaStorage { slice, device: device.clone() })
}

/// The address of element `from`.
pub(super) fn address(storage: &CudaStorage, from: usize) -> Result<u64> {
    let stream = storage.device.cuda_stream();
    let start = match &storage.slice {
        CudaStorageSlice::F32(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::U32(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::BF16(slice) => slice.device_ptr(&stream).0,
        _ => bail!("no kernels for {:?}", storage.dtype()),
    };
    Ok(start + (storage.dtype().size_in_bytes() * from) as u64)
}

/// The same as a kernel's argument; no kernel takes elements of two bytes.
pub(super) fn pointer(storage: &CudaStorage, from: usize) -> Result<Word<'static>> {
    if storage.dtype().size_in_bytes() != 4 {
        bail!("no kernels for {:?}", storage.dtype());
    }
    address(storage, from).map(Word::Long)
}

pub(super) fn launch(device: &CudaDevice, kernel: &str, grid: Grid, words: &[Word<'_>]) -> Result<()> {
    let Ok(blocks) = u32::try_from(grid.blocks(THREADS)) else { bail!("{kernel}: too many elements for one launch") };
    let function = device.get_or_load_custom_func(kernel, "aim-ops", code()?)?;
    let mut call = function.builder();
    for word in words {
        match word {
            Word::Long(bits) => call.arg(bits),
            Word::Float(v) => call.arg(v),
            Word::Many(many) => call.arg(*many),
        };
    }
    let shape = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (THREADS as u32, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: the arguments are the kernel's parameters in number, order and size, and their memory has the lengths
    // that the kernel is told; both are checked for every kernel by the tests that run it in the emulator.
    unsafe { call.launch(shape) }.map_err(candle_core::Error::wrap)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_runtime_compiler_takes_the_kernels() {
        let code = super::code().unwrap();
        assert!(super::super::emulator::kernels().iter().all(|kernel| code.contains(&format!(".entry {kernel}("))));
    }
}
