//! Products without the rows of weights that are zero.

use candle_core::{Result, Tensor};

use super::{
    par,
    shared::{Shared, filled},
};
use crate::{
    custom::{needed, op1},
    host,
    rows::Rows,
};

impl Rows {
    /// `[outer, all, inner]` becomes `[outer, kept, inner]`.
    pub(crate) fn gather(&self, from: &[f32], inner: usize) -> Vec<f32> {
        let (kept, all) = (self.kept.len() * inner, self.all * inner);
        blocks(from.len() / all, kept, |block, out| {
            for (row, out) in self.kept.iter().zip(out.chunks_exact_mut(inner)) {
                out.copy_from_slice(&from[block * all + row * inner..][..inner]);
            }
        })
    }

    /// `[outer, kept, inner]` becomes `[outer, all, inner]`, the other rows filled with their element of `rest`, or
    /// zero.
    pub(crate) fn spread(&self, from: &[f32], inner: usize, rest: Option<&[f32]>) -> Vec<f32> {
        let (kept, all) = (self.kept.len() * inner, self.all * inner);
        blocks(from.len() / kept, all, |block, out| {
            let mut from = self.kept.iter().zip(from[block * kept..].chunks_exact(inner)).peekable();
            for (row, out) in out.chunks_exact_mut(inner).enumerate() {
                match from.next_if(|(kept, _)| **kept == row) {
                    Some((_, from)) => out.copy_from_slice(from),
                    None => out.fill(rest.map_or(0., |rest| rest[row])),
                }
            }
        })
    }
}

/// `count` blocks of `len` elements, each written by `f`.
fn blocks(count: usize, len: usize, f: impl Fn(usize, &mut [f32]) + Sync + Send) -> Vec<f32> {
    let fill = |out: Shared<'_>| {
        par::runs(count, len, |run| {
            // SAFETY: blocks do not overlap.
            run.for_each(|block| f(block, unsafe { out.part(block * len, len) }));
        });
    };
    // SAFETY: every block is written.
    unsafe { filled(count * len, fill) }
}

/// `w` with all rows but the kept ones set to zero, as a node of the graph.
pub(crate) fn keep_rows(w: &Tensor, rows: &Rows) -> Result<Tensor> {
    let (w, rows) = (&w.contiguous()?, rows.clone());
    let inner = w.elem_count() / rows.all;
    let kept = move |values: &[f32]| match rows.kept.len() {
        0 => vec![0f32; values.len()],
        _ => rows.spread(&rows.gather(values, inner), inner, None),
    };
    let y = host::read("keep_rows", [w], |[w]| Ok(kept(w)))?;
    op1("keep_rows", w, y, w.shape(), move |[w], _, dy| {
        Ok([needed(w, || host::read("keep_rows", [dy], |[dy]| Ok(kept(dy))))?])
    })
}
