//! An operation with a value that is computed already as a node of candle's graph: its gradients go through candle or,
//! untried so far, past it as on the CPU.

use candle_core::{CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::launch::Buffer;
use crate::{
    Kernels,
    custom::{self, Backward, Given, any_tracked},
    kernels,
};

struct Node<F> {
    name: &'static str,
    value: Given,
    backward: F,
}

impl<F> Node<F> {
    fn gradients<const N: usize>(&self, operands: [&Tensor; N], y: &Tensor, dy: &Tensor) -> Result<[Option<Tensor>; N]>
    where
        F: Backward<N>,
    {
        (self.backward)(operands, &y.detach(), &dy.detach().contiguous()?)
    }
}

impl<F: Backward<1>> CustomOp1 for Node<F> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.value.on_cpu()
    }
    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.value.on_cuda()
    }
    fn bwd(&self, a: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let [grad] = self.gradients([a], y, dy)?;
        Ok(grad)
    }
}

impl<F: Backward<2>> CustomOp2 for Node<F> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.value.on_cpu()
    }
    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.value.on_cuda()
    }
    fn bwd(&self, a: &Tensor, b: &Tensor, y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok(self.gradients([a, b], y, dy)?.into())
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
        self.value.on_cpu()
    }
    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.value.on_cuda()
    }
    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok(self.gradients([a, b, c], y, dy)?.into())
    }
}

fn node<F>(name: &'static str, value: Buffer, backward: F) -> Node<F> {
    Node { name, value: value.given(), backward }
}

/// Whether the gradients of these operands, if there are any, go past candle.
fn past_candle(operands: &[&Tensor]) -> bool {
    kernels() == Kernels::Untried && any_tracked(operands)
}

/// `backward` for gradients of any layout.
fn of_contiguous<const N: usize>(backward: impl Backward<N>) -> impl Backward<N> {
    move |operands: [&Tensor; N], y: &Tensor, dy: &Tensor| backward(operands, y, &dy.contiguous()?)
}

/// `value`, computed from `a`, as a node of the graph.
pub(super) fn op1(name: &'static str, a: &Tensor, value: Buffer, backward: impl Backward<1>) -> Result<Tensor> {
    if past_candle(&[a]) {
        return custom::given1(name, a, value.given(), of_contiguous(backward));
    }
    a.apply_op1(node(name, value, backward))
}

/// `value`, computed from `a` and `b`, as a node of the graph.
pub(super) fn op2(
    name: &'static str,
    [a, b]: [&Tensor; 2],
    value: Buffer,
    backward: impl Backward<2>,
) -> Result<Tensor> {
    if past_candle(&[a, b]) {
        return custom::given2(name, [a, b], value.given(), of_contiguous(backward));
    }
    a.apply_op2(b, node(name, value, backward))
}

/// `value`, computed from `a`, `b` and `c`, as a node of the graph.
pub(super) fn op3(
    name: &'static str,
    [a, b, c]: [&Tensor; 3],
    value: Buffer,
    backward: impl Backward<3>,
) -> Result<Tensor> {
    if past_candle(&[a, b, c]) {
        return custom::given3(name, [a, b, c], value.given(), of_contiguous(backward));
    }
    a.apply_op3(b, c, node(name, value, backward))
}
