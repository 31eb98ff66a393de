//! Recordings, decoded.

use std::path::Path;

use aim_core::{Error, Result, Rng};
use aim_media::{
    audio::{Options, Part, fit},
    front::{Density, Fbank, Pad, Spectrogram, Stft, ast_normalise},
    video::{Limits, recording},
};

use super::super::{
    decoding::{Cell, Decode, Decoded, Opens},
    keep::{Draw, Kept},
    sound::{Audio, Ends, Front, Length, Piece, Scale},
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
        let pad = if settings.ends == Ends::Mirror { Pad::Reflect } else { Pad::Constant };
        Ok(match settings.front {
            Front::Waveform => Self::Waveform,
            Front::LogStft => Self::LogStft(Stft::new(n_fft, hop, pad).map_err(refused)?),
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

impl Audio {
    /// Checks what single declarations cannot say.
    fn fits(&self) -> Result<()> {
        if self.scale == Scale::Audioset && self.front != Front::Fbank {
            return Err(Error::invalid("audio.scale", "is audioset without a filter bank", "set front: fbank"));
        }
        if self.frames.is_some() && (self.front != Front::Fbank || self.piece != Piece::Start) {
            let problem = "is there without a filter bank of whole recordings";
            return Err(Error::invalid("audio.frames", problem, "set front: fbank and piece: start"));
        }
        let most = f64::from(1 << 26);
        for (key, seconds) in [("seconds", Some(self.seconds)), ("within", self.within)] {
            let samples = seconds.map(|seconds| seconds * f64::from(self.rate));
            if let Some(samples) = samples.filter(|samples| !(1. ..=most).contains(samples)) {
                let problem = format!("gives {samples:.0} samples at {} Hz", self.rate);
                let remedy = format!("choose a length of 1 to {most:.0} samples");
                return Err(Error::invalid(format!("audio.{key}"), problem, remedy));
            }
        }
        match self.within {
            Some(within) if within < self.seconds => {
                Err(Error::invalid("audio.within", "is shorter than `seconds`", "make it at least as long"))
            }
            _ => Ok(()),
        }
    }

    fn samples(&self, seconds: f64) -> usize {
        (seconds * f64::from(self.rate)).round() as usize
    }
}

impl Opens for Audio {
    fn open(&self, _: &Path) -> Result<Box<dyn Decode>> {
        self.fits()?;
        let (plan, samples) = (Plan::of(self)?, self.samples(self.seconds));
        let [mut rows, columns] = plan.picture(&vec![0.; samples])?.shape;
        rows = self.frames.unwrap_or(rows);
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

impl Sounds {
    /// The recording's samples, in its own length.
    fn read(&self, cell: &Cell<'_>) -> Result<Vec<f32>> {
        let [start, end] = cell.times;
        let options = Options { part: Part { start, end }, ..Options::default() };
        let sound =
            recording(&cell.path()?, Some(self.settings.rate), &options, &Limits::default()).map_err(refused)?.mono();
        Ok(if self.settings.clip { fit::clip(sound) } else { sound })
    }

    /// The picture of a recording, of which `rng` draws a piece.
    fn values(&self, samples: &[f32], rng: &mut Rng) -> Result<Decoded> {
        let settings = &self.settings;
        let picture = match settings.frames {
            Some(frames) => self.plan.picture(samples)?.with_rows(frames),
            None => self.plan.picture(&self.piece(samples, rng))?,
        };
        Ok(match settings.scale {
            Scale::None => picture.data,
            Scale::Audioset => ast_normalise(&picture, picture.shape[0]).data,
            Scale::Clip => picture.standardised().data,
        }
        .into())
    }

    fn piece(&self, samples: &[f32], rng: &mut Rng) -> Vec<f32> {
        let within = self.settings.within.map(|seconds| self.settings.samples(seconds));
        let least = within.unwrap_or(self.samples);
        let samples = match self.settings.short {
            Length::Tile => fit::tile_to(samples, least),
            Length::Pad => samples.to_vec(),
        };
        let samples = fit::pad(samples, least);
        let samples = &samples[..within.unwrap_or(samples.len())];
        let place = match self.settings.piece {
            Piece::Start => fit::Place::Start,
            Piece::Once | Piece::Random => fit::Place::Offset(rng.below(samples.len() - self.samples + 1)),
        };
        fit::crop(samples, self.samples, place).to_vec()
    }
}

impl Decode for Sounds {
    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }
    fn varies(&self) -> bool {
        self.settings.piece == Piece::Random
    }
    fn keep(&self, cell: &Cell<'_>) -> Result<Kept> {
        let mut samples = self.read(cell)?;
        if !self.varies() {
            return self.values(&samples, &mut Rng::keyed(0, &format!("once.{}", cell.id))).map(Kept::Values);
        }
        let most = self.settings.within.map_or(usize::MAX, |seconds| self.settings.samples(seconds));
        samples.truncate(most);
        Ok(Kept::Sound(samples))
    }
    fn show(&self, kept: &Kept, draw: &Draw<'_>) -> Result<Decoded> {
        let Kept::Sound(samples) = kept else { return kept.values() };
        self.values(samples, &mut draw.rng())
    }
}
