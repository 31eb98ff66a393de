//! Sums whose order does not depend on threads: sixteen partial sums side by side, then these in order.

const LANES: usize = 16;

/// The sum of `f` over pairs of elements.
#[inline(always)]
pub(crate) fn sum_pairs(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            sums[i] += f(a[i], b[i]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| f(*a, *b)).sum();
    sums.iter().sum::<f32>() + rest
}

/// The sum of `f` over elements.
#[inline(always)]
pub(crate) fn sum_of(a: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum_pairs(a, a, |a, _| f(a))
}

/// The sum of the elements.
#[inline(always)]
pub(crate) fn sum(a: &[f32]) -> f32 {
    sum_of(a, |a| a)
}

/// The largest element; minus infinity if there is none.
#[inline(always)]
pub(crate) fn max(a: &[f32]) -> f32 {
    let mut best = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            best[i] = best[i].max(chunk[i]);
        }
    }
    best.iter().chain(rest).fold(f32::NEG_INFINITY, |m, v| m.max(*v))
}
