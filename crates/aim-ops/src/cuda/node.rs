//! An operation with a value that is computed already as a node of candle's graph.

use std::sync::{Mutex, PoisonError};

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail,
};

use super::launch::{Buffer, cpu_storage, cuda_storage};
use crate::custom::Backward;

struct Node<F> {
    name: &'static str,
    value: Mutex<Option<(Storage, Shape)>>,
    backward: F,
}

impl<F> Node<F> {
    /// The value, which candle asks for once.
    fn value(&self) -> Result<(Storage, Shape)> {
        match self.value.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(value) => Ok(value),
            None => bail!("{}: the node's value was taken already", self.name),
        }
    }

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
        cpu_storage(self.value()?)
    }
    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda_storage(self.value()?)
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
        cpu_storage(self.value()?)
    }
    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        cuda_storage(self.value()?)
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
        cpu_storage(self.value()?)
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
        cuda_storage(self.value()?)
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
    Node { name, value: Mutex::new(Some(value.take())), backward }
}

/// `value`, computed from `a`, as a node of the graph.
pub(super) fn op1(name: &'static str, a: &Tensor, value: Buffer, backward: impl Backward<1>) -> Result<Tensor> {
    a.apply_op1(node(name, value, backward))
}

/// `value`, computed from `a` and `b`, as a node of the graph.
pub(super) fn op2(
    name: &'static str,
    [a, b]: [&Tensor; 2],
    value: Buffer,
    backward: impl Backward<2>,
) -> Result<Tensor> {
    a.apply_op2(b, node(name, value, backward))
}

/// `value`, computed from `a`, `b` and `c`, as a node of the graph.
pub(super) fn op3(
    name: &'static str,
    [a, b, c]: [&Tensor; 3],
    value: Buffer,
    backward: impl Backward<3>,
) -> Result<Tensor> {
    a.apply_op3(b, c, node(name, value, backward))
}
