//! Sound of a given length: what recipes do to recordings that are too short or too long.

/// Place of a piece in a longer sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the beginning.
    Start,
    /// In the middle; where the rest is odd, half a sample before it.
    Centre,
    /// From a sample on, or as late as the length allows.
    Offset(usize),
}

/// The samples `times` in a row.
#[must_use]
pub fn tile(samples: &[f32], times: usize) -> Vec<f32> {
    samples.repeat(times)
}

/// The samples as often in a row as `least` samples need; empty stays empty.
#[must_use]
pub fn tile_to(samples: &[f32], least: usize) -> Vec<f32> {
    match samples.len() {
        0 => Vec::new(),
        count => tile(samples, least.div_ceil(count).max(1)),
    }
}

/// At most `count` samples from the given place; all where there are no more.
#[must_use]
pub fn crop(samples: &[f32], count: usize, place: Place) -> &[f32] {
    let spare = samples.len().saturating_sub(count);
    let start = match place {
        Place::Start => 0,
        Place::Centre => spare / 2,
        Place::Offset(offset) => offset.min(spare),
    };
    &samples[start..samples.len().min(start + count)]
}

/// The samples with zeros behind them up to `least`.
#[must_use]
pub fn pad(mut samples: Vec<f32>, least: usize) -> Vec<f32> {
    samples.resize(samples.len().max(least), 0.0);
    samples
}

/// The samples with values outside -1 to 1 moved to these.
#[must_use]
pub fn clip(mut samples: Vec<f32>) -> Vec<f32> {
    samples.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
    samples
}

#[cfg(test)]
mod tests {
    use super::{Place, clip, crop, pad, tile, tile_to};

    const THREE: [f32; 3] = [1.0, 2.0, 3.0];

    #[test]
    fn tiles_stand_in_a_row() {
        assert_eq!(tile(&THREE, 2), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
        assert_eq!(crop(&tile(&THREE, 3), 5, Place::Start), [1.0, 2.0, 3.0, 1.0, 2.0]);
    }

    #[test]
    fn tiles_reach_a_length_and_are_never_fewer_than_one() {
        assert_eq!(tile_to(&THREE, 4).len(), 6);
        assert_eq!(tile_to(&THREE, 6).len(), 6);
        assert_eq!(tile_to(&THREE, 0), THREE);
        assert!(tile_to(&[], 4).is_empty());
    }

    #[test]
    fn a_piece_is_taken_where_it_is_wanted() {
        let samples = [0.0, 1.0, 2.0, 3.0, 4.0];
        assert_eq!(crop(&samples, 2, Place::Start), [0.0, 1.0]);
        // 3 to spare, 1 before it.
        assert_eq!(crop(&samples, 2, Place::Centre), [1.0, 2.0]);
        assert_eq!(crop(&samples, 2, Place::Offset(2)), [2.0, 3.0]);
        assert_eq!(crop(&samples, 2, Place::Offset(9)), [3.0, 4.0]);
        assert_eq!(crop(&samples, 9, Place::Centre), samples);
    }

    #[test]
    fn zeros_are_added_behind_and_nothing_is_cut() {
        assert_eq!(pad(THREE.to_vec(), 5), [1.0, 2.0, 3.0, 0.0, 0.0]);
        assert_eq!(pad(THREE.to_vec(), 2), THREE);
        assert_eq!(clip(vec![-1.5, 0.5, 2.0]), [-1.0, 0.5, 1.0]);
    }
}
