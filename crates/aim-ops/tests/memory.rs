//! What work takes of the memory.

use std::{alloc::System, hint::black_box};

use aim_ops::memory::{Counted, Held, counts, peak};

#[global_allocator]
static ALLOCATOR: Counted<System> = Counted(System);

const MIB: u64 = 1 << 20;

/// All in one: there is one count in a process.
#[test]
fn the_most_that_is_held_at_once_is_counted_beside_what_was_there() {
    let before = black_box(vec![1_u8; 5 << 20]);
    let (kept, Held { most, left }) = peak(|| {
        drop(black_box(vec![0_u8; 3 << 20]));
        let kept = black_box(vec![1_u8; 1 << 20]);
        drop(black_box(vec![0_u8; 1 << 20]));
        kept
    });
    assert!((3 * MIB..3 * MIB + MIB / 2).contains(&most), "{most}");
    assert!((MIB..MIB + MIB / 2).contains(&left), "{left}");
    // What was there before and goes makes room.
    let ((), Held { most, left }) = peak(|| {
        drop(before);
        drop(black_box(vec![0_u8; 7 << 20]));
    });
    assert!((2 * MIB..2 * MIB + MIB / 2).contains(&most) && left == 0, "{most}, {left}");
    drop(kept);
    assert!(counts());
    assert_eq!(peak(|| ()).1, Held::default());
}
