//! Attention in blocks of queries: the matrix of scores never exists as a whole, the backward pass computes it anew.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::{
    gemm::{Size, cut},
    math::exp,
    matrix::{Matrix, matmul_into},
    par,
    reduce::{max, sum, sum_pairs},
    scratch,
    shared::{Shared, filled},
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

/// The shapes, the scale and the mask.
struct Attention {
    /// Batch times heads, and heads.
    heads: usize,
    h: usize,
    /// Queries, keys, width of a query, width of a value.
    t: usize,
    s: usize,
    d: usize,
    e: usize,
    scale: f32,
    mask: Option<Mask>,
}

impl Attention {
    /// Most queries in a block.
    fn queries(&self) -> usize {
        (SCORES / self.s).max(QUERIES).min(self.t)
    }

    fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        cut(self.t, self.t.div_ceil(self.queries()), 1)
    }

    /// The scores of some queries of one head, scaled and masked.
    fn scores(&self, head: usize, queries: Range<usize>, q: &[f32], k: &[f32], out: &mut [f32]) {
        let q = Matrix::rows(&q[queries.start * self.d..], self.d);
        let size = Size { m: queries.len(), n: self.s, k: self.d };
        matmul_into(size, q, Matrix::rows(k, self.d).t(), self.scale, false, out);
        if let Some(mask) = &self.mask {
            let rows = out.chunks_exact_mut(self.s);
            queries.zip(rows).for_each(|(t, row)| mask.add(head, self.h, t, row));
        }
    }

    /// The output `[heads, t, e]`, and the logarithm of each query's sum of exponentials.
    fn forward(&self, q: &[f32], k: &[f32], v: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let mut logs = vec![0f32; self.heads * self.t];
        let kept = Shared::new(&mut logs);
        let fill = |out: Shared<'_>| {
            par::each(self.heads, |head| {
                let (q, k, v) =
                    (part(q, head, self.t * self.d), part(k, head, self.s * self.d), part(v, head, self.s * self.e));
                // SAFETY: heads do not overlap.
                let (y, logs) =
                    unsafe { (out.part(head * self.t * self.e, self.t * self.e), kept.part(head * self.t, self.t)) };
                self.head_forward(head, [q, k, v], y, logs);
            });
        };
        // SAFETY: every head writes all of its queries.
        let y = unsafe { filled(self.heads * self.t * self.e, fill) };
        (y, logs)
    }

    fn head_forward(&self, head: usize, [q, k, v]: [&[f32]; 3], y: &mut [f32], logs: &mut [f32]) {
        scratch::with([self.queries() * self.s], |[scores]| {
            for queries in self.blocks() {
                self.scores(head, queries.clone(), q, k, scores);
                normalise(scores, self.s, &mut logs[queries.clone()]);
                let size = Size { m: queries.len(), n: self.e, k: self.s };
                let y = &mut y[queries.start * self.e..];
                matmul_into(size, Matrix::rows(scores, self.s), Matrix::rows(v, self.e), 1., false, y);
            }
        });
    }

    /// The gradients of `q`, `k` and `v`.
    fn backward(&self, [q, k, v]: [&[f32]; 3], y: &[f32], logs: &[f32], dy: &[f32]) -> [Vec<f32>; 3] {
        let (of_q, of_k, of_v) = (self.t * self.d, self.s * self.d, self.s * self.e);
        let mut gradients = [of_q, of_k, of_v].map(|n| vec![0f32; self.heads * n]);
        let [dq, dk, dv] = gradients.each_mut().map(|g| Shared::new(g));
        par::each(self.heads, |head| {
            let inputs = [part(q, head, of_q), part(k, head, of_k), part(v, head, of_v)];
            let (y, dy) = (part(y, head, self.t * self.e), part(dy, head, self.t * self.e));
            // SAFETY: heads do not overlap.
            let out = unsafe { [dq.part(head * of_q, of_q), dk.part(head * of_k, of_k), dv.part(head * of_v, of_v)] };
            self.head_backward(head, inputs, [y, part(logs, head, self.t), dy], out);
        });
        gradients
    }

    fn head_backward(
        &self,
        head: usize,
        [q, k, v]: [&[f32]; 3],
        [y, logs, dy]: [&[f32]; 3],
        [dq, dk, dv]: [&mut [f32]; 3],
    ) {
        let Self { s, d, e, .. } = *self;
        scratch::with([self.queries() * s, self.queries() * s], |[p, ds]| {
            for queries in self.blocks() {
                let n = queries.len();
                let (y, dy) = (&y[queries.start * e..queries.end * e], &dy[queries.start * e..queries.end * e]);
                self.scores(head, queries.clone(), q, k, p);
                let size = Size { m: n, n: s, k: e };
                matmul_into(size, Matrix::rows(dy, e), Matrix::rows(v, e).t(), 1., false, ds);
                score_gradients([p, ds], s, [y, dy], e, &logs[queries.clone()], self.scale);
                let (p, ds) = (Matrix::rows(&p[..n * s], s), Matrix::rows(&ds[..n * s], s));
                let q = Matrix::rows(&q[queries.start * d..queries.end * d], d);
                matmul_into(Size { m: s, n: e, k: n }, p.t(), Matrix::rows(dy, e), 1., true, dv);
                matmul_into(Size { m: n, n: d, k: s }, ds, Matrix::rows(k, d), 1., true, &mut dq[queries.start * d..]);
                matmul_into(Size { m: s, n: d, k: n }, ds.t(), q, 1., true, dk);
            }
        });
    }
}

/// Part `i` of consecutive parts of `n` elements.
fn part(values: &[f32], i: usize, n: usize) -> &[f32] {
    &values[i * n..(i + 1) * n]
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
        outputs: [&[f32]; 2],
        e: usize,
        logs: &[f32],
        scale: f32
    ) {
        let ([p, ds], [y, dy]) = (scores, outputs);
        let rows = p.chunks_exact_mut(s).zip(ds.chunks_exact_mut(s));
        let outputs = y.chunks_exact(e).zip(dy.chunks_exact(e));
        for (((p, ds), (y, dy)), log) in rows.zip(outputs).zip(logs) {
            let mean = sum_pairs(y, dy, |y, dy| y * dy);
            p.iter_mut().zip(ds).for_each(|(p, ds)| {
                *p = exp(*p - log);
                *ds = *p * (*ds - mean) * scale;
            });
        }
    }
}

pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, scale: f64) -> Result<Tensor> {
    const OP: &str = "attention";
    let (q, k, v) = (&q.contiguous()?, &k.contiguous()?, &v.contiguous()?);
    let (b, h, t, d) = q.dims4()?;
    let (s, e) = (k.dim(2)?, v.dim(3)?);
    let mask = mask.map(Mask::new).transpose()?;
    let a = Attention { heads: b * h, h, t, s, d, e, scale: scale as f32, mask };
    let (y, logs) = host::read(OP, [q, k, v], |[q, k, v]| Ok(a.forward(q, k, v)))?;
    op3(OP, [q, k, v], y, (b, h, t, e), move |[q, k, v], y, dy| {
        let gradients = host::read(OP, [q, k, v, y, dy], |[q, k, v, y, dy]| Ok(a.backward([q, k, v], y, &logs, dy)))?;
        let [dq, dk, dv] = gradients;
        let like = |values, t: &Tensor| Tensor::from_vec(values, t.shape(), t.device()).map(Some);
        Ok([like(dq, q)?, like(dk, k)?, like(dv, v)?])
    })
}
