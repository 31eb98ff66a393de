//! Recordings, decoded.

use std::path::Path;

use aim_core::{Error, Result};
use aim_media::{
    audio::{Options, Part, fit},
    front::{Pad, Spectrogram, ast_normalise, kaldi_fbank, log_density, log_spectrogram},
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
            Front::Density => {
                log_density(samples, self.rate, self.n_fft, self.n_fft.saturating_sub(self.hop)).map_err(refused)
            }
            Front::Fbank => kaldi_fbank(samples, self.rate, self.bins).map_err(refused),
        }
    }
}

impl Opens for Audio {
    fn open(&self, _: &Path, _: &[Cell<'_>]) -> Result<Box<dyn Decode>> {
        if self.scale == Scale::Audioset && self.front != Front::Fbank {
            return Err(Error::invalid("audio.scale", "is audioset without a filter bank", "set front: fbank"));
        }
        let (samples, most) = (self.seconds * f64::from(self.rate), f64::from(1 << 26));
        if !(1. ..=most).contains(&samples) {
            let problem = format!("{} s at {} Hz are {samples:.0} samples", self.seconds, self.rate);
            return Err(Error::invalid("audio.seconds", problem, format!("choose a length of 1 to {most:.0} samples")));
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
            Scale::Clip => picture.standardised().data,
        }
        .into())
    }
}
