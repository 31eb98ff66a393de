//! Convolutions by cuDNN.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use candle_core::{
    CudaDevice, Device, Error, Result, Storage, Tensor, WithDType, bail,
    cuda::{
        CudaDType, DeviceId,
        cudarc::{
            cudnn::{
                ConvBackwardData, ConvBackwardFilter, ConvDescriptor, ConvForward, Cudnn, CudnnDataType, CudnnError,
                FilterDescriptor, TensorDescriptor, sys,
            },
            driver::{CudaSlice, CudaView, DeviceRepr},
        },
    },
};
use half::bf16;

use super::{
    driver::address,
    graph::{self, Product},
    launch::Buffer,
};
use crate::{Kernels, Precision, cpu::ConvShape, kernels, precision};

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

/// What operands and results can be; sums are f32.
trait Element: WithDType + CudaDType + CudnnDataType + DeviceRepr {}
impl Element for f32 {}
impl Element for bf16 {}

/// A convolution as cuDNN describes it.
struct Plan<T> {
    device: CudaDevice,
    conv: ConvDescriptor<f32>,
    x: TensorDescriptor<T>,
    w: FilterDescriptor<T>,
    y: TensorDescriptor<T>,
}

fn ints<const N: usize>(lengths: [usize; N]) -> Result<[i32; N]> {
    let mut ints = [0; N];
    for (to, n) in ints.iter_mut().zip(lengths) {
        let Ok(n) = i32::try_from(n) else { bail!("convolution: a length of {n} is too large for cuDNN") };
        *to = n;
    }
    Ok(ints)
}

impl<T: Element> Plan<T> {
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
            // The default rounds f32 to TF32.
            conv.set_math_type(match precision() {
                Precision::F32 => sys::cudnnMathType_t::CUDNN_FMA_MATH,
                Precision::Tf32 | Precision::Bf16 => sys::cudnnMathType_t::CUDNN_DEFAULT_MATH,
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
fn with<T: Element, R>(t: &Tensor, f: impl FnOnce(&CudaView<'_, T>) -> Result<R>) -> Result<R> {
    let (storage, layout) = t.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cuda(storage), Some((from, to))) => f(&storage.as_cuda_slice::<T>()?.slice(from..to)),
        _ => bail!("convolution: operands must be contiguous on a CUDA device"),
    }
}

/// Memory like `like`, or of `dims`, filled by `f`.
fn filled<T: Element>(
    like: &Tensor,
    dims: &[usize],
    f: impl FnOnce(&mut CudaSlice<T>) -> std::result::Result<(), CudnnError>,
) -> Result<Buffer> {
    let mut buffer = Buffer::new(like, dims, T::DTYPE)?;
    match buffer.storage_mut() {
        Storage::Cuda(storage) => f(storage.as_cuda_slice_mut::<T>()?).map_err(Error::wrap)?,
        _ => bail!("convolution: results are on a CUDA device"),
    }
    Ok(buffer)
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

/// A product of two operands by cuDNN's graph interface; `None` where that has no plan or is not wanted.
fn planned<T: Element>(
    product: Product,
    s: &ConvShape,
    operands: [&Tensor; 2],
    dims: &[usize],
) -> Result<Option<Buffer>> {
    let (Kernels::Untried, Device::Cuda(device)) = (kernels(), operands[0].device()) else { return Ok(None) };
    let mut result = Buffer::new(operands[0], dims, T::DTYPE)?;
    let Storage::Cuda(storage) = result.storage_mut() else { return Ok(None) };
    let written = address(storage, 0)?;
    let place = |t: &Tensor| {
        let (storage, layout) = t.storage_and_layout();
        match (&*storage, layout.contiguous_offsets()) {
            (Storage::Cuda(storage), Some((from, _))) => address(storage, from),
            _ => bail!("convolution: operands must be contiguous on a CUDA device"),
        }
    };
    let (first, second) = (place(operands[0])?, place(operands[1])?);
    let addresses = match product {
        Product::Forward => [first, second, written],
        Product::OfInput => [written, first, second],
        Product::OfWeights => [first, written, second],
    };
    let done = graph::run(device, product, s, precision(), addresses)?;
    Ok(done.then_some(result))
}

fn forward_in<T: Element>(s: &ConvShape, x: &Tensor, w: &Tensor, dims: &[usize]) -> Result<Buffer> {
    if let Some(y) = planned::<T>(Product::Forward, s, [x, w], dims)? {
        return Ok(y);
    }
    let plan = Plan::<T>::new(x.device(), s)?;
    let op = ConvForward { conv: &plan.conv, x: &plan.x, w: &plan.w, y: &plan.y };
    let wanted = sys::cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
    let (algorithm, bytes) = choose(wanted, || op.pick_algorithm(), |a| op.get_workspace_size(a))?;
    let (mut space, scale) = (plan.workspace(bytes)?, (T::from_f64(1.), T::from_f64(0.)));
    with(x, |xs| {
        with(w, |ws| {
            // SAFETY: the descriptors were made of the operands' shapes.
            filled(x, dims, |y| unsafe { op.launch(algorithm, Some(&mut space), scale, xs, ws, y) })
        })
    })
}

fn of_input_in<T: Element>(s: &ConvShape, x: &Tensor, w: &Tensor, dy: &Tensor) -> Result<Tensor> {
    if let Some(dx) = planned::<T>(Product::OfInput, s, [w, dy], x.dims())? {
        return dx.tensor();
    }
    let plan = Plan::<T>::new(dy.device(), s)?;
    let op = ConvBackwardData { conv: &plan.conv, dx: &plan.x, w: &plan.w, dy: &plan.y };
    let wanted = sys::cudnnConvolutionBwdDataAlgo_t::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
    let (algorithm, bytes) = choose(wanted, || op.pick_algorithm(), |a| op.get_workspace_size(a))?;
    let (mut space, scale) = (plan.workspace(bytes)?, (T::from_f64(1.), T::from_f64(0.)));
    with(w, |ws| {
        with(dy, |dys| {
            // SAFETY: the descriptors were made of the operands' shapes.
            filled(dy, x.dims(), |dx| unsafe { op.launch(algorithm, Some(&mut space), scale, dx, ws, dys) })
        })
    })?
    .tensor()
}

fn of_weights_in<T: Element>(s: &ConvShape, x: &Tensor, w: &Tensor, dy: &Tensor) -> Result<Tensor> {
    if let Some(dw) = planned::<T>(Product::OfWeights, s, [x, dy], w.dims())? {
        return dw.tensor();
    }
    let plan = Plan::<T>::new(x.device(), s)?;
    let op = ConvBackwardFilter { conv: &plan.conv, x: &plan.x, dw: &plan.w, dy: &plan.y };
    let wanted = sys::cudnnConvolutionBwdFilterAlgo_t::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;
    let (algorithm, bytes) = choose(wanted, || op.pick_algorithm(), |a| op.get_workspace_size(a))?;
    let (mut space, scale) = (plan.workspace(bytes)?, (T::from_f64(1.), T::from_f64(0.)));
    with(x, |xs| {
        with(dy, |dys| {
            // SAFETY: the descriptors were made of the operands' shapes.
            filled(x, w.dims(), |dw| unsafe { op.launch(algorithm, Some(&mut space), scale, xs, dw, dys) })
        })
    })?
    .tensor()
}

/// Rounded to bfloat16.
fn rounded(t: &Tensor) -> Result<Tensor> {
    t.detach().to_dtype(bf16::DTYPE)
}

/// The output, `dims` of it.
pub(super) fn forward(s: &ConvShape, x: &Tensor, w: &Tensor, dims: &[usize]) -> Result<Buffer> {
    match precision() {
        Precision::F32 | Precision::Tf32 => forward_in::<f32>(s, x, w, dims),
        Precision::Bf16 => {
            let y = forward_in::<bf16>(s, &rounded(x)?, &rounded(w)?, dims)?.tensor()?;
            Buffer::copy(&y.to_dtype(f32::DTYPE)?)
        }
    }
}

/// The gradient of the input.
pub(super) fn of_input(s: &ConvShape, x: &Tensor, w: &Tensor, dy: &Tensor) -> Result<Tensor> {
    match precision() {
        Precision::F32 | Precision::Tf32 => of_input_in::<f32>(s, x, w, dy),
        Precision::Bf16 => of_input_in::<bf16>(s, x, &rounded(w)?, &rounded(dy)?)?.to_dtype(f32::DTYPE),
    }
}

/// The gradient of the weights.
pub(super) fn of_weights(s: &ConvShape, x: &Tensor, w: &Tensor, dy: &Tensor) -> Result<Tensor> {
    match precision() {
        Precision::F32 | Precision::Tf32 => of_weights_in::<f32>(s, x, w, dy),
        Precision::Bf16 => of_weights_in::<bf16>(s, &rounded(x)?, w, &rounded(dy)?)?.to_dtype(f32::DTYPE),
    }
}
