//! A voiced sound: a buzz of random pitch through resonances that move as the digit demands, with noise, then the audio
//! front end that recordings go through.

use std::f64::consts::TAU;

use aim_core::{Result, Rng};

use crate::front::{log_mel, refused};

/// Samples in a second.
const RATE: u32 = 8000;
/// Samples of a recording: what the frames need.
const LENGTH: usize = 2500;
/// Mel filters and frames of the picture.
pub(super) const BINS: usize = 32;
/// Frames of the picture.
pub(super) const FRAMES: usize = 24;
/// Seconds between two frames.
const SHIFT: f64 = 0.0125;
/// Spread of a recording's noise around the median, as a power of e: most are clear, a few are drowned.
const SPREAD: f64 = 0.7;

/// The two lowest resonances of each digit in Hz, at its beginning and at its end.
const FORMANTS: [[[f64; 2]; 2]; 10] = [
    [[300., 2200.], [500., 900.]],
    [[300., 700.], [650., 1200.]],
    [[300., 1800.], [320., 900.]],
    [[450., 1300.], [280., 2300.]],
    [[600., 850.], [450., 1300.]],
    [[750., 1200.], [350., 2100.]],
    [[400., 2100.], [400., 1800.]],
    [[550., 1700.], [500., 1300.]],
    [[500., 1800.], [300., 2400.]],
    [[700., 1300.], [650., 1800.]],
];

/// The picture `[BINS, FRAMES]` of a digit's sound.
pub(super) fn record(digit: usize, noise: f64, rng: &mut Rng) -> Result<Vec<f32>> {
    let picture = log_mel(&waveform(digit, noise, rng), RATE, BINS, FRAMES, SHIFT).map_err(refused)?;
    Ok(picture.data)
}

/// Raw samples: the voice has a standard deviation of 0.1 while it sounds, the noise `noise` times that in the median.
fn waveform(digit: usize, noise: f64, rng: &mut Rng) -> Vec<f32> {
    let voice = voice(digit, rng);
    let level = noise * (SPREAD * rng.normal()).exp();
    let before = rng.below(LENGTH - voice.len());
    let mut samples = vec![0f32; LENGTH];
    for (i, sample) in samples.iter_mut().enumerate() {
        let clean = i.checked_sub(before).and_then(|i| voice.get(i)).copied().unwrap_or_default();
        *sample = (0.1 * (clean + level * rng.normal())) as f32;
    }
    samples
}

/// The voice alone, with standard deviation 1; how long it lasts is random.
fn voice(digit: usize, rng: &mut Rng) -> Vec<f64> {
    let length = (LENGTH as f64 * rng.range(0.75, 0.95)) as usize;
    let mut buzz = Buzz::random(rng);
    let throat = (0.08 * rng.normal()).exp();
    let [start, end] = FORMANTS[digit].map(|pair| pair.map(|f| f * throat * (0.04 * rng.normal()).exp()));
    let mut resonators = [0; 3].map(|_| Resonator { width: rng.range(60., 140.), ..Resonator::default() });
    let mut samples: Vec<f64> = (0..length)
        .map(|i| {
            let t = i as f64 / length as f64;
            let at = |k: usize| start[k] + (end[k] - start[k]) * t;
            let resonances = [at(0), at(1), 2800. * throat];
            let source = buzz.next(t);
            let out = resonators.iter_mut().zip(resonances).fold(source, |x, (r, f)| r.next(x, f));
            out * (20. * t).min(1.) * (5. * (1. - t)).min(1.)
        })
        .collect();
    let power = samples.iter().map(|v| v * v).sum::<f64>() / length as f64;
    samples.iter_mut().for_each(|v| *v /= power.sqrt().max(1e-9));
    samples
}

/// What the vocal cords give: a pulse a period, dulled.
struct Buzz {
    pitch: f64,
    glide: f64,
    dullness: f64,
    phase: f64,
    state: f64,
}

impl Buzz {
    fn random(rng: &mut Rng) -> Self {
        Self {
            pitch: 150. * (0.2 * rng.normal()).exp(),
            glide: rng.range(-0.3, 0.3),
            dullness: rng.range(0.5, 0.9),
            phase: rng.uniform(),
            state: 0.,
        }
    }

    /// The next sample, `t` of the way through the sound.
    fn next(&mut self, t: f64) -> f64 {
        self.phase += self.pitch * (1. + self.glide * t) / f64::from(RATE);
        let pulse = if self.phase >= 1. { 1. } else { 0. };
        self.phase = self.phase.fract();
        self.state = self.dullness * self.state + pulse;
        self.state
    }
}

/// A filter of two poles that lifts one frequency and leaves 0 Hz as it is.
#[derive(Default)]
struct Resonator {
    width: f64,
    last: [f64; 2],
}

impl Resonator {
    fn next(&mut self, x: f64, frequency: f64) -> f64 {
        let radius = (-std::f64::consts::PI * self.width / f64::from(RATE)).exp();
        let (a, b) = (2. * radius * (TAU * frequency / f64::from(RATE)).cos(), -radius * radius);
        let y = (1. - a - b) * x + a * self.last[0] + b * self.last[1];
        self.last = [y, self.last[0]];
        y
    }
}
