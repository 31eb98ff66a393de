//! Random bits as a pure function of a key and an index.

/// A well mixed function of 64 bits (the finaliser of splitmix64).
#[inline(always)]
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The key of a seed.
pub(crate) fn key(seed: u64) -> u64 {
    mix(seed ^ 0x5851_f42d_4c95_7f2d)
}

/// Bits number `index` of a key.
#[inline(always)]
pub(crate) fn bits(key: u64, index: usize) -> u64 {
    mix(key.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}
