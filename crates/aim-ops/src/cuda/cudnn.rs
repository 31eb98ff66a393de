//! Convolutions by cuDNN.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use candle_core::{
    CudaDevice, DType, Device, Error, Result, Storage, Tensor, bail,
    cuda::{
        CudaStorageSlice, DeviceId,
        cudarc::{
            cudnn::{
                ConvBackwardData, ConvBackwardFilter, ConvDescriptor, ConvForward, Cudnn, CudnnError, FilterDescriptor,
                TensorDescriptor, sys,
            },
            driver::{CudaSlice, CudaView},
        },
    },
};

use super::launch::Buffer;
use crate::{cpu::ConvShape, precision};

// Handles are neither Send nor Sync.
thread_local! {
    static HANDLES: RefCell<HashMap<DeviceId, Arc<Cudnn>>> = RefCell::default();
}

fn handle(device: &CudaDevice) -> Result<Arc<Cudnn>> {
    if let Some(known) = HANDLES.with_borrow(|handles| handles.get(&device.id()).cloned()) {
        return Ok(known);
    }
    let new = Cudnn::new(device.cuda_stream()).map_err(Error::wrap)?;
    HANDLES.with_borrow_mut(|handles| handles.insert(device.id(), Arc::clone(&new)));
    Ok(new)
}

/// A convolution as cuDNN describes it.
struct Plan {
    device: CudaDevice,
    conv: ConvDescriptor<f32>,
    x: TensorDescriptor<f32>,
    w: FilterDescriptor<f32>,
    y: TensorDescriptor<f32>,
}

fn ints<const N: usize>(lengths: [usize; N]) -> Result<[i32; N]> {
    let mut ints = [0; N];
    for (to, n) in ints.iter_mut().zip(lengths) {
        let Ok(n) = i32::try_from(n) else { bail!("convolution: a length of {n} is too large for cuDNN") };
        *to = n;
    }
    Ok(ints)
}

impl Plan {
    fn new(device: &Device, s: &ConvShape) -> Result<Self> {
        let Device::Cuda(device) = device else { bail!("convolution: {:?} is no CUDA device", device.location()) };
        let cudnn = handle(device)?;
        let ([a, b], [channels, out]) = (s.axes, s.channels);
        let padding = ints([a.padding, b.padding])?;
        let (stride, dilation) = (ints([a.stride, b.stride])?, ints([a.dilation, b.dilation])?);
        let x = ints([s.batch, channels, a.input, b.input])?;
        let w = ints([out, channels / s.groups, a.kernel, b.kernel])?;
        let y = ints([s.batch, out, a.output(), b.output()])?;
        let groups = ints([s.groups])?[0];
        let described = || {
            let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
            let mut conv = cudnn.create_conv2d::<f32>(padding, stride, dilation, mode)?;
            conv.set_group_count(groups)?;
            conv.set_math_type(if precision::tf32_allowed() {
                sys::cudnnMathType_t::CUDNN_DEFAULT_MATH
            } else {
                sys::cudnnMathType_t::CUDNN_FMA_MATH
            })?;
            let format = sys::cudnnTensorFormat_t::CUDNN_TENSOR_NCHW;
            Ok(Self {
                device: device.clone(),
                conv,
                x: cudnn.create_4d_tensor(format, x)?,
                w: cudnn.create_4d_filter(format, w)?,
                y: cudnn.create_4d_tensor(format, y)?,
            })
        };
        described().map_err(|e: CudnnError| Error::wrap(e))
    }

    fn workspace(&self, bytes: usize) -> Result<CudaSlice<u8>> {
        // SAFETY: cuDNN writes what it reads of it. An empty allocation is an error.
        unsafe { self.device.alloc(bytes.max(1)) }
    }
}

/// Calls `f` with the elements of a contiguous tensor.
fn with<R>(t: &Tensor, f: impl FnOnce(&CudaView<'_, f32>) -> Result<R>) -> Result<R> {
    let (storage, layout) = t.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cuda(storage), Some((from, to))) => f(&storage.as_cuda_slice::<f32>()?.slice(from..to)),
        _ => bail!("convolution: operands must be contiguous on a CUDA device"),
    }
}

/// Calls `f` with the memory of a result.
fn fill(buffer: &mut Buffer, f: impl FnOnce(&mut CudaSlice<f32>) -> std::result::Result<(), CudnnError>) -> Result<()> {
    match buffer.storage_mut() {
        Storage::Cuda(storage) => match &mut storage.slice {
            CudaStorageSlice::F32(slice) => f(slice).map_err(Error::wrap),
            _ => bail!("convolution: results are f32"),
        },
        _ => bail!("convolution: results are on a CUDA device"),
    }
}

/// The first algorithm of `wanted` and cuDNN's own choice that takes this convolution, and its workspace in bytes.
///
/// Those that are wanted give the same bits in every run; not all that cuDNN chooses do.
fn choose<A: Copy>(
    wanted: A,
    own: impl FnOnce() -> std::result::Result<A, CudnnError>,
    bytes: impl Fn(A) -> std::result::Result<usize, CudnnError>,
) -> Result<(A, usize)> {
    if let Ok(bytes) = bytes(wanted) {
        return Ok((wanted, bytes));
    }
    let own = own().map_err(Error::wrap)?;
    Ok((own, bytes(own).map_err(Error::wrap)?))
}

/// The output, `dims` of it.
pub(super) fn forward(s: &ConvShape, x: &Tensor, w: &Tensor, dims: &[usize]) -> Result<Buffer> {
    let plan = Plan::new(x.device(), s)?;
    let op = ConvForward { conv: &plan.conv, x: &plan.x, w: &plan.w, y: &plan.y };
    let wanted = sys::cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
    let (algorithm, bytes) = choose(wanted, || op.pick_algorithm(), |a| op.get_workspace_size(a))?;
    let (mut y, mut space) = (Buffer::new(x, dims, DType::F32)?, plan.workspace(bytes)?);
    with(x, |x| {
        with(w, |w| {
            // SAFETY: the descriptors were made of the operands' shapes.
            fill(&mut y, |y| unsafe { op.launch(algorithm, Some(&mut space), (1., 0.), x, w, y) })
        })
    })?;
    Ok(y)
}

/// The gradient of the input.
pub(super) fn of_input(s: &ConvShape, x: &Tensor, w: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let plan = Plan::new(x.device(), s)?;
    let op = ConvBackwardData { conv: &plan.conv, dx: &plan.x, w: &plan.w, dy: &plan.y };
    let wanted = sys::cudnnConvolutionBwdDataAlgo_t::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
    let (algorithm, bytes) = choose(wanted, || op.pick_algorithm(), |a| op.get_workspace_size(a))?;
    let (mut dx, mut space) = (Buffer::like(x)?, plan.workspace(bytes)?);
    with(w, |w| {
        with(dy, |dy| {
            // SAFETY: the descriptors were made of the operands' shapes.
            fill(&mut dx, |dx| unsafe { op.launch(algorithm, Some(&mut space), (1., 0.), dx, w, dy) })
        })
    })?;
    dx.tensor()
}

/// The gradient of the weights.
pub(super) fn of_weights(s: &ConvShape, x: &Tensor, w: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let plan = Plan::new(x.device(), s)?;
    let op = ConvBackwardFilter { conv: &plan.conv, x: &plan.x, dw: &plan.w, dy: &plan.y };
    let wanted = sys::cudnnConvolutionBwdFilterAlgo_t::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;
    let (algorithm, bytes) = choose(wanted, || op.pick_algorithm(), |a| op.get_workspace_size(a))?;
    let (mut dw, mut space) = (Buffer::like(w)?, plan.workspace(bytes)?);
    with(x, |x| {
        with(dy, |dy| {
            // SAFETY: the descriptors were made of the operands' shapes.
            fill(&mut dw, |dw| unsafe { op.launch(algorithm, Some(&mut space), (1., 0.), x, dw, dy) })
        })
    })?;
    dw.tensor()
}
