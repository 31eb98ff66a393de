//! Draws that are a pure function of what they are drawn for.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A key of a seed and of whatever tells one draw from another (FNV-1a over the parts, each with its length).
pub fn key(seed: u64, parts: &[&str]) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let start = seed.to_le_bytes().into_iter().fold(0xcbf2_9ce4_8422_2325, mix);
    parts.iter().fold(start, |hash, part| {
        let hash = (part.len() as u64).to_le_bytes().into_iter().fold(hash, mix);
        part.bytes().fold(hash, mix)
    })
}

/// The generator of a key; the same stream on every platform.
pub fn generator(key: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_seeds_parts_and_their_borders_apart() {
        let keys =
            [key(0, &["a", "b"]), key(1, &["a", "b"]), key(0, &["ab"]), key(0, &["ab", ""]), key(0, &["b", "a"])];
        for (i, a) in keys.iter().enumerate() {
            assert!(keys[..i].iter().all(|b| a != b), "{keys:?}");
        }
        assert_eq!(key(7, &["x"]), key(7, &["x"]));
    }
}
