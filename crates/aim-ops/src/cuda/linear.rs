//! The linear map: cuBLAS for the products, a kernel for what follows them.

use candle_core::{D, DType, Result, Tensor};

use super::{
    elementwise::{channel_sum, relu, relu_gradient},
    launch::{
        Arg::{In, Int, Out},
        Buffer, Grid, launch,
    },
    node::{op2, op3},
};
use crate::{Act, Precision, precision};

/// The values of `x` with all dimensions but the last as one.
fn rows(x: &Tensor) -> Result<Tensor> {
    x.detach().contiguous()?.reshape(((), x.dim(D::Minus1)?))
}

/// `a b`, its operands rounded as asked for.
fn product(a: &Tensor, b: &Tensor, precision: Precision) -> Result<Tensor> {
    if precision != Precision::Bf16 {
        return a.matmul(b);
    }
    a.to_dtype(DType::BF16)?.matmul(&b.to_dtype(DType::BF16)?)?.to_dtype(DType::F32)
}

pub(crate) fn linear(op: &'static str, x: &Tensor, w: &Tensor, bias: Option<&Tensor>, act: Act) -> Result<Tensor> {
    linear_with(precision(), op, x, w, bias, act)
}

pub(super) fn linear_with(
    precision: Precision,
    op: &'static str,
    x: &Tensor,
    w: &Tensor,
    bias: Option<&Tensor>,
    act: Act,
) -> Result<Tensor> {
    let (w, out) = (&w.contiguous()?, w.dim(0)?);
    let y = product(&rows(x)?, &w.detach().t()?, precision)?.reshape([&x.dims()[..x.rank() - 1], &[out]].concat())?;
    let products = move |x: &Tensor, w: &Tensor, dy: &Tensor| {
        let of_x = || product(&rows(dy)?, &w.detach(), precision)?.reshape(x.shape());
        let of_w = || product(&rows(dy)?.t()?, &rows(x)?, precision);
        Ok::<_, candle_core::Error>([x.track_op().then(of_x).transpose()?, w.track_op().then(of_w).transpose()?])
    };
    let Some(bias) = bias else {
        let y = op2(op, [x, w], Buffer::copy(&y)?, move |[x, w], _, dy| products(x, w, dy))?;
        return if act == Act::Relu { relu(&y) } else { Ok(y) };
    };
    let bias = &bias.contiguous()?;
    let y = add_bias(&y, bias, [out, 1], act)?;
    op3(op, [x, w, bias], y, move |[x, w, bias], y, dy| {
        let dy = &if act == Act::Relu { relu_gradient(y, dy)? } else { dy.clone() };
        let [of_x, of_w] = products(x, w, dy)?;
        let of_bias = || channel_sum(dy, [dy.elem_count() / out, out, 1]);
        Ok([of_x, of_w, bias.track_op().then(of_bias).transpose()?])
    })
}

/// `x` plus `bias` along its columns, which `inner` elements follow each, and the nonlinearity of that.
pub(super) fn add_bias(x: &Tensor, bias: &Tensor, [columns, inner]: [usize; 2], act: Act) -> Result<Buffer> {
    let (mut y, n, rectify) = (Buffer::like(x)?, x.elem_count(), usize::from(act == Act::Relu));
    let args = [In(x), In(bias), Out(&mut y), Int(columns), Int(inner), Int(rectify), Int(n)];
    launch(x.device(), "add_bias", Grid::Elements(n), args)?;
    Ok(y)
}
