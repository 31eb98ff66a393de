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
    let mut values = Vec::with_capacity(n);
    fill(Shared { first: values.as_mut_ptr(), len: n, memory: PhantomData });
    // SAFETY: allocated above, written by the caller's promise.
    unsafe { values.set_len(n) };
    values
}
