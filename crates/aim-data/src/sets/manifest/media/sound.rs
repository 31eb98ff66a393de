//! Recordings, decoded.

use std::path::Path;

use aim_core::{Error, Result};
use aim_media::{
    audio::{Options, Part, fit},
    front::{Pad, Spectrogram, ast_normalise, kaldi_fbank, log_spectrogram},
    video::{Limits, recording},
};

use super::super::{
    decoding::{Cell, Decode, Decoded, Opens},
    sound::{Audio, Front, Length, Scale},
};
use crate::front::refused;

impl Audio {
    fn samples(&self) -> usize {
        (self.seconds * f64::from(self.rate)).round() as usize
    }

    /// The front end's picture of samples of the full length.
    fn picture(&self, samples: &[f32]) -> Result<Spectrogram> {
        match self.front {
            Front::Waveform => Ok(Spectrogram { data: samples.to_vec(), shape: [1, samples.len()] }),
            Front::LogStft => log_spectrogram(samples, self.n_fft, self.hop, Pad::Constant).map_err(refused),
            Front::Fbank => kaldi_fbank(samples, self.rate, self.bins).map_err(refused),
        }
    }
}

impl Opens for Audio {
    fn open(&self, _: &Path, _: &[Cell<'_>]) -> Result<Box<dyn Decode>> {
        if self.scale == Scale::Audioset && self.front != Front::Fbank {
            return Err(Error::invalid("audio.scale", "is audioset without a filter bank", "set front: fbank"));
        }
        let [rows, columns] = self.picture(&vec![0.; self.samples()])?.shape;
        let shape = if self.front == Front::Waveform { vec![rows, columns] } else { vec![1, rows, columns] };
        Ok(Box::new(Sounds { settings: self.clone(), shape }))
    }
}

struct Sounds {
    settings: Audio,
    shape: Vec<usize>,
}

impl Decode for Sounds {
    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }
    fn decode(&self, cell: &Cell<'_>) -> Result<Decoded> {
        let settings = &self.settings;
        let [start, end] = cell.times;
        let options = Options { part: Part { start, end }, ..Options::default() };
        let sound = recording(&cell.path()?, Some(settings.rate), &options, &Limits::default()).map_err(refused)?;
        let (samples, wanted) = (sound.mono(), settings.samples());
        let samples = match settings.short {
            Length::Tile => fit::tile_to(&samples, wanted),
            Length::Pad => samples,
        };
        let samples = fit::pad(fit::crop(&samples, wanted, fit::Place::Start).to_vec(), wanted);
        let picture = settings.picture(&samples)?;
        Ok(match settings.scale {
            Scale::None => picture.data,
            Scale::Audioset => ast_normalise(&picture, picture.shape[0]).data,
            Scale::Clip => standard(picture.data),
        }
        .into())
    }
}

/// Values with mean 0 and standard deviation 1; of constant ones only the mean goes.
fn standard(mut values: Vec<f32>) -> Vec<f32> {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
    let deviation = if variance > 1e-12 { variance.sqrt() } else { 1. };
    values.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) / deviation) as f32);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_is_brought_to_mean_0_and_deviation_1() {
        // Mean 3, deviations -2, 0, 2, variance 8 / 3.
        let got = standard(vec![1., 3., 5.]);
        let want = 2. / (8f32 / 3.).sqrt();
        assert!((got[0] + want).abs() < 1e-6 && got[1] == 0. && (got[2] - want).abs() < 1e-6, "{got:?}");
        assert_eq!(standard(vec![4., 4.]), [0., 0.]);
    }
}
