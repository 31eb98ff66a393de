//! Recordings, decoded.

use std::path::Path;

use aim_core::{Error, Result};
use aim_media::{
    audio::{Options, Part, fit},
    front::{Density, Fbank, Pad, Spectrogram, Stft, ast_normalise},
    video::{Limits, recording},
};

use super::super::{
    decoding::{Cell, Decode, Decoded, Opens},
    sound::{Audio, Front, Length, Scale},
};
use crate::front::refused;

/// A front end that is ready.
enum Plan {
    Waveform,
    LogStft(Stft),
    Density(Density),
    Fbank(Fbank),
}

impl Plan {
    fn of(settings: &Audio) -> Result<Self> {
        let Audio { rate, n_fft, hop, bins, .. } = *settings;
        Ok(match settings.front {
            Front::Waveform => Self::Waveform,
            Front::LogStft => Self::LogStft(Stft::new(n_fft, hop, Pad::Constant).map_err(refused)?),
            Front::Density => Self::Density(Density::new(rate, n_fft, n_fft.saturating_sub(hop)).map_err(refused)?),
            Front::Fbank => Self::Fbank(Fbank::new(rate, bins).map_err(refused)?),
        })
    }

    /// The picture of samples of the full length.
    fn picture(&self, samples: &[f32]) -> Result<Spectrogram> {
        match self {
            Self::Waveform => Ok(Spectrogram { data: samples.to_vec(), shape: [1, samples.len()] }),
            Self::LogStft(plan) => plan.log(samples).map_err(refused),
            Self::Density(plan) => plan.log(samples).map_err(refused),
            Self::Fbank(plan) => plan.compute(samples).map_err(refused),
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
        let (plan, samples) = (Plan::of(self)?, samples.round() as usize);
        let [rows, columns] = plan.picture(&vec![0.; samples])?.shape;
        let shape = if self.front == Front::Waveform { vec![rows, columns] } else { vec![1, rows, columns] };
        Ok(Box::new(Sounds { settings: self.clone(), plan, samples, shape }))
    }
}

struct Sounds {
    settings: Audio,
    plan: Plan,
    /// Number of samples that every recording is brought to.
    samples: usize,
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
        let (samples, wanted) = (sound.mono(), self.samples);
        let samples = match settings.short {
            Length::Tile => fit::tile_to(&samples, wanted),
            Length::Pad => samples,
        };
        let samples = fit::pad(fit::crop(&samples, wanted, fit::Place::Start).to_vec(), wanted);
        let picture = self.plan.picture(&samples)?;
        Ok(match settings.scale {
            Scale::None => picture.data,
            Scale::Audioset => ast_normalise(&picture, picture.shape[0]).data,
            Scale::Clip => picture.standardised().data,
        }
        .into())
    }
}
