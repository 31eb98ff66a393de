//! Convolutions by cuDNN's graph interface, untried so far: of the plans that its heuristic proposes, the first one
//! that gives the same bits in every run. The older calls choose among algorithms whose deterministic ones leave
//! tensor cores idle.

use std::{cell::RefCell, collections::HashMap, ffi::c_void, ptr};

use candle_core::{
    CudaDevice, Error, Result,
    cuda::{
        DeviceId,
        cudarc::{
            cudnn::{CudnnError, result, sys},
            driver::DevicePtr,
        },
    },
};
use sys::{
    cudnnBackendAttributeName_t::{self as Name, *},
    cudnnBackendAttributeType_t::{self as Kind, *},
    cudnnBackendDescriptorType_t::{self as Object, *},
    cudnnBackendHeurMode_t as Mode, cudnnBackendNumericalNote_t as Note, cudnnDataType_t as Type,
};

use crate::{Precision, cpu::ConvShape};

/// One of the three products of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Product {
    Forward,
    OfInput,
    OfWeights,
}

type Outcome<T> = std::result::Result<T, CudnnError>;

/// One of cuDNN's objects, which is freed with this.
struct Descriptor(sys::cudnnBackendDescriptor_t);

impl Descriptor {
    fn new(object: Object) -> Outcome<Self> {
        let mut new = ptr::null_mut();
        // SAFETY: the place is one for a descriptor.
        unsafe { sys::cudnnBackendCreateDescriptor(object, &mut new) }.result()?;
        Ok(Self(new))
    }

    /// Sets an attribute of this type to these elements.
    fn set<T>(&self, name: Name, kind: Kind, elements: &[T]) -> Outcome<()> {
        // SAFETY: callers pass elements of what cuDNN documents for the type; it copies them.
        unsafe { sys::cudnnBackendSetAttribute(self.0, name, kind, elements.len() as i64, elements.as_ptr().cast()) }
            .result()
    }

    fn set_longs(&self, name: Name, longs: &[i64]) -> Outcome<()> {
        self.set(name, CUDNN_TYPE_INT64, longs)
    }

    fn set_object(&self, name: Name, object: &Self) -> Outcome<()> {
        self.set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, &[object.0])
    }

    /// Reads up to as many elements of an attribute as there is room for; gives how many there are.
    fn get<T>(&self, name: Name, kind: Kind, room: &mut [T]) -> Outcome<usize> {
        let mut count = 0;
        // SAFETY: as in `set`; cuDNN writes at most what there is room for.
        unsafe {
            let to = if room.is_empty() { ptr::null_mut() } else { room.as_mut_ptr().cast() };
            sys::cudnnBackendGetAttribute(self.0, name, kind, room.len() as i64, &mut count, to)
        }
        .result()?;
        Ok(count.max(0) as usize)
    }

    fn finished(self) -> Outcome<Self> {
        // SAFETY: the descriptor is alive.
        unsafe { sys::cudnnBackendFinalize(self.0) }.result()?;
        Ok(self)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: nobody else frees it. What cuDNN says of it could not be told anybody.
        let _ = unsafe { sys::cudnnBackendDestroyDescriptor(self.0) };
    }
}

/// Names of the three tensors in plans.
const X: i64 = 1;
const W: i64 = 2;
const Y: i64 = 3;

/// Bytes of which every tensor's address is a multiple: fast engines load so many at once.
const ALIGNMENT: u64 = 16;

/// A contiguous tensor of four dimensions.
fn tensor(name: i64, dims: [usize; 4], element: Type) -> Outcome<Descriptor> {
    let dims = dims.map(|n| n as i64);
    let strides = [dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1];
    let t = Descriptor::new(CUDNN_BACKEND_TENSOR_DESCRIPTOR)?;
    t.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, &[element])?;
    t.set_longs(CUDNN_ATTR_TENSOR_DIMENSIONS, &dims)?;
    t.set_longs(CUDNN_ATTR_TENSOR_STRIDES, &strides)?;
    t.set_longs(CUDNN_ATTR_TENSOR_UNIQUE_ID, &[name])?;
    t.set_longs(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, &[ALIGNMENT as i64])?;
    t.finished()
}

/// What a convolution does between its tensors; sums are f32.
fn convolution(s: &ConvShape) -> Outcome<Descriptor> {
    let [a, b] = s.axes;
    let pair = |of: fn(&crate::cpu::Axis) -> usize| [of(&a) as i64, of(&b) as i64];
    let c = Descriptor::new(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR)?;
    c.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, &[Type::CUDNN_DATA_FLOAT])?;
    let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
    c.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, &[mode])?;
    c.set_longs(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, &[2])?;
    c.set_longs(CUDNN_ATTR_CONVOLUTION_DILATIONS, &pair(|axis| axis.dilation))?;
    c.set_longs(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, &pair(|axis| axis.stride))?;
    c.set_longs(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, &pair(|axis| axis.padding))?;
    c.set_longs(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, &pair(|axis| axis.padding))?;
    c.finished()
}

/// Attributes of a product: convolution, input, weights, output, the factors of the product and of what is there.
const fn attributes(product: Product) -> (Object, [Name; 6]) {
    match product {
        Product::Forward => (
            CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
            [
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
            ],
        ),
        Product::OfInput => (
            CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
            [
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
            ],
        ),
        Product::OfWeights => (
            CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
            [
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
            ],
        ),
    }
}

/// The graph of a product alone, its finished operation, and what that refers to.
fn operation(product: Product, s: &ConvShape, element: Type) -> Outcome<Vec<Descriptor>> {
    let ([a, b], [channels, out], (object, names)) = (s.axes, s.channels, attributes(product));
    let x = tensor(X, [s.batch, channels, a.input, b.input], element)?;
    let w = tensor(W, [out, channels / s.groups, a.kernel, b.kernel], element)?;
    let y = tensor(Y, [s.batch, out, a.output(), b.output()], element)?;
    let parts = [convolution(s)?, x, w, y];
    let operation = Descriptor::new(object)?;
    for (name, part) in names.into_iter().zip(&parts) {
        operation.set_object(name, part)?;
    }
    operation.set(names[4], CUDNN_TYPE_FLOAT, &[1f32])?;
    operation.set(names[5], CUDNN_TYPE_FLOAT, &[0f32])?;
    let mut all = vec![operation.finished()?];
    all.extend(parts);
    Ok(all)
}

/// Whether an engine is left out: it gives other bits in other runs, or rounds more than `precision` does.
fn unwanted(engine: &Descriptor, precision: Precision) -> Outcome<bool> {
    // As numbers: a newer cuDNN may know other notes.
    let mut notes = [u32::MAX; Note::CUDNN_NUMERICAL_NOTE_TYPE_COUNT as usize];
    let count = engine.get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, &mut notes)?;
    let has = |note: Note| notes[..count.min(notes.len())].contains(&(note as u32));
    let rounds = match precision {
        Precision::F32 => {
            has(Note::CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS) || has(Note::CUDNN_NUMERICAL_NOTE_TENSOR_CORE)
        }
        Precision::Tf32 => has(Note::CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS),
        Precision::Bf16 => has(Note::CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION),
    };
    Ok(rounds || has(Note::CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC))
}

/// The engines that a heuristic proposes for a graph, best first.
fn proposals(graph: &Descriptor, mode: Mode) -> Outcome<Vec<Descriptor>> {
    let heuristic = Descriptor::new(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)?;
    heuristic.set_object(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)?;
    heuristic.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, &[mode])?;
    let heuristic = heuristic.finished()?;
    let results = (CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR);
    let count = heuristic.get::<sys::cudnnBackendDescriptor_t>(results.0, results.1, &mut [])?;
    let configurations: Vec<Descriptor> =
        (0..count).map(|_| Descriptor::new(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)).collect::<Outcome<_>>()?;
    // cuDNN fills the descriptors that it is given.
    let mut room: Vec<_> = configurations.iter().map(|c| c.0).collect();
    let count = heuristic.get(results.0, results.1, &mut room)?;
    Ok(configurations.into_iter().take(count).collect())
}

/// A plan by one of the proposals, and the bytes of its workspace.
fn finished_plan(handle: &Handle, configuration: &Descriptor) -> Outcome<(Descriptor, usize)> {
    let plan = Descriptor::new(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)?;
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, &[handle.0])?;
    plan.set_object(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration)?;
    let (plan, mut bytes) = (plan.finished()?, [0i64]);
    plan.get(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, &mut bytes)?;
    Ok((plan, bytes[0].max(0) as usize))
}

/// A product that is ready to run.
struct Plan {
    plan: Descriptor,
    workspace: usize,
    /// What it was made of.
    _parts: Vec<Descriptor>,
}

impl Plan {
    /// The first of the heuristics' proposals that is wanted and works.
    fn new(handle: &Handle, product: Product, s: &ConvShape, precision: Precision) -> Outcome<Option<Self>> {
        let bf16 = precision == Precision::Bf16;
        let element = if bf16 { Type::CUDNN_DATA_BFLOAT16 } else { Type::CUDNN_DATA_FLOAT };
        let parts = operation(product, s, element)?;
        let graph = Descriptor::new(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)?;
        graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, &[handle.0])?;
        graph.set_object(CUDNN_ATTR_OPERATIONGRAPH_OPS, &parts[0])?;
        let graph = graph.finished()?;
        for mode in [Mode::CUDNN_HEUR_MODE_A, Mode::CUDNN_HEUR_MODE_FALLBACK] {
            // A heuristic that knows nothing of such a product says so by an error.
            for configuration in proposals(&graph, mode).unwrap_or_default() {
                let engine = Descriptor::new(CUDNN_BACKEND_ENGINE_DESCRIPTOR)?;
                let engines = &mut [engine.0];
                configuration.get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, engines)?;
                if unwanted(&engine, precision)? {
                    continue;
                }
                // Not all that is proposed is supported.
                if let Ok((plan, workspace)) = finished_plan(handle, &configuration) {
                    let made_of = parts.into_iter().chain([graph, configuration, engine]);
                    return Ok(Some(Self { plan, workspace, _parts: made_of.collect() }));
                }
            }
        }
        Ok(None)
    }

    /// Runs with input, weights and output at these addresses of the device.
    fn run(&self, handle: &Handle, device: &CudaDevice, addresses: [u64; 3]) -> Result<()> {
        // SAFETY: cuDNN writes what it reads of it. An empty allocation is an error.
        let space = unsafe { device.alloc::<u8>(self.workspace.max(1)) }?;
        let stream = device.cuda_stream();
        let (at, _order) = space.device_ptr(&stream);
        let execute = || {
            let pack = Descriptor::new(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)?;
            let pointers = addresses.map(|at| at as *mut c_void);
            pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, &pointers)?;
            pack.set_longs(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, &[X, W, Y])?;
            pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, &[at as *mut c_void])?;
            let pack = pack.finished()?;
            // SAFETY: the plan was made for tensors of the lengths that callers have at these addresses.
            unsafe { sys::cudnnBackendExecute(handle.0, self.plan.0, pack.0) }.result()
        };
        execute().map_err(Error::wrap)
    }
}

/// cuDNN on the stream of one device.
struct Handle(sys::cudnnHandle_t);

impl Handle {
    fn new(device: &CudaDevice) -> Result<Self> {
        let stream = device.cuda_stream();
        stream.context().bind_to_thread().map_err(Error::wrap)?;
        let handle = Self(result::create_handle().map_err(Error::wrap)?);
        // SAFETY: the device's stream lives as long as the process that computes on it.
        unsafe { result::set_stream(handle.0, stream.cu_stream().cast()) }.map_err(Error::wrap)?;
        Ok(handle)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: nobody else frees it.
        let _ = unsafe { result::destroy_handle(self.0) };
    }
}

/// What is kept for one device, on one thread: handles are neither Send nor Sync.
struct Plans {
    handle: Handle,
    plans: HashMap<(Product, ConvShape, Precision), Option<Plan>>,
}

thread_local! {
    static PLANS: RefCell<HashMap<DeviceId, Plans>> = RefCell::default();
}

/// Computes a product of tensors at these addresses (input, weights, output), one of which is the result; gives whether
/// cuDNN has a plan for them.
pub(super) fn run(
    device: &CudaDevice,
    product: Product,
    s: &ConvShape,
    precision: Precision,
    addresses: [u64; 3],
) -> Result<bool> {
    if addresses.iter().any(|at| at % ALIGNMENT != 0) {
        return Ok(false);
    }
    PLANS.with_borrow_mut(|all| {
        if !all.contains_key(&device.id()) {
            all.insert(device.id(), Plans { handle: Handle::new(device)?, plans: HashMap::new() });
        }
        let Some(Plans { handle, plans }) = all.get_mut(&device.id()) else { return Ok(false) };
        let key = (product, *s, precision);
        if !plans.contains_key(&key) {
            plans.insert(key, Plan::new(handle, product, s, precision).map_err(Error::wrap)?);
        }
        let Some(Some(plan)) = plans.get(&key) else { return Ok(false) };
        plan.run(handle, device, addresses)?;
        Ok(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Axis;

    /// As far as cuDNN goes without a device: it takes the operations' attributes.
    #[test]
    fn cudnn_takes_the_operations() {
        let axis = |input, kernel| Axis { input, kernel, stride: 2, padding: 1, dilation: 1 };
        let s = ConvShape { batch: 2, channels: [4, 6], groups: 2, axes: [axis(9, 3), axis(7, 2)] };
        for product in [Product::Forward, Product::OfInput, Product::OfWeights] {
            for element in [Type::CUDNN_DATA_FLOAT, Type::CUDNN_DATA_BFLOAT16] {
                assert_eq!(operation(product, &s, element).unwrap().len(), 5);
            }
        }
    }
}
