//! The linear map as matrix products.

use candle_core::{Result, Tensor};

use super::{
    elementwise::{rectify, relu_gradient},
    gemm::Size,
    matrix::{Matrix, matmul},
    simd::kernel,
};
use crate::{
    Act,
    custom::{needed, op2, op3},
    host,
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

/// The linear map, and behind it what `act` says.
pub(crate) fn linear(op: &'static str, x: &Tensor, w: &Tensor, bias: Option<&Tensor>, act: Act) -> Result<Tensor> {
    let (x, w) = (&x.contiguous()?, &w.contiguous()?);
    let (o, i) = w.dims2()?;
    let rows = x.elem_count() / i;
    let mut shape = x.dims()[..x.rank() - 1].to_vec();
    shape.push(o);
    let forward = move |x: &[f32], w: &[f32], bias: Option<&[f32]>| {
        let mut y = matmul(Size { m: rows, n: o, k: i }, Matrix::rows(x, i), Matrix::rows(w, i).t(), bias);
        if act == Act::Relu {
            rectify(&mut y);
        }
        y
    };
    // The gradient of the linear map itself.
    let inner = move |y: &Tensor, dy: &Tensor| match act {
        Act::None => Ok(dy.clone()),
        Act::Relu => relu_gradient(op, y, dy),
    };
    let of_x = move |x: &Tensor, w: &Tensor, dy: &Tensor| {
        let product =
            |w: &[f32], dy: &[f32]| matmul(Size { m: rows, n: i, k: o }, Matrix::rows(dy, o), Matrix::rows(w, i), None);
        needed(x, || host::read(op, [w, dy], |[w, dy]| Ok(product(w, dy))))
    };
    let of_w = move |x: &Tensor, w: &Tensor, dy: &Tensor| {
        let product = |x: &[f32], dy: &[f32]| {
            matmul(Size { m: o, n: i, k: rows }, Matrix::rows(dy, o).t(), Matrix::rows(x, i), None)
        };
        needed(w, || host::read(op, [x, dy], |[x, dy]| Ok(product(x, dy))))
    };
    let Some(bias) = bias else {
        let y = host::read(op, [x, w], |[x, w]| Ok(forward(x, w, None)))?;
        return op2(op, [x, w], y, shape, move |[x, w], y, dy| {
            let dy = &inner(y, dy)?;
            Ok([of_x(x, w, dy)?, of_w(x, w, dy)?])
        });
    };
    let bias = &bias.contiguous()?;
    let y = host::read(op, [x, w, bias], |[x, w, bias]| Ok(forward(x, w, Some(bias))))?;
    op3(op, [x, w, bias], y, shape, move |[x, w, bias], y, dy| {
        let dy = &inner(y, dy)?;
        let of_bias = needed(bias, || host::read(op, [dy], |[dy]| Ok(sum_rows(dy, dy.len() / rows))))?;
        Ok([of_x(x, w, dy)?, of_w(x, w, dy)?, of_bias])
    })
}
