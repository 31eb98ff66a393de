//! Batch and layer normalisation.

use candle_core::{D, Result, Tensor};

use super::{
    batch_norm::Split,
    launch::{
        Arg::{Float, In, Int, Maybe, MaybeOut, Out},
        Buffer, Grid, launch,
    },
    node::op3,
};
use crate::{Act, BatchStats, Kernels, kernels};

/// What a batch normalisation does, besides its operands.
#[derive(Clone)]
struct Plan {
    mean: Tensor,
    var: Tensor,
    /// Whether these are the batch's own.
    own: bool,
    how: How,
}

/// The same before its moments are known.
#[derive(Clone, Copy)]
struct How {
    eps: f64,
    rectify: usize,
    /// Batch, channels, elements of a channel's plane.
    sizes: [usize; 3],
    /// How channels are split over blocks; each has one block otherwise.
    split: Option<Split>,
}

/// Contiguous operands: x, gamma and beta, and the residual.
struct Operands {
    main: [Tensor; 3],
    residual: Option<Tensor>,
}

impl Operands {
    fn new(main: [&Tensor; 3], residual: Option<&Tensor>) -> Result<Self> {
        let [x, gamma, beta] = main;
        let main = [x.contiguous()?, gamma.contiguous()?, beta.contiguous()?];
        Ok(Self { main, residual: residual.map(Tensor::contiguous).transpose()? })
    }
}

impl How {
    fn new(x: &Tensor, eps: f64, act: Act) -> Self {
        let (batch, channels) = (x.dims()[0], x.dims()[1]);
        let sizes = [batch, channels, x.elem_count() / (batch * channels)];
        let rectify = usize::from(act == Act::Relu);
        let split = if kernels() == Kernels::Untried { Split::new(sizes, eps, rectify) } else { None };
        Self { eps, rectify, sizes, split }
    }

    /// The result by moments that are known.
    fn value(self, operands: &Operands, mean: &Tensor, var: &Tensor) -> Result<Buffer> {
        let Operands { main: [x, gamma, beta], residual } = operands;
        if let Some(split) = self.split {
            return split.value([x, gamma, beta], None, [In(mean), In(var)], residual.as_ref());
        }
        let (mut y, n, [_, channels, plane]) = (Buffer::like(x)?, x.elem_count(), self.sizes);
        let args = [
            In(x),
            In(mean),
            In(var),
            In(gamma),
            In(beta),
            Maybe(residual.as_ref()),
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

    /// The result by the batch's own moments, mean and variance, and these.
    fn value_and_moments(self, operands: &Operands) -> Result<(Buffer, [Tensor; 2])> {
        let (Operands { main: [x, gamma, beta], residual }, [batch, channels, plane]) = (operands, self.sizes);
        let (mut mean, mut var) = (Buffer::new(x, channels, x.dtype())?, Buffer::new(x, channels, x.dtype())?);
        if let Some(split) = self.split {
            let (moments, results) = (split.moments(x)?, [Out(&mut mean), Out(&mut var)]);
            let y = split.value([x, gamma, beta], Some(&moments), results, residual.as_ref())?;
            return Ok((y, [mean.tensor()?, var.tensor()?]));
        }
        let args = [In(x), Out(&mut mean), Out(&mut var), Int(batch), Int(channels), Int(plane)];
        launch(x.device(), "batch_moments", Grid::Blocks(channels), args)?;
        let (mean, var) = (mean.tensor()?, var.tensor()?);
        Ok((self.value(operands, &mean, &var)?, [mean, var]))
    }
}

impl Plan {
    /// Gradients of `x`, gamma, beta and, if asked for, the residual.
    fn gradients(&self, [x, gamma, y, dy]: [&Tensor; 4], with_residual: bool) -> Result<([Tensor; 3], Option<Tensor>)> {
        let How { eps, rectify, sizes: [batch, channels, plane], split } = self.how;
        if let Some(split) = split {
            return split.gradients([x, gamma, y, dy], [&self.mean, &self.var], self.own, with_residual);
        }
        let (device, n) = (x.device(), x.elem_count());
        let (mut of_gamma, mut of_beta) = (Buffer::like(gamma)?, Buffer::like(gamma)?);
        let args = [
            In(x),
            In(y),
            In(dy),
            In(&self.mean),
            In(&self.var),
            Out(&mut of_gamma),
            Out(&mut of_beta),
            Float(eps),
            Int(rectify),
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
            Float(eps),
            Int(rectify),
            Int(self.own.into()),
            Int(channels),
            Int(plane),
            Int(n),
        ];
        launch(device, "batch_norm_back", Grid::Elements(n), args)?;
        Ok(([of_x.tensor()?, of_gamma, of_beta], of_residual.map(Buffer::tensor).transpose()?))
    }

    /// The operation with result `y` as a node of the graph.
    fn node(self, op: &'static str, operands: &Operands, y: Buffer) -> Result<Tensor> {
        let Operands { main: [x, gamma, beta], residual } = operands;
        let Some(residual) = residual else {
            return op3(op, [x, gamma, beta], y, move |[x, gamma, _], y, dy| {
                Ok(self.gradients([x, gamma, y, dy], false)?.0.map(Some))
            });
        };
        // A custom operation has at most three operands: gamma and beta are joined.
        let (pair, channels) = (&Tensor::cat(&[gamma, beta], 0)?, self.how.sizes[1]);
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
    let (how, operands) = (How::new(x, eps, act), Operands::new([x, gamma, beta], residual)?);
    let (y, [mean, var]) = how.value_and_moments(&operands)?;
    let [batch, _, plane] = how.sizes;
    let stats = BatchStats { mean: mean.clone(), var: var.clone(), count: batch * plane };
    Ok((Plan { mean, var, own: true, how }.node("batch_norm_train", &operands, y)?, stats))
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
    let (how, operands) = (How::new(x, eps, act), Operands::new([x, gamma, beta], residual)?);
    let (mean, var) = (mean.contiguous()?, var.contiguous()?);
    let y = how.value(&operands, &mean, &var)?;
    Plan { mean, var, own: false, how }.node("batch_norm_eval", &operands, y)
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
