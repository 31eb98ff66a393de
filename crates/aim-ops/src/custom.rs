//! An operation as a node of candle's graph: a value that is computed already, and how gradients flow back through it.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

/// The gradients of `N` operands from the operands, the result and its gradient; `None` where nobody needs one.
pub(crate) trait Backward<const N: usize>:
    Fn([&Tensor; N], &Tensor, &Tensor) -> Result<[Option<Tensor>; N]> + Send + Sync + 'static
{
}

impl<const N: usize, F> Backward<N> for F where
    F: Fn([&Tensor; N], &Tensor, &Tensor) -> Result<[Option<Tensor>; N]> + Send + Sync + 'static
{
}

struct Node<F> {
    name: &'static str,
    value: Mutex<Option<(Vec<f32>, Shape)>>,
    backward: F,
}

impl<F> Node<F> {
    fn new(name: &'static str, value: Vec<f32>, shape: impl Into<Shape>, backward: F) -> Self {
        Self { name, value: Mutex::new(Some((value, shape.into()))), backward }
    }

    /// The value, which candle asks for once.
    fn take(&self) -> Result<(CpuStorage, Shape)> {
        match self.value.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some((value, shape)) => Ok((CpuStorage::F32(value), shape)),
            None => bail!("{}: the node's value was taken already", self.name),
        }
    }

    /// The gradient of the result, in memory order.
    fn gradient(grad: &Tensor) -> Result<Tensor> {
        grad.contiguous()
    }
}

impl<F: Backward<1>> CustomOp1 for Node<F> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.take()
    }
    fn bwd(&self, arg: &Tensor, res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let [grad] = (self.backward)([arg], res, &Self::gradient(grad)?)?;
        Ok(grad)
    }
}

impl<F: Backward<2>> CustomOp2 for Node<F> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.take()
    }
    fn bwd(&self, a: &Tensor, b: &Tensor, res: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((self.backward)([a, b], res, &Self::gradient(grad)?)?.into())
    }
}

impl<F: Backward<3>> CustomOp3 for Node<F> {
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
        self.take()
    }
    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok((self.backward)([a, b, c], res, &Self::gradient(grad)?)?.into())
    }
}

/// `value`, computed from `a`, as a node of the graph.
pub(crate) fn op1(
    name: &'static str,
    a: &Tensor,
    value: Vec<f32>,
    shape: impl Into<Shape>,
    backward: impl Backward<1>,
) -> Result<Tensor> {
    a.apply_op1(Node::new(name, value, shape, backward))
}

/// `value`, computed from `a` and `b`, as a node of the graph.
pub(crate) fn op2(
    name: &'static str,
    [a, b]: [&Tensor; 2],
    value: Vec<f32>,
    shape: impl Into<Shape>,
    backward: impl Backward<2>,
) -> Result<Tensor> {
    a.apply_op2(b, Node::new(name, value, shape, backward))
}

/// `value`, computed from `a`, `b` and `c`, as a node of the graph.
pub(crate) fn op3(
    name: &'static str,
    [a, b, c]: [&Tensor; 3],
    value: Vec<f32>,
    shape: impl Into<Shape>,
    backward: impl Backward<3>,
) -> Result<Tensor> {
    a.apply_op3(b, c, Node::new(name, value, shape, backward))
}

/// The gradient of `arg` if anybody needs it: a tensor like `arg` with the values of `f`.
pub(crate) fn needed(arg: &Tensor, f: impl FnOnce() -> Result<Vec<f32>>) -> Result<Option<Tensor>> {
    if !arg.track_op() {
        return Ok(None);
    }
    Tensor::from_vec(f()?, arg.shape(), arg.device()).map(Some)
}
