//! How much memory a piece of work takes, by an allocator that counts.

use std::{
    alloc::{GlobalAlloc, Layout},
    hint::black_box,
    sync::atomic::{AtomicBool, AtomicIsize, Ordering::Relaxed},
};

/// An allocator that counts while [`peak`] looks. A program makes it its own by `#[global_allocator]`.
pub struct Counted<A>(
    /// The allocator that does the work.
    pub A,
);

/// Whether anyone looks: if not, requests write nothing that threads share.
static LOOKING: AtomicBool = AtomicBool::new(false);
/// Bytes that are held, less what was held when the look began.
static HELD: AtomicIsize = AtomicIsize::new(0);
/// The most of them.
static MOST: AtomicIsize = AtomicIsize::new(0);

/// Bytes beside those that were held before a piece of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The most at once; 0 in a program without the allocator [`Counted`].
    pub most: u64,
    /// Those of what the work gives, and of what it leaves elsewhere.
    pub left: u64,
}

/// What `work` gives, and the bytes that the process held for it. Other threads are counted, too, and there may be one
/// look at a time.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, Held) {
    HELD.store(0, Relaxed);
    MOST.store(0, Relaxed);
    LOOKING.store(true, Relaxed);
    let done = work();
    LOOKING.store(false, Relaxed);
    let bytes = |count: &AtomicIsize| u64::try_from(count.load(Relaxed)).unwrap_or(0);
    (done, Held { most: bytes(&MOST), left: bytes(&HELD) })
}

/// Whether the program's allocator is [`Counted`].
pub fn counts() -> bool {
    peak(|| black_box(Box::new(0_u64))).1.most > 0
}

fn count(bytes: isize) {
    if LOOKING.load(Relaxed) {
        let held = HELD.fetch_add(bytes, Relaxed) + bytes;
        MOST.fetch_max(held, Relaxed);
    }
}

// SAFETY: every call is handed on as it is.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counted<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        unsafe { self.0.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        unsafe { self.0.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        unsafe { self.0.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The old place lives until the new one is filled, as far as anybody can tell.
        count(size.cast_signed());
        let moved = unsafe { self.0.realloc(pointer, layout, size) };
        count(-layout.size().cast_signed());
        moved
    }
}
