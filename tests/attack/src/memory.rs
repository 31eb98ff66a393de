//! An allocator that counts.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// Most bytes that the reading of one input may hold.
pub const LIMIT: usize = 2 << 30;

/// The system's allocator with a count of what each thread holds. A program makes it its own by `#[global_allocator]`.
pub struct Counting;

thread_local! {
    /// Bytes that this thread holds, less those that it freed for others.
    static HELD: Cell<isize> = const { Cell::new(0) };
    /// The most of them since the count began.
    static MOST: Cell<isize> = const { Cell::new(0) };
    /// What the thread is doing, for the message about a request that no memory could meet.
    static DOING: Cell<(&'static str, u64)> = const { Cell::new(("", 0)) };
}

/// Begins to count for an input.
pub(crate) fn begin(target: &'static str, number: u64) {
    DOING.set((target, number));
    MOST.set(HELD.get());
}

/// The most bytes that this thread has held since, above `before`.
pub(crate) fn most(before: isize) -> usize {
    usize::try_from(MOST.get() - before).unwrap_or(0)
}

/// Bytes that this thread holds.
pub(crate) fn held() -> isize {
    HELD.get()
}

fn take(bytes: usize) {
    let held = HELD.get() + isize::try_from(bytes).unwrap_or(isize::MAX / 2);
    HELD.set(held);
    MOST.set(MOST.get().max(held));
    // What cannot be had ends the process, so it is told of before it is asked for.
    if bytes > LIMIT {
        let (target, number) = DOING.get();
        eprintln!("target {target}, input {number} asks for {bytes} bytes at once");
    }
}

fn give(bytes: usize) {
    HELD.set(HELD.get() - isize::try_from(bytes).unwrap_or(isize::MAX / 2));
}

// SAFETY: every call is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        give(layout.size());
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The old place lives until the new one is filled, as far as anybody can tell.
        take(size);
        give(layout.size());
        unsafe { System.realloc(pointer, layout, size) }
    }
}
