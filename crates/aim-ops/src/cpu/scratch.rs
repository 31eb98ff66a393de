//! Memory that a thread keeps for its next piece of work.

use std::cell::RefCell;

/// A cache line, so that vectors loaded from scratch memory never straddle two.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

thread_local! {
    static KEPT: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with `N` blocks of at least the given lengths, whose contents are arbitrary. Calls nest.
pub(crate) fn with<R, const N: usize>(lengths: [usize; N], f: impl FnOnce([&mut [f32]; N]) -> R) -> R {
    let lines = lengths.map(|n| n.div_ceil(16));
    let mut block = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    let total = lines.iter().sum();
    if block.len() < total {
        block.resize(total, Line([0.; 16]));
    }
    // SAFETY: a `Line` is sixteen f32 without padding.
    let mut rest = unsafe { std::slice::from_raw_parts_mut(block.as_mut_ptr().cast::<f32>(), block.len() * 16) };
    let parts = lines.map(|n| {
        let (part, others) = std::mem::take(&mut rest).split_at_mut(n * 16);
        rest = others;
        part
    });
    let result = f(parts);
    KEPT.with_borrow_mut(|kept| kept.push(block));
    result
}
