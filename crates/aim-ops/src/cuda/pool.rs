//! Pooling.

use candle_core::{DType, Result, Tensor};

use super::{
    launch::{
        Arg::{In, Int, Out},
        Buffer, Grid, launch,
    },
    node::op1,
};
use crate::Pool2d;

/// The lengths that the kernels of windows are told, and those of the results.
struct Windows {
    /// Height and width of the input and of the output; kernel, stride and padding.
    lengths: [usize; 7],
    shape: [usize; 4],
}

impl Windows {
    fn new(x: &Tensor, p: Pool2d) -> Result<Self> {
        let (b, c, h, w) = x.dims4()?;
        let out = |n: usize| (n + 2 * p.padding - p.kernel) / p.stride + 1;
        let (rows, columns) = (out(h), out(w));
        Ok(Self { lengths: [h, w, rows, columns, p.kernel, p.stride, p.padding], shape: [b, c, rows, columns] })
    }
}

pub(crate) fn max_pool2d(x: &Tensor, p: Pool2d) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let Windows { lengths, shape } = Windows::new(x, p)?;
    let (mut y, mut winner) = (Buffer::new(x, &shape, DType::F32)?, Buffer::new(x, &shape, DType::U32)?);
    let (n, [h, w, rows, columns, side, stride, padding]) = (shape.iter().product(), lengths.map(Int));
    let args = [In(x), Out(&mut y), Out(&mut winner), h, w, rows, columns, side, stride, padding, Int(n)];
    launch(x.device(), "max_pool", Grid::Elements(n), args)?;
    let winner = winner.tensor()?;
    op1("max_pool2d", x, y, move |[x], _, dy| {
        let (mut of_x, n) = (Buffer::like(x)?, x.elem_count());
        let [h, w, rows, columns, side, stride, padding] = lengths.map(Int);
        let args = [In(dy), In(&winner), Out(&mut of_x), h, w, rows, columns, side, stride, padding, Int(n)];
        launch(x.device(), "max_pool_back", Grid::Elements(n), args)?;
        Ok([Some(of_x.tensor()?)])
    })
}

pub(crate) fn avg_pool2d(x: &Tensor, p: Pool2d) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let Windows { lengths, shape } = Windows::new(x, p)?;
    let apply = move |kernel: &'static str, from: &Tensor, mut to: Buffer, n: usize| {
        let [h, w, rows, columns, side, stride, padding] = lengths.map(Int);
        let args = [In(from), Out(&mut to), h, w, rows, columns, side, stride, padding, Int(n)];
        launch(from.device(), kernel, Grid::Elements(n), args)?;
        Ok::<_, candle_core::Error>(to)
    };
    let y = apply("avg_pool", x, Buffer::new(x, &shape, DType::F32)?, shape.iter().product())?;
    op1("avg_pool2d", x, y, move |[x], _, dy| {
        Ok([Some(apply("avg_pool_back", dy, Buffer::like(x)?, x.elem_count())?.tensor()?)])
    })
}

pub(crate) fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let (b, c) = (x.dims()[0], x.dims()[1]);
    let (width, mut y) = (x.elem_count() / (b * c), Buffer::new(x, (b, c), DType::F32)?);
    launch(x.device(), "row_mean", Grid::Blocks(b * c), [In(x), Out(&mut y), Int(width)])?;
    op1("global_avg_pool", x, y, move |[x], _, dy| {
        let (mut of_x, n) = (Buffer::like(x)?, x.elem_count());
        launch(x.device(), "row_mean_back", Grid::Elements(n), [In(dy), Out(&mut of_x), Int(width), Int(n)])?;
        Ok([Some(of_x.tensor()?)])
    })
}
