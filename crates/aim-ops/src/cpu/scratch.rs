//! Memory that a thread keeps for its next piece of work.

use std::{cell::RefCell, thread::LocalKey};

/// A cache line, so that vectors loaded from scratch memory never straddle two.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

type Kept = RefCell<Vec<Vec<Line>>>;

thread_local! {
    static FLOATS: Kept = const { RefCell::new(Vec::new()) };
    static HALVES: Kept = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with `N` blocks of at least the given lengths, whose contents are arbitrary. Calls nest.
pub(crate) fn with<R, const N: usize>(lengths: [usize; N], f: impl FnOnce([&mut [f32]; N]) -> R) -> R {
    kept(&FLOATS, lengths, f)
}

/// As [`with`], for numbers of 16 bits. These have memory of their own: read as f32 they might be subnormal, which
/// makes arithmetic on what lies beyond an operand's end slow.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) fn halves<R, const N: usize>(lengths: [usize; N], f: impl FnOnce([&mut [u16]; N]) -> R) -> R {
    kept(&HALVES, lengths.map(|n| n.div_ceil(2)), |parts| {
        // SAFETY: two of them in the place of one f32, any bits being a number.
        f(parts.map(|part| unsafe { std::slice::from_raw_parts_mut(part.as_mut_ptr().cast(), 2 * part.len()) }))
    })
}

fn kept<R, const N: usize>(
    memory: &'static LocalKey<Kept>,
    lengths: [usize; N],
    f: impl FnOnce([&mut [f32]; N]) -> R,
) -> R {
    let lines = lengths.map(|n| n.div_ceil(16));
    let mut block = memory.with_borrow_mut(Vec::pop).unwrap_or_default();
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
    memory.with_borrow_mut(|kept| kept.push(block));
    result
}
