//! Attention in blocks of queries: the matrix of scores never exists as a whole, the backward pass computes it anew.

use std::ops::Range;

use candle_core::{Result, Shape, Tensor};

use super::{
    gemm::{Size, cut},
    math::exp,
    matrix::{Destination, Matrix, matmul_into},
    par,
    reduce::{max, sum, sum_pairs},
    scratch,
    shared::{Shared, filled, filled_each},
    simd::kernel,
};
use crate::{compose, custom::op3, host};

/// Scores that are computed at once: both they and their gradients stay in a core's second-level cache.
const SCORES: usize = 1 << 16;

/// Fewest queries in a block: with fewer, packing keys and values anew for each block would show.
const QUERIES: usize = 64;

/// What is added to the scores `[B, H, T, S]`; a stride of 0 repeats.
struct Mask {
    values: Vec<f32>,
    strides: [usize; 4],
}

impl Mask {
    fn new(mask: &Tensor) -> Result<Self> {
        let mut strides = [0; 4];
        let mut step = 1;
        for (stride, n) in strides.iter_mut().rev().zip(mask.dims().iter().rev()) {
            *stride = if *n == 1 { 0 } else { step };
            step *= n;
        }
        Ok(Self { values: compose::additive_mask(mask)?.flatten_all()?.to_vec1()?, strides })
    }

    /// Adds row `t` of head `head` of `h` to its scores.
    fn add(&self, head: usize, h: usize, t: usize, scores: &mut [f32]) {
        let [of_b, of_h, of_t, of_s] = self.strides;
        let row = &self.values[head / h * of_b + head % h * of_h + t * of_t..];
        match of_s {
            0 => scores.iter_mut().for_each(|s| *s += row[0]),
            _ => scores.iter_mut().zip(row).for_each(|(s, m)| *s += m),
        }
    }
}

/// Where an operand has the rows of its heads.
#[derive(Clone, Copy)]
struct Heads {
    /// Heads of a sample, rows of a head, elements of a row.
    count: usize,
    rows: usize,
    width: usize,
    /// Whether the heads of a row lie side by side, as in `[B, T, H * D]`, or apart, as in `[B, H, T, D]`.
    joined: bool,
}

impl Heads {
    /// Where head `head` of the batch begins.
    fn start(&self, head: usize) -> usize {
        let Self { count, rows, width, joined } = *self;
        if joined { head / count * count * rows * width + head % count * width } else { head * rows * width }
    }

    /// Distance between two rows of a head.
    fn stride(&self) -> usize {
        if self.joined { self.count * self.width } else { self.width }
    }

    /// The rows of a head from `from` on.
    fn of<'a>(&self, values: &'a [f32], head: usize, from: usize) -> Matrix<'a> {
        Matrix::rows(&values[self.start(head) + from * self.stride()..], self.stride())
    }

    /// The same to write to.
    ///
    /// # Safety
    /// As [`Destination::new`].
    unsafe fn to<'a>(&self, memory: Shared<'a>, head: usize, from: usize) -> Destination<'a> {
        // SAFETY: the caller's promise.
        unsafe { Destination::new(memory, self.start(head) + from * self.stride(), self.stride()) }
    }

    /// Elements of all heads of a batch of so many heads.
    fn len(&self, heads: usize) -> usize {
        heads * self.rows * self.width
    }
}

/// The shapes, the scale and the mask.
struct Attention {
    /// Batch times heads.
    heads: usize,
    q: Heads,
    k: Heads,
    v: Heads,
    y: Heads,
    scale: f32,
    mask: Option<Mask>,
}

impl Attention {
    fn new(heads: usize, [q, k, v, y]: [Heads; 4], scale: f64, mask: Option<&Tensor>) -> Result<Self> {
        Ok(Self { heads, q, k, v, y, scale: scale as f32, mask: mask.map(Mask::new).transpose()? })
    }

    /// Most queries in a block.
    fn queries(&self) -> usize {
        (SCORES / self.k.rows).max(QUERIES).min(self.q.rows)
    }

    fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        cut(self.q.rows, self.q.rows.div_ceil(self.queries()), 1)
    }

    /// The scores of some queries of one head, scaled and masked.
    fn scores(&self, head: usize, queries: Range<usize>, [q, k]: [&[f32]; 2], out: &mut [f32]) {
        let s = self.k.rows;
        let (q, k) = (self.q.of(q, head, queries.start), self.k.of(k, head, 0));
        let size = Size { m: queries.len(), n: s, k: self.q.width };
        matmul_into(size, q, k.t(), self.scale, false, &mut Destination::rows(out, s));
        if let Some(mask) = &self.mask {
            queries.zip(out.chunks_exact_mut(s)).for_each(|(t, row)| mask.add(head, self.q.count, t, row));
        }
    }

    /// The output, and the logarithm of each query's sum of exponentials.
    fn forward(&self, inputs: [&[f32]; 3]) -> (Vec<f32>, Vec<f32>) {
        let queries = self.q.rows;
        let mut logs = vec![0f32; self.heads * queries];
        let kept = Shared::new(&mut logs);
        let fill = |y: Shared<'_>| {
            par::each(self.heads, |head| {
                // SAFETY: heads do not overlap.
                let logs = unsafe { kept.part(head * queries, queries) };
                self.head_forward(head, inputs, y, logs);
            });
        };
        // SAFETY: every head writes all of its queries.
        let y = unsafe { filled(self.y.len(self.heads), fill) };
        (y, logs)
    }

    fn head_forward(&self, head: usize, [q, k, v]: [&[f32]; 3], y: Shared<'_>, logs: &mut [f32]) {
        let s = self.k.rows;
        scratch::with([self.queries() * s], |[scores]| {
            for queries in self.blocks() {
                self.scores(head, queries.clone(), [q, k], scores);
                normalise(scores, s, &mut logs[queries.clone()]);
                let size = Size { m: queries.len(), n: self.v.width, k: s };
                // SAFETY: no other thread has this head.
                let mut y = unsafe { self.y.to(y, head, queries.start) };
                matmul_into(size, Matrix::rows(scores, s), self.v.of(v, head, 0), 1., false, &mut y);
            }
        });
    }

    /// The gradients of `q`, `k` and `v`.
    fn backward(&self, inputs: [&[f32]; 3], [y, logs, dy]: [&[f32]; 3]) -> [Vec<f32>; 3] {
        let queries = self.q.rows;
        let fill = |gradients: [Shared<'_>; 3]| {
            par::each(self.heads, |head| {
                let logs = &logs[head * queries..(head + 1) * queries];
                self.head_backward(head, inputs, [y, logs, dy], gradients);
            });
        };
        // SAFETY: every head writes the gradients of all of its queries, keys and values.
        unsafe { filled_each([self.q, self.k, self.v].map(|h| h.len(self.heads)), fill) }
    }

    fn head_backward(
        &self,
        head: usize,
        [q, k, v]: [&[f32]; 3],
        [y, logs, dy]: [&[f32]; 3],
        [dq, dk, dv]: [Shared<'_>; 3],
    ) {
        let (s, d, e) = (self.k.rows, self.q.width, self.v.width);
        scratch::with([self.queries() * s, self.queries() * s], |[p, ds]| {
            for queries in self.blocks() {
                let (from, n) = (queries.start, queries.len());
                let (y, dy) = (self.y.of(y, head, from), self.y.of(dy, head, from));
                let (asking, keys, values) = (self.q.of(q, head, from), self.k.of(k, head, 0), self.v.of(v, head, 0));
                // SAFETY: no other thread has this head, and the first block of queries overwrites the gradients of all
                // keys and values.
                let [mut dq, mut dk, mut dv] =
                    unsafe { [self.q.to(dq, head, from), self.k.to(dk, head, 0), self.v.to(dv, head, 0)] };
                self.scores(head, queries.clone(), [q, k], p);
                matmul_into(Size { m: n, n: s, k: e }, dy, values.t(), 1., false, &mut Destination::rows(ds, s));
                score_gradients([p, ds], s, [y, dy], e, &logs[queries], self.scale);
                let (p, ds) = (Matrix::rows(&p[..n * s], s), Matrix::rows(&ds[..n * s], s));
                // Keys and values are those of every block of queries.
                let more = from > 0;
                matmul_into(Size { m: s, n: e, k: n }, p.t(), dy, 1., more, &mut dv);
                matmul_into(Size { m: n, n: d, k: s }, ds, keys, 1., false, &mut dq);
                matmul_into(Size { m: s, n: d, k: n }, ds.t(), asking, 1., more, &mut dk);
            }
        });
    }
}

kernel! {
    /// Makes probabilities of some queries' scores, `s` each, and gives the logarithms of their sums of exponentials.
    fn normalise(scores: &mut [f32], s: usize, logs: &mut [f32]) {
        for (row, log) in scores.chunks_exact_mut(s).zip(logs) {
            let largest = max(row);
            row.iter_mut().for_each(|s| *s = exp(*s - largest));
            let total = sum(row);
            row.iter_mut().for_each(|s| *s *= 1. / total);
            *log = largest + total.ln();
        }
    }
}

kernel! {
    /// Makes probabilities of scores, and the gradients of the scores of those of the probabilities; `s` each for some
    /// queries, whose outputs and their gradients have `e` values each.
    fn score_gradients(
        scores: [&mut [f32]; 2],
        s: usize,
        outputs: [Matrix<'_>; 2],
        e: usize,
        logs: &[f32],
        scale: f32
    ) {
        let ([p, ds], [y, dy]) = (scores, outputs);
        let rows = p.chunks_exact_mut(s).zip(ds.chunks_exact_mut(s));
        for (i, ((p, ds), log)) in rows.zip(logs).enumerate() {
            let mean = sum_pairs(y.row(i, e), dy.row(i, e), |y, dy| y * dy);
            p.iter_mut().zip(ds).for_each(|(p, ds)| {
                *p = exp(*p - log);
                *ds = *p * (*ds - mean) * scale;
            });
        }
    }
}

pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, scale: f64) -> Result<Tensor> {
    let (b, h, t, d) = q.dims4()?;
    let (s, e) = (k.dim(2)?, v.dim(3)?);
    let layout = |rows, width| Heads { count: h, rows, width, joined: false };
    let layouts = [layout(t, d), layout(s, d), layout(s, e), layout(t, e)];
    run("attention", [q, k, v], (b, h, t, e), Attention::new(b * h, layouts, scale, mask)?)
}

pub(crate) fn multi_head_attention(
    [q, k, v]: [&Tensor; 3],
    heads: usize,
    mask: Option<&Tensor>,
    scale: f64,
) -> Result<Tensor> {
    let (b, t, width) = q.dims3()?;
    let (s, out) = (k.dim(1)?, v.dim(2)?);
    let (d, e) = (width / heads, out / heads);
    let layout = |rows, width| Heads { count: heads, rows, width, joined: true };
    let layouts = [layout(t, d), layout(s, d), layout(s, e), layout(t, e)];
    run("multi_head_attention", [q, k, v], (b, t, out), Attention::new(b * heads, layouts, scale, mask)?)
}

fn run(op: &'static str, inputs: [&Tensor; 3], shape: impl Into<Shape>, a: Attention) -> Result<Tensor> {
    let [q, k, v] = inputs;
    let (q, k, v) = (&q.contiguous()?, &k.contiguous()?, &v.contiguous()?);
    let (y, logs) = host::read(op, [q, k, v], |inputs| Ok(a.forward(inputs)))?;
    op3(op, [q, k, v], y, shape, move |[q, k, v], y, dy| {
        let gradients = host::read(op, [q, k, v, y, dy], |[q, k, v, y, dy]| Ok(a.backward([q, k, v], [y, &logs, dy])))?;
        let [dq, dk, dv] = gradients;
        let like = |values, t: &Tensor| Tensor::from_vec(values, t.shape(), t.device()).map(Some);
        Ok([like(dq, q)?, like(dk, k)?, like(dv, v)?])
    })
}
