//! The linear map as matrix products.

use candle_core::{Result, Tensor};

use super::{
    elementwise::{rectify, relu_gradient},
    gemm::Size,
    matrix::{Matrix, matmul},
    par,
    simd::kernel,
};
use crate::{
    Act,
    custom::{needed, op2, op3},
    host,
    rows::{self, Rows},
};

/// The sum of `dy`'s rows, each of `n` elements.
pub(crate) fn sum_rows(dy: &[f32], n: usize) -> Vec<f32> {
    let mut sums = vec![0f32; n];
    add_rows(&mut sums, dy);
    sums
}

kernel! {
    fn add_rows(sums: &mut [f32], dy: &[f32]) {
        for row in dy.chunks_exact(sums.len()) {
            for (sum, v) in sums.iter_mut().zip(row) {
                *sum += v;
            }
        }
    }
}

/// Linear maps of `count` rows, of whose outputs those with weights of zero are left out.
#[derive(Clone)]
struct Layer {
    count: usize,
    inputs: usize,
    /// Outputs that are computed.
    outputs: usize,
    rows: Option<Rows>,
}

impl Layer {
    fn forward(&self, x: &[f32], w: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let Self { count, inputs, outputs, ref rows } = *self;
        let product = |w: &[f32], bias: Option<&[f32]>| {
            matmul(Size { m: count, n: outputs, k: inputs }, Matrix::rows(x, inputs), Matrix::rows(w, inputs).t(), bias)
        };
        let Some(rows) = rows else { return product(w, bias) };
        let some = bias.map(|bias| rows.gather(bias, 1));
        rows.spread(&product(&rows.gather(w, inputs), some.as_deref()), 1, bias)
    }

    fn input_gradient(&self, w: &[f32], dy: &[f32]) -> Vec<f32> {
        let Self { count, inputs, outputs, ref rows } = *self;
        let product = |w: &[f32], dy: &[f32]| {
            matmul(Size { m: count, n: inputs, k: outputs }, Matrix::rows(dy, outputs), Matrix::rows(w, inputs), None)
        };
        match rows {
            None => product(w, dy),
            Some(rows) => product(&rows.gather(w, inputs), &rows.gather(dy, 1)),
        }
    }

    fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let Self { count, inputs, outputs, ref rows } = *self;
        let product = |dy: &[f32]| {
            let size = Size { m: outputs, n: inputs, k: count };
            matmul(size, Matrix::rows(dy, outputs).t(), Matrix::rows(x, inputs), None)
        };
        match rows {
            None => product(dy),
            Some(rows) => rows.spread(&product(&rows.gather(dy, 1)), inputs, None),
        }
    }
}

/// The linear map, and behind it what `act` says.
pub(crate) fn linear(op: &'static str, x: &Tensor, w: &Tensor, bias: Option<&Tensor>, act: Act) -> Result<Tensor> {
    let (x, w) = (&x.contiguous()?, &w.contiguous()?);
    let (all, inputs) = w.dims2()?;
    let count = x.elem_count() / inputs;
    let mut shape = x.dims()[..x.rank() - 1].to_vec();
    shape.push(all);
    let rows = rows::of(w);
    let layer = Layer { count, inputs, outputs: rows.as_ref().map_or(all, |rows| rows.kept.len()), rows };
    let forward = |x: &[f32], w: &[f32], bias: Option<&[f32]>| {
        let mut y = layer.forward(x, w, bias);
        if act == Act::Relu {
            rectify(&mut y);
        }
        Ok(y)
    };
    // The gradient of the linear map itself.
    let inner = move |y: &Tensor, dy: &Tensor| match act {
        Act::None => Ok(dy.clone()),
        Act::Relu => relu_gradient(op, y, dy),
    };
    let at = layer.clone();
    let of_x = move |x: &Tensor, w: &Tensor, dy: &Tensor| {
        needed(x, || host::read(op, [w, dy], |[w, dy]| Ok(at.input_gradient(w, dy))))
    };
    let at = layer.clone();
    let of_w = move |x: &Tensor, w: &Tensor, dy: &Tensor| {
        needed(w, || host::read(op, [x, dy], |[x, dy]| Ok(at.weight_gradient(x, dy))))
    };
    let products = move |x: &Tensor, w: &Tensor, dy: &Tensor| {
        let (of_x, of_w) = par::both(count * all * inputs, || of_x(x, w, dy), || of_w(x, w, dy));
        Ok::<_, candle_core::Error>([of_x?, of_w?])
    };
    let Some(bias) = bias else {
        let y = host::read(op, [x, w], |[x, w]| forward(x, w, None))?;
        return op2(op, [x, w], y, shape, move |[x, w], y, dy| products(x, w, &inner(y, dy)?));
    };
    let bias = &bias.contiguous()?;
    let y = host::read(op, [x, w, bias], |[x, w, bias]| forward(x, w, Some(bias)))?;
    op3(op, [x, w, bias], y, shape, move |[x, w, bias], y, dy| {
        let dy = &inner(y, dy)?;
        let of_bias = needed(bias, || host::read(op, [dy], |[dy]| Ok(sum_rows(dy, dy.len() / count))))?;
        let [of_x, of_w] = products(x, w, dy)?;
        Ok([of_x, of_w, of_bias])
    })
}
