//! An operation as nodes of candle's graph: a value that is computed already, and how gradients flow back through it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Device, Layout, Result, Shape, Storage, Tensor, TensorId,
    bail,
};

use crate::{relay, rows};

/// The gradients of `N` operands from the operands, the result and its gradient; `None` where nobody needs one.
pub(crate) trait Backward<const N: usize>:
    Fn([&Tensor; N], &Tensor, &Tensor) -> Result<[Option<Tensor>; N]> + Send + Sync + 'static
{
}

impl<const N: usize, F> Backward<N> for F where
    F: Fn([&Tensor; N], &Tensor, &Tensor) -> Result<[Option<Tensor>; N]> + Send + Sync + 'static
{
}

/// The operation, whose result in candle's graph is a token: see [`relay`].
struct Node<const N: usize, F> {
    name: &'static str,
    operands: [Tensor; N],
    /// Tokens of those operands that have one.
    tokens: [Option<Tensor>; N],
    /// The result, detached; set when it is made.
    result: Arc<OnceLock<Tensor>>,
    backward: F,
}

impl<const N: usize, F: Backward<N>> Node<N, F> {
    /// The value of a token on the CPU.
    fn nothing() -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![]), Shape::from(0)))
    }

    /// The value of a token on a device, which has no memory without elements.
    fn hardly_anything(near: &CudaStorage) -> Result<(CudaStorage, Shape)> {
        #[cfg(feature = "cuda")]
        return Ok((crate::cuda::memory(&near.device, 1, candle_core::DType::F32)?, Shape::from(1)));
        #[cfg(not(feature = "cuda"))]
        bail!("no kernels for {near:?}")
    }

    /// The gradients of the operands, as far as candle is to see them.
    fn gradients(&self, token: &Tensor) -> Result<[Option<Tensor>; N]> {
        let (Some(gradient), Some(result)) = (relay::take(token.id()), self.result.get()) else {
            bail!("{}: the result's gradient was not handed over", self.name);
        };
        let gradients = (self.backward)(self.operands.each_ref(), result, &gradient)?;
        let mut seen = [const { None }; N];
        for (i, gradient) in gradients.into_iter().enumerate() {
            let Some(gradient) = gradient else { continue };
            seen[i] = match &self.tokens[i] {
                Some(of) => {
                    relay::hand(of.id(), gradient)?;
                    Some(relay::nothing(of)?)
                }
                None if self.operands[i].is_variable() => relay::collect(token.id(), self.operands[i].id(), gradient)?,
                None => Some(gradient),
            };
        }
        Ok(seen)
    }

    fn flow(&self, token: &Tensor) -> Result<[Option<Tensor>; N]> {
        self.gradients(token).inspect_err(|_| relay::clear())
    }
}

impl<F: Backward<1>> CustomOp1 for Node<1, F> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Self::nothing()
    }
    fn cuda_fwd(&self, a: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        Self::hardly_anything(a)
    }
    fn bwd(&self, _: &Tensor, token: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        let [grad] = self.flow(token)?;
        Ok(grad)
    }
}

impl<F: Backward<2>> CustomOp2 for Node<2, F> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Self::nothing()
    }
    fn cuda_fwd(&self, a: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        Self::hardly_anything(a)
    }
    fn bwd(&self, _: &Tensor, _: &Tensor, token: &Tensor, _: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok(self.flow(token)?.into())
    }
}

impl<F: Backward<3>> CustomOp3 for Node<3, F> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Self::nothing()
    }
    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Self::hardly_anything(a)
    }
    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        token: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok(self.flow(token)?.into())
    }
}

/// The operation's result, whose operand in candle's graph is the operation's token.
struct Value {
    name: &'static str,
    value: Given,
    id: Arc<OnceLock<TensorId>>,
}

/// Memory with its shape, on any device, which is given away once.
pub(crate) struct Given(Mutex<Option<(Storage, Shape)>>);

impl Given {
    pub(crate) fn new(storage: Storage, shape: Shape) -> Self {
        Self(Mutex::new(Some((storage, shape))))
    }

    fn take(&self) -> Result<(Storage, Shape)> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(given) => Ok(given),
            None => bail!("an operation's value was taken already"),
        }
    }

    /// The memory, which must be on the CPU.
    pub(crate) fn on_cpu(&self) -> Result<(CpuStorage, Shape)> {
        match self.take()? {
            (Storage::Cpu(storage), shape) => Ok((storage, shape)),
            _ => bail!("an operation's value is not on the CPU"),
        }
    }

    /// The memory, which must be on a CUDA device.
    pub(crate) fn on_cuda(&self) -> Result<(CudaStorage, Shape)> {
        match self.take()? {
            (Storage::Cuda(storage), shape) => Ok((storage, shape)),
            _ => bail!("an operation's value is not on a CUDA device"),
        }
    }
}

impl CustomOp1 for Value {
    fn name(&self) -> &'static str {
        self.name
    }
    /// The value, which candle asks for once.
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.value.on_cpu()
    }
    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.value.on_cuda()
    }
    /// Only asked for where an operation of candle's read the result.
    fn bwd(&self, token: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        relay::hand(token.id(), grad.contiguous()?)?;
        relay::nothing(token).map(Some)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        if let Some(id) = self.id.get() {
            relay::forget(*id);
            rows::forget(*id);
        }
    }
}

/// `value`, computed from `operands`, one of which has a gradient, as the result of an operation that `apply` adds to
/// the graph.
fn tracked<const N: usize, F: Backward<N>>(
    name: &'static str,
    operands: [&Tensor; N],
    value: Given,
    backward: F,
    apply: impl FnOnce([&Tensor; N], Node<N, F>) -> Result<Tensor>,
) -> Result<Tensor> {
    let (tokens, result, id) = (operands.map(relay::token_of), Arc::default(), Arc::<OnceLock<_>>::default());
    let seen: [Tensor; N] = std::array::from_fn(|i| tokens[i].as_ref().unwrap_or(operands[i]).clone());
    let node = Node { name, operands: operands.map(Tensor::clone), tokens, result: Arc::clone(&result), backward };
    let token = apply(seen.each_ref(), node)?;
    let y = token.apply_op1(Value { name, value, id: Arc::clone(&id) })?;
    id.get_or_init(|| y.id());
    result.get_or_init(|| y.detach());
    relay::register(&y, &token);
    Ok(y)
}

/// Whether any of an operation's operands has a gradient.
pub(crate) fn any_tracked(operands: &[&Tensor]) -> bool {
    operands.iter().any(|t| t.track_op())
}

/// The same of values on the CPU, whatever the operands are.
fn operation<const N: usize, F: Backward<N>>(
    name: &'static str,
    operands: [&Tensor; N],
    value: Vec<f32>,
    shape: impl Into<Shape>,
    backward: F,
    apply: impl FnOnce([&Tensor; N], Node<N, F>) -> Result<Tensor>,
) -> Result<Tensor> {
    if !any_tracked(&operands) {
        return Tensor::from_vec(value, shape, &Device::Cpu);
    }
    let value = Given::new(Storage::Cpu(CpuStorage::F32(value)), shape.into());
    tracked(name, operands, value, backward, apply)
}

/// `value`, computed from `a`, as a node of the graph.
pub(crate) fn op1(
    name: &'static str,
    a: &Tensor,
    value: Vec<f32>,
    shape: impl Into<Shape>,
    backward: impl Backward<1>,
) -> Result<Tensor> {
    operation(name, [a], value, shape, backward, |[a], node| a.apply_op1(node))
}

/// `value`, computed from `a` and `b`, as a node of the graph.
pub(crate) fn op2(
    name: &'static str,
    operands: [&Tensor; 2],
    value: Vec<f32>,
    shape: impl Into<Shape>,
    backward: impl Backward<2>,
) -> Result<Tensor> {
    operation(name, operands, value, shape, backward, |[a, b], node| a.apply_op2(b, node))
}

/// `value`, computed from `a`, `b` and `c`, as a node of the graph.
pub(crate) fn op3(
    name: &'static str,
    operands: [&Tensor; 3],
    value: Vec<f32>,
    shape: impl Into<Shape>,
    backward: impl Backward<3>,
) -> Result<Tensor> {
    operation(name, operands, value, shape, backward, |[a, b, c], node| a.apply_op3(b, c, node))
}

/// As [`op1`], with a value on any device and an operand that has a gradient.
#[cfg(any(feature = "cuda", test))]
pub(crate) fn given1(name: &'static str, a: &Tensor, value: Given, backward: impl Backward<1>) -> Result<Tensor> {
    tracked(name, [a], value, backward, |[a], node| a.apply_op1(node))
}

/// As [`op2`], with a value on any device and operands of which one has a gradient.
#[cfg(any(feature = "cuda", test))]
pub(crate) fn given2(
    name: &'static str,
    operands: [&Tensor; 2],
    value: Given,
    backward: impl Backward<2>,
) -> Result<Tensor> {
    tracked(name, operands, value, backward, |[a, b], node| a.apply_op2(b, node))
}

/// As [`op3`], with a value on any device and operands of which one has a gradient.
#[cfg(any(feature = "cuda", test))]
pub(crate) fn given3(
    name: &'static str,
    operands: [&Tensor; 3],
    value: Given,
    backward: impl Backward<3>,
) -> Result<Tensor> {
    tracked(name, operands, value, backward, |[a, b, c], node| a.apply_op3(b, c, node))
}

/// The gradient of `arg` if anybody needs it: a tensor like `arg` with the values of `f`.
pub(crate) fn needed(arg: &Tensor, f: impl FnOnce() -> Result<Vec<f32>>) -> Result<Option<Tensor>> {
    if !arg.track_op() {
        return Ok(None);
    }
    Tensor::from_vec(f()?, arg.shape(), arg.device()).map(Some)
}
