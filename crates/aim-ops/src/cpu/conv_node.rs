//! The convolution as a node of the graph: what is kept for the gradients, and which output channels are left out.

use candle_core::{Result, Tensor};

use super::{
    conv::{Shape, bias_gradient, forward, input_gradient, weight_gradient},
    par,
    planes::Planes,
};
use crate::{
    custom::{needed, op2, op3},
    host,
    rows::{self, Rows},
};

/// A convolution, of whose output channels those with weights of zero are left out.
#[derive(Clone)]
struct Layer {
    /// Of the channels that are computed.
    shape: Shape,
    rows: Option<Rows>,
}

impl Layer {
    fn new(shape: Shape, w: &Tensor) -> Self {
        let rows = rows::of(w).filter(|_| shape.groups == 1);
        let outputs = rows.as_ref().map_or(shape.channels[1], |rows| rows.kept.len());
        Self { shape: Shape { channels: [shape.channels[0], outputs], ..shape }, rows }
    }

    /// Elements of a channel's weights, and of its output.
    fn inner(&self) -> [usize; 2] {
        let [height, width] = self.shape.output();
        [self.shape.group()[0] * self.shape.taps(), height * width]
    }

    fn forward(&self, x: &[f32], w: &[f32], bias: Option<&[f32]>) -> (Vec<f32>, Option<Planes<'static>>) {
        let ([weights, plane], Some(rows)) = (self.inner(), &self.rows) else {
            return forward(&self.shape, x, w, bias);
        };
        let some = bias.map(|bias| rows.gather(bias, 1));
        let (y, padded) = forward(&self.shape, x, &rows.gather(w, weights), some.as_deref());
        (rows.spread(&y, plane, bias), padded)
    }

    fn input_gradient(&self, w: &[f32], dy: &[f32]) -> Vec<f32> {
        match (self.inner(), &self.rows) {
            (_, None) => input_gradient(&self.shape, w, dy),
            ([weights, plane], Some(rows)) => {
                input_gradient(&self.shape, &rows.gather(w, weights), &rows.gather(dy, plane))
            }
        }
    }

    fn weight_gradient(&self, x: &[f32], padded: Option<&Planes<'static>>, dy: &[f32]) -> Vec<f32> {
        match (self.inner(), &self.rows) {
            (_, None) => weight_gradient(&self.shape, x, padded, dy),
            ([weights, plane], Some(rows)) => {
                rows.spread(&weight_gradient(&self.shape, x, padded, &rows.gather(dy, plane)), weights, None)
            }
        }
    }
}

/// The convolution as a node of the graph, of rank 3 or 4 like `x`.
pub(crate) fn conv(op: &'static str, s: Shape, x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (x, w, bias) = (&x.contiguous()?, &w.contiguous()?, bias.map(Tensor::contiguous).transpose()?);
    let [height, width] = s.output();
    let mut out = vec![s.batch, s.channels[1], height, width];
    if x.rank() == 3 {
        out.remove(2);
    }
    let layer = Layer::new(s, w);
    let (y, padded) = match &bias {
        None => host::read(op, [x, w], |[x, w]| Ok(layer.forward(x, w, None)))?,
        Some(bias) => host::read(op, [x, w, bias], |[x, w, bias]| Ok(layer.forward(x, w, Some(bias))))?,
    };
    let padded = padded.filter(|_| w.track_op());
    let at = layer.clone();
    let of_x = move |x: &Tensor, w: &Tensor, dy: &Tensor| {
        needed(x, || host::read(op, [w, dy], |[w, dy]| Ok(at.input_gradient(w, dy))))
    };
    let of_w = move |x: &Tensor, w: &Tensor, dy: &Tensor| {
        needed(w, || host::read(op, [x, dy], |[x, dy]| Ok(layer.weight_gradient(x, padded.as_ref(), dy))))
    };
    let work = y.len() * s.group()[0] * s.taps();
    let products = move |x: &Tensor, w: &Tensor, dy: &Tensor| {
        let (of_x, of_w) = par::both(work, || of_x(x, w, dy), || of_w(x, w, dy));
        Ok::<_, candle_core::Error>([of_x?, of_w?])
    };
    let Some(bias) = bias else {
        return op2(op, [x, w], y, out, move |[x, w], _, dy| products(x, w, dy));
    };
    op3(op, [x, w, &bias], y, out, move |[x, w, bias], _, dy| {
        let of_bias = needed(bias, || host::read(op, [dy], |[dy]| Ok(bias_gradient(&s, dy))))?;
        let [of_x, of_w] = products(x, w, dy)?;
        Ok([of_x, of_w, of_bias])
    })
}
