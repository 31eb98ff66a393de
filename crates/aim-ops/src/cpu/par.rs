//! Work spread over threads.

use rayon::prelude::*;

/// Number of threads at hand.
pub(crate) fn threads() -> usize {
    rayon::current_num_threads()
}

/// Calls `f` with `0..n`, on several threads if there are any.
pub(crate) fn each(n: usize, f: impl Fn(usize) + Sync + Send) {
    if n < 2 || threads() == 1 {
        (0..n).for_each(f);
    } else {
        (0..n).into_par_iter().with_max_len(1).for_each(f);
    }
}

/// Multiplications below which two products are better done side by side than each by all threads.
const SIDE_BY_SIDE: usize = 1 << 26;

/// Both results; side by side if each takes only so many multiplications that waiting twice for the last thread would
/// count.
pub(crate) fn both<A: Send, B: Send>(
    work: usize,
    a: impl FnOnce() -> A + Send,
    b: impl FnOnce() -> B + Send,
) -> (A, B) {
    if work < SIDE_BY_SIDE && threads() > 1 { rayon::join(a, b) } else { (a(), b()) }
}

/// Elements that a thread handles in about the time that it takes to wake it.
const GRAIN: usize = 1 << 14;

/// Cuts `n` items of `cost` elements each into runs worth a thread, and calls `f` with each run. What an item yields
/// must not depend on its run.
pub(crate) fn runs(n: usize, cost: usize, f: impl Fn(std::ops::Range<usize>) + Sync + Send) {
    let parts = (n * cost / GRAIN).clamp(1, 4 * threads());
    let step = n.div_ceil(parts).max(1);
    each(n.div_ceil(step), |i| f(i * step..((i + 1) * step).min(n)));
}
