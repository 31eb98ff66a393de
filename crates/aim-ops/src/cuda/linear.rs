//! The linear map: cuBLAS for the products, a kernel for what follows them.

use candle_core::{D, Result, Tensor};

use super::{
    elementwise::{channel_sum, relu, relu_gradient},
    launch::{
        Arg::{In, Int, Out},
        Buffer, Grid, launch,
    },
    node::op3,
};
use crate::{Act, compose};

/// The values of `x` with all dimensions but the last as one.
fn rows(x: &Tensor) -> Result<Tensor> {
    x.detach().contiguous()?.reshape(((), x.dim(D::Minus1)?))
}

pub(crate) fn linear(op: &'static str, x: &Tensor, w: &Tensor, bias: Option<&Tensor>, act: Act) -> Result<Tensor> {
    let Some(bias) = bias else {
        let y = compose::linear(&x.contiguous()?, &w.contiguous()?, None)?;
        return if act == Act::Relu { relu(&y) } else { Ok(y) };
    };
    let (w, bias, out) = (&w.contiguous()?, &bias.contiguous()?, w.dim(0)?);
    let product = rows(x)?.matmul(&w.detach().t()?)?.reshape([&x.dims()[..x.rank() - 1], &[out]].concat())?;
    let y = add_bias(&product, bias, [out, 1], act)?;
    op3(op, [x, w, bias], y, move |[x, w, bias], y, dy| {
        let dy = &if act == Act::Relu { relu_gradient(y, dy)? } else { dy.clone() };
        let of_x = || rows(dy)?.matmul(&w.detach())?.reshape(x.shape());
        let of_w = || rows(dy)?.t()?.matmul(&rows(x)?);
        let of_bias = || channel_sum(dy, [dy.elem_count() / out, out, 1]);
        Ok([
            x.track_op().then(of_x).transpose()?,
            w.track_op().then(of_w).transpose()?,
            bias.track_op().then(of_bias).transpose()?,
        ])
    })
}

/// `x` plus `bias` along its columns, which `inner` elements follow each, and the nonlinearity of that.
pub(super) fn add_bias(x: &Tensor, bias: &Tensor, [columns, inner]: [usize; 2], act: Act) -> Result<Buffer> {
    let (mut y, n, rectify) = (Buffer::like(x)?, x.elem_count(), usize::from(act == Act::Relu));
    let args = [In(x), In(bias), Out(&mut y), Int(columns), Int(inner), Int(rectify), Int(n)];
    launch(x.device(), "add_bias", Grid::Elements(n), args)?;
    Ok(y)
}
