//! Rows picked from a table.

use candle_core::{Result, Tensor};

use crate::{
    custom::{needed, op1},
    host,
};

/// Row `id` of `table` for each id, all of which must be in range; `shape` is the result's.
pub(crate) fn embedding(ids: Vec<u32>, shape: Vec<usize>, table: &Tensor) -> Result<Tensor> {
    const OP: &str = "embedding";
    let table = &table.contiguous()?;
    let d = table.dim(1)?;
    let row = move |id: &u32| *id as usize * d..(*id as usize + 1) * d;
    let y = host::read(OP, [table], |[table]| Ok(ids.iter().flat_map(|id| &table[row(id)]).copied().collect()))?;
    op1(OP, table, y, shape, move |[table], _, dy| {
        let scatter = |dy: &[f32]| {
            let mut sums = vec![0f32; table.elem_count()];
            for (id, dy) in ids.iter().zip(dy.chunks_exact(d)) {
                sums[row(id)].iter_mut().zip(dy).for_each(|(s, v)| *s += v);
            }
            sums
        };
        Ok([needed(table, || host::read(OP, [dy], |[dy]| Ok(scatter(dy))))?])
    })
}
