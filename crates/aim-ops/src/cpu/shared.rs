//! One output that several threads fill.

use std::marker::PhantomData;

/// Memory whose disjoint parts may be written from several threads.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a, T = f32> {
    first: *mut T,
    len: usize,
    memory: PhantomData<&'a mut [T]>,
}

// SAFETY: access goes through `part`, whose callers promise that no two parts overlap.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { first: slice.as_mut_ptr(), len: slice.len(), memory: PhantomData }
    }

    /// `len` elements from `from` on.
    ///
    /// # Safety
    /// While the part lives, no other part may overlap it. Parts of [`filled`] memory are to be written before they are
    /// read.
    #[inline(always)]
    pub(crate) unsafe fn part(&self, from: usize, len: usize) -> &'a mut [T] {
        assert!(from <= self.len && len <= self.len - from, "part out of bounds");
        // SAFETY: within the memory by the assertion, not aliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(from), len) }
    }
}

/// A vector of `n` elements that `fill` writes; saves the pass that would zero them first.
///
/// # Safety
/// `fill` must write every element.
pub(crate) unsafe fn filled(n: usize, fill: impl FnOnce(Shared<'_>)) -> Vec<f32> {
    // SAFETY: the caller's promise.
    let [values] = unsafe { filled_each([n], |[out]| fill(out)) };
    values
}

/// As [`filled`], of several vectors.
///
/// # Safety
/// `fill` must write every element of each.
pub(crate) unsafe fn filled_each<const N: usize>(
    lengths: [usize; N],
    fill: impl FnOnce([Shared<'_>; N]),
) -> [Vec<f32>; N] {
    let mut all = lengths.map(Vec::with_capacity);
    fill(std::array::from_fn(|i| Shared { first: all[i].as_mut_ptr(), len: lengths[i], memory: PhantomData }));
    for (values, n) in all.iter_mut().zip(lengths) {
        // SAFETY: allocated above, written by the caller's promise.
        unsafe { values.set_len(n) };
    }
    all
}
