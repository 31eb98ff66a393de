//! Batch and layer normalisation.

use candle_core::{D, Result, Tensor};

use super::{
    launch::{
        Arg::{Float, In, Int, Maybe, MaybeOut, Out},
        Buffer, Grid, launch,
    },
    node::op3,
};
use crate::{Act, BatchStats};

/// What a batch normalisation does, besides its operands.
#[derive(Clone)]
struct Plan {
    mean: Tensor,
    var: Tensor,
    /// Whether these are the batch's own.
    own: bool,
    eps: f64,
    rectify: usize,
    /// Batch, channels, elements of a channel's plane.
    sizes: [usize; 3],
}

fn sizes(x: &Tensor) -> [usize; 3] {
    let (batch, channels) = (x.dims()[0], x.dims()[1]);
    [batch, channels, x.elem_count() / (batch * channels)]
}

impl Plan {
    fn value(&self, x: &Tensor, gamma: &Tensor, beta: &Tensor, residual: Option<&Tensor>) -> Result<Buffer> {
        let (mut y, n, [_, channels, plane]) = (Buffer::like(x)?, x.elem_count(), self.sizes);
        let args = [
            In(x),
            In(&self.mean),
            In(&self.var),
            In(gamma),
            In(beta),
            Maybe(residual),
            Out(&mut y),
            Float(self.eps),
            Int(self.rectify),
            Int(channels),
            Int(plane),
            Int(n),
        ];
        launch(x.device(), "batch_norm", Grid::Elements(n), args)?;
        Ok(y)
    }

    /// Gradients of `x`, gamma, beta and, if asked for, the residual.
    fn gradients(&self, [x, gamma, y, dy]: [&Tensor; 4], with_residual: bool) -> Result<([Tensor; 3], Option<Tensor>)> {
        let (device, n, [batch, channels, plane]) = (x.device(), x.elem_count(), self.sizes);
        let (mut of_gamma, mut of_beta) = (Buffer::like(gamma)?, Buffer::like(gamma)?);
        let args = [
            In(x),
            In(y),
            In(dy),
            In(&self.mean),
            In(&self.var),
            Out(&mut of_gamma),
            Out(&mut of_beta),
            Float(self.eps),
            Int(self.rectify),
            Int(batch),
            Int(channels),
            Int(plane),
        ];
        launch(device, "batch_norm_params", Grid::Blocks(channels), args)?;
        let (of_gamma, of_beta, mut of_x) = (of_gamma.tensor()?, of_beta.tensor()?, Buffer::like(x)?);
        let mut of_residual = with_residual.then(|| Buffer::like(x)).transpose()?;
        let args = [
            In(x),
            In(y),
            In(dy),
            In(&self.mean),
            In(&self.var),
            In(gamma),
            In(&of_gamma),
            In(&of_beta),
            Out(&mut of_x),
            MaybeOut(of_residual.as_mut()),
            Float(self.eps),
            Int(self.rectify),
            Int(self.own.into()),
            Int(channels),
            Int(plane),
            Int(n),
        ];
        launch(device, "batch_norm_back", Grid::Elements(n), args)?;
        Ok(([of_x.tensor()?, of_gamma, of_beta], of_residual.map(Buffer::tensor).transpose()?))
    }

    /// The operation as a node of the graph.
    fn node(
        self,
        op: &'static str,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        residual: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (gamma, beta) = (&gamma.contiguous()?, &beta.contiguous()?);
        let Some(residual) = residual else {
            let y = self.value(x, gamma, beta, None)?;
            return op3(op, [x, gamma, beta], y, move |[x, gamma, _], y, dy| {
                Ok(self.gradients([x, gamma, y, dy], false)?.0.map(Some))
            });
        };
        // A custom operation has at most three operands: gamma and beta are joined.
        let (pair, residual, channels) = (&Tensor::cat(&[gamma, beta], 0)?, &residual.contiguous()?, self.sizes[1]);
        let y = self.value(x, gamma, beta, Some(residual))?;
        op3(op, [x, pair, residual], y, move |[x, pair, _], y, dy| {
            let gamma = pair.detach().narrow(0, 0, channels)?;
            let ([of_x, of_gamma, of_beta], of_residual) = self.gradients([x, &gamma, y, dy], true)?;
            Ok([Some(of_x), Some(Tensor::cat(&[of_gamma, of_beta], 0)?), of_residual])
        })
    }
}

pub(crate) fn batch_norm_train(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    act: Act,
    residual: Option<&Tensor>,
) -> Result<(Tensor, BatchStats)> {
    let (x, sizes) = (&x.contiguous()?, sizes(x));
    let [batch, channels, plane] = sizes;
    let (mut mean, mut var) = (Buffer::new(x, channels, x.dtype())?, Buffer::new(x, channels, x.dtype())?);
    let args = [In(x), Out(&mut mean), Out(&mut var), Int(batch), Int(channels), Int(plane)];
    launch(x.device(), "batch_moments", Grid::Blocks(channels), args)?;
    let (mean, var) = (mean.tensor()?, var.tensor()?);
    let stats = BatchStats { mean: mean.clone(), var: var.clone(), count: batch * plane };
    let plan = Plan { mean, var, own: true, eps, rectify: usize::from(act == Act::Relu), sizes };
    Ok((plan.node("batch_norm_train", x, gamma, beta, residual)?, stats))
}

#[allow(clippy::too_many_arguments)] // the operation has this many operands
pub(crate) fn batch_norm_eval(
    x: &Tensor,
    mean: &Tensor,
    var: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    act: Act,
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    let (x, mean, var) = (&x.contiguous()?, mean.contiguous()?, var.contiguous()?);
    let plan = Plan { mean, var, own: false, eps, rectify: usize::from(act == Act::Relu), sizes: sizes(x) };
    plan.node("batch_norm_eval", x, gamma, beta, residual)
}

pub(crate) fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    let (x, gamma, beta) = (&x.contiguous()?, &gamma.contiguous()?, &beta.contiguous()?);
    let (width, dtype) = (x.dim(D::Minus1)?, x.dtype());
    let rows = x.elem_count() / width;
    let (mut y, mut mean, mut rstd) = (Buffer::like(x)?, Buffer::new(x, rows, dtype)?, Buffer::new(x, rows, dtype)?);
    let args = [In(x), In(gamma), In(beta), Out(&mut y), Out(&mut mean), Out(&mut rstd), Float(eps), Int(width)];
    launch(x.device(), "layer_norm", Grid::Blocks(rows), args)?;
    let (mean, rstd) = (mean.tensor()?, rstd.tensor()?);
    op3("layer_norm", [x, gamma, beta], y, move |[x, gamma, _], _, dy| {
        let (mut of_x, mut of_gamma, mut of_beta) = (Buffer::like(x)?, Buffer::like(gamma)?, Buffer::like(gamma)?);
        let args = [In(x), In(dy), In(gamma), In(&mean), In(&rstd), Out(&mut of_x), Int(width)];
        launch(x.device(), "layer_norm_back", Grid::Blocks(rows), args)?;
        let (gamma, beta) = (Out(&mut of_gamma), Out(&mut of_beta));
        let args = [In(x), In(dy), In(&mean), In(&rstd), gamma, beta, Int(rows), Int(width)];
        launch(x.device(), "layer_norm_params", Grid::Columns(width), args)?;
        Ok([Some(of_x.tensor()?), Some(of_gamma.tensor()?), Some(of_beta.tensor()?)])
    })
}
