//! Operations that treat each element by itself, embeddings, sums for biases.

use candle_core::{Result, Tensor};

use super::{
    launch::{
        Arg::{Bits, Float, In, Int, Out},
        Buffer, Grid, launch,
    },
    node::{op1, op2},
};
use crate::activation::Kept;

/// A tensor like the operands that `kernel` computes from them; `length` is its last parameter.
pub(super) fn computed<const N: usize>(
    kernel: &'static str,
    operands: [&Tensor; N],
    grid: Grid,
    length: usize,
) -> Result<Buffer> {
    let mut y = Buffer::like(operands[0])?;
    let args = operands.into_iter().map(In).chain([Out(&mut y), Int(length)]);
    launch(operands[0].device(), kernel, grid, args)?;
    Ok(y)
}

/// The same, each element by itself.
fn mapped<const N: usize>(kernel: &'static str, operands: [&Tensor; N]) -> Result<Buffer> {
    let n = operands[0].elem_count();
    computed(kernel, operands, Grid::Elements(n), n)
}

pub(crate) fn relu(x: &Tensor) -> Result<Tensor> {
    let x = &x.contiguous()?;
    op1("relu", x, mapped("relu", [x])?, |_, y, dy| Ok([Some(relu_gradient(y, dy)?)]))
}

/// What passes through the rectifier with result `y`.
pub(super) fn relu_gradient(y: &Tensor, dy: &Tensor) -> Result<Tensor> {
    mapped("relu_back", [y, dy])?.tensor()
}

pub(crate) fn gelu(x: &Tensor) -> Result<Tensor> {
    let x = &x.contiguous()?;
    op1("gelu", x, mapped("gelu", [x])?, |[x], _, dy| Ok([Some(mapped("gelu_back", [x, dy])?.tensor()?)]))
}

pub(crate) fn dropout(x: &Tensor, kept: Kept) -> Result<Tensor> {
    let apply = move |x: &Tensor| {
        let (mut y, n) = (Buffer::like(x)?, x.elem_count());
        let args = [In(x), Out(&mut y), Bits(kept.key), Bits(kept.dropped), Float(kept.scale.into()), Int(n)];
        launch(x.device(), "dropout", Grid::Elements(n), args)?;
        Ok::<_, candle_core::Error>(y)
    };
    let x = &x.contiguous()?;
    op1("dropout", x, apply(x)?, move |_, _, dy| Ok([Some(apply(dy)?.tensor()?)]))
}

pub(crate) fn noisy(x: &Tensor, scale: f32, std: f32, key: u64) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let (mut y, n) = (Buffer::like(x)?, x.elem_count());
    let args = [In(x), Out(&mut y), Float(scale.into()), Float(std.into()), Bits(key), Int(n)];
    launch(x.device(), "noisy", Grid::Elements(n), args)?;
    y.tensor()
}

pub(crate) fn embedding(ids: &Tensor, table: &Tensor) -> Result<Tensor> {
    let (ids, table) = (&ids.contiguous()?, &table.contiguous()?);
    let (rows, width) = table.dims2()?;
    let shape = [ids.dims(), &[width]].concat();
    let mut y = Buffer::new(table, shape, table.dtype())?;
    let (count, n) = (ids.elem_count(), ids.elem_count() * width);
    let args = [In(ids), In(table), Out(&mut y), Int(rows), Int(width), Int(n)];
    launch(table.device(), "embedding", Grid::Elements(n), args)?;
    op2("embedding", [table, ids], y, move |[table, ids], _, dy| {
        let mut g = Buffer::like(table)?;
        launch(
            table.device(),
            "embedding_back",
            Grid::Blocks(rows),
            [In(ids), In(dy), Out(&mut g), Int(count), Int(width)],
        )?;
        Ok([Some(g.tensor()?), None])
    })
}

/// Sums of `x [rows, columns, inner]` over rows and inner.
pub(super) fn channel_sum(x: &Tensor, [rows, columns, inner]: [usize; 3]) -> Result<Tensor> {
    let mut sum = Buffer::new(x, columns, x.dtype())?;
    if inner == 1 {
        launch(x.device(), "column_sum", Grid::Columns(columns), [In(x), Out(&mut sum), Int(rows), Int(columns)])?;
    } else {
        let args = [In(x), Out(&mut sum), Int(rows), Int(columns), Int(inner)];
        launch(x.device(), "channel_sum", Grid::Blocks(columns), args)?;
    }
    sum.tensor()
}
