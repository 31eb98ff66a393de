//! Weights of which only some rows are not zero.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use candle_core::{Result, Tensor, TensorId, bail};

use crate::{check, cpu};

/// Rows that are not zero, and how many there are in all.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) kept: Arc<[usize]>,
    pub(crate) all: usize,
}

/// The rows of each living result of [`keep_rows`].
static KNOWN: Mutex<Option<HashMap<TensorId, Rows>>> = Mutex::new(None);

fn known() -> MutexGuard<'static, Option<HashMap<TensorId, Rows>>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rows of `w` that are not zero, if it comes from [`keep_rows`] and so much is zero that it pays to leave it out.
pub(crate) fn of(w: &Tensor) -> Option<Rows> {
    let rows = known().as_ref()?.get(&w.id()).cloned()?;
    (4 * rows.kept.len() <= 3 * rows.all).then_some(rows)
}

/// Forgets the rows of a result that is gone.
pub(crate) fn forget(result: TensorId) {
    if let Some(known) = known().as_mut() {
        known.remove(&result);
    }
}

/// `w` with the rows (output units: entries of the first dimension) that are not in `kept` set to zero. The rows that
/// are set to zero get no gradient.
///
/// On the CPU, [`conv2d`](crate::conv2d), [`conv1d`](crate::conv1d) and [`linear`](crate::linear) leave these rows out,
/// in all three products, where they make up a quarter of the weights or more.
///
/// ```
/// use aim_ops::{keep_rows, linear};
/// use candle_core::{Device, Tensor, Var};
///
/// let x = Tensor::new(&[[1f32, 10.]], &Device::Cpu)?;
/// let w = Var::new(&[[1f32, 2.], [3., 4.], [5., 6.]], &Device::Cpu)?;
/// let y = linear(&x, &keep_rows(&w, &[1])?, None)?;
/// assert_eq!(y.to_vec2::<f32>()?, [[0., 43., 0.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// A dtype other than f32, an empty `w`, a row that `w` does not have, rows that do not ascend.
pub fn keep_rows(w: &Tensor, kept: &[usize]) -> Result<Tensor> {
    check::at_least("keep_rows", "w", w, 1)?;
    let all = w.dims()[0];
    if kept.windows(2).any(|pair| pair[0] >= pair[1]) || kept.last().is_some_and(|last| *last >= all) {
        bail!("keep_rows: rows {kept:?} must ascend and be below {all}, w has shape {:?}", w.shape());
    }
    if !w.device().is_cpu() {
        let mask: Vec<f32> = (0..all).map(|row| f32::from(kept.binary_search(&row).is_ok())).collect();
        let shape: Vec<usize> = std::iter::once(all).chain(vec![1; w.rank() - 1]).collect();
        return w.broadcast_mul(&Tensor::from_vec(mask, shape, w.device())?);
    }
    let rows = Rows { kept: kept.into(), all };
    let y = cpu::keep_rows(w, &rows)?;
    // Results of constants are not noted: nobody would say when they are gone.
    if y.track_op() && !kept.is_empty() {
        known().get_or_insert_default().insert(y.id(), rows);
    }
    Ok(y)
}
