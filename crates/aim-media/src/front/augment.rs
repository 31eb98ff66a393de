//! Changes to recordings and spectrograms that leave their class. What is random about them the caller draws.

use super::{Spectrogram, unfit};
use crate::Result;

/// Sets `width` rows from `start` on to `value`, as far as there are such rows: SpecAugment's mask of frequencies where
/// rows are frequencies, of times where they are frames.
pub fn mask_rows(picture: &mut Spectrogram, start: usize, width: usize, value: f32) {
    let columns = picture.shape[1].max(1);
    picture.data.chunks_mut(columns).skip(start).take(width).for_each(|row| row.fill(value));
}

/// Sets `width` columns from `start` on to `value`, as far as there are such columns.
pub fn mask_columns(picture: &mut Spectrogram, start: usize, width: usize, value: f32) {
    let columns = picture.shape[1].max(1);
    for row in picture.data.chunks_mut(columns) {
        row.iter_mut().skip(start).take(width).for_each(|v| *v = value);
    }
}

/// The samples plus noise, scaled so that the power of the samples is 10^(`decibels` / 10) times that of the noise.
/// Silent samples stay silent.
///
/// # Errors
/// If there are not as many samples of noise, the noise is silent, or `decibels` is not finite.
pub fn with_noise(samples: &[f32], noise: &[f32], decibels: f64) -> Result<Vec<f32>> {
    let energy = |wave: &[f32]| wave.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
    if noise.len() != samples.len() || (energy(noise) == 0. && !noise.is_empty()) || !decibels.is_finite() {
        let problem = format!("{} samples of noise for {} at {decibels} dB", noise.len(), samples.len());
        return Err(unfit(problem, "give as much noise as sound, not all 0, and a finite ratio"));
    }
    let scale = (energy(samples) / energy(noise)).sqrt() * 10f64.powf(-decibels / 20.);
    Ok(samples.iter().zip(noise).map(|(x, n)| (f64::from(*x) + scale * f64::from(*n)) as f32).collect())
}

/// The samples `by` places later, or earlier where `by` is negative; silence moves in.
pub fn shifted(samples: &[f32], by: isize) -> Vec<f32> {
    let distance = by.unsigned_abs().min(samples.len());
    let silence = vec![0.; distance];
    let kept = samples.len() - distance;
    if by < 0 { [&samples[distance..], &silence].concat() } else { [&silence, &samples[..kept]].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_cover_their_rows_or_columns_and_end_with_the_picture() {
        let picture = Spectrogram { data: vec![1., 2., 3., 4., 5., 6.], shape: [2, 3] };
        let masked = |change: fn(&mut Spectrogram)| {
            let mut copy = picture.clone();
            change(&mut copy);
            copy.data
        };
        assert_eq!(masked(|p| mask_rows(p, 1, 1, 0.)), [1., 2., 3., 0., 0., 0.]);
        assert_eq!(masked(|p| mask_columns(p, 1, 9, -1.)), [1., -1., -1., 4., -1., -1.]);
        assert_eq!(masked(|p| mask_columns(p, 0, 2, 0.)), [0., 0., 3., 0., 0., 6.]);
        assert_eq!(masked(|p| mask_rows(p, 2, 5, 0.)), picture.data);
        mask_rows(&mut Spectrogram { data: Vec::new(), shape: [4, 0] }, 0, 1, 0.);
    }

    #[test]
    fn noise_has_the_asked_power_by_hand() {
        // Energy 3^2 + 4^2 = 25 against 1 + 0 = 1: at 0 dB noise is scaled by 5, at 20 dB by 0.5.
        assert_eq!(with_noise(&[3., 4.], &[1., 0.], 0.).unwrap(), [8., 4.]);
        assert_eq!(with_noise(&[3., 4.], &[1., 0.], 20.).unwrap(), [3.5, 4.]);
        assert_eq!(with_noise(&[0., 0.], &[1., 2.], 0.).unwrap(), [0., 0.]);
        assert!(with_noise(&[], &[], 0.).unwrap().is_empty());
        for (noise, decibels) in [(&[0., 0.][..], 0.), (&[1.], 0.), (&[1., 1.], f64::NAN)] {
            assert!(with_noise(&[3., 4.], noise, decibels).is_err());
        }
    }

    #[test]
    fn silence_moves_in_where_sound_moves_away() {
        assert_eq!(shifted(&[1., 2., 3.], 1), [0., 1., 2.]);
        assert_eq!(shifted(&[1., 2., 3.], -2), [3., 0., 0.]);
        assert_eq!(shifted(&[1., 2., 3.], 0), [1., 2., 3.]);
        assert_eq!(shifted(&[1., 2.], isize::MIN), [0., 0.]);
        assert_eq!(shifted(&[1., 2.], isize::MAX), [0., 0.]);
    }
}
