//! Convolutions as nodes of the graph.

use candle_core::{Result, Tensor};

use super::{
    cudnn::{forward, of_input, of_weights},
    elementwise::channel_sum,
    linear::add_bias,
    node::{op2, op3},
};
use crate::{Act, cpu::ConvShape};

pub(crate) fn conv(op: &'static str, s: ConvShape, x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (x, w) = (&x.contiguous()?, &w.contiguous()?);
    let [rows, columns] = s.axes.map(|a| a.output());
    let dims =
        if x.rank() == 3 { vec![s.batch, w.dims()[0], columns] } else { vec![s.batch, w.dims()[0], rows, columns] };
    let y = forward(&s, x, w, &dims)?;
    let gradients = move |x: &Tensor, w: &Tensor, dy: &Tensor| {
        let of_x = x.track_op().then(|| of_input(&s, x, w, dy)).transpose()?;
        let of_w = w.track_op().then(|| of_weights(&s, x, w, dy)).transpose()?;
        Ok::<_, candle_core::Error>([of_x, of_w])
    };
    let Some(bias) = bias else {
        return op2(op, [x, w], y, move |[x, w], _, dy| gradients(x, w, dy));
    };
    let (bias, channels, plane) = (&bias.contiguous()?, s.channels[1], rows * columns);
    let y = add_bias(&y.tensor()?, bias, [channels, plane], Act::None)?;
    op3(op, [x, w, bias], y, move |[x, w, bias], _, dy| {
        let [of_x, of_w] = gradients(x, w, dy)?;
        let of_bias = bias.track_op().then(|| channel_sum(dy, [s.batch, channels, plane])).transpose()?;
        Ok([of_x, of_w, of_bias])
    })
}
