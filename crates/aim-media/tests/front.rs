//! Front ends against the libraries that published recipes used, at the recipes' shapes; `golden/make.py` made the cases.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, path::Path};

use aim_media::front::{Pad, Spectrogram, ast_normalise, kaldi_fbank, log_density, log_spectrogram};
use serde_json::Value;

/// Upper half of a word as a signed number of 16 bits.
fn signed(word: u32) -> i64 {
    i64::from((word >> 16) as u16 as i16)
}

/// The waveform of `make.py`: rising tone and noise, by turns together, alone, silent, and both faint.
fn wave(samples: usize) -> Vec<f32> {
    let (mut noise, mut phase, mut step) = (2026u32, 0u32, 1u32 << 25);
    let mut next = |i: usize| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        phase = phase.wrapping_add(step);
        step = step.wrapping_add(4000);
        let x = signed(phase);
        let (tone, hiss) = ((x * (32768 - x.abs())) >> 13, signed(noise));
        let value = match i / 6000 % 4 {
            0 => 300 + (tone >> 2) + (hiss >> 4),
            1 => 300 + (tone >> 2),
            2 => 0,
            _ => 30 + (tone >> 9) + (hiss >> 10),
        };
        value as f32 / 32768.
    };
    (0..samples).map(&mut next).collect()
}

fn case(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn size(settings: &Value, key: &str) -> usize {
    settings[key].as_u64().unwrap() as usize
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// Compares a picture with a case: every stored number, and the sums of all.
fn compare(name: &str, make: impl Fn(&[f32], &Value) -> Spectrogram) {
    let case = case(name);
    let picture = make(&wave(size(&case["settings"], "samples")), &case["settings"]);
    let [rows, columns] = picture.shape;
    assert_eq!(numbers(&case["shape"]), [rows as f64, columns as f64], "{name}");
    // How far the library itself lies from its own numbers in f32, and our rounding to f32.
    let tolerance = |want: f64| 2. * case["f32_deviation"].as_f64().unwrap() + 1e-5 * want.abs().max(1.);
    let near = |at: usize, want: f64| {
        let got = f64::from(picture.data[at]);
        assert!((got - want).abs() <= tolerance(want), "{name}: number {at} is {got}, expected {want}");
    };
    let stride = size(&case, "stride");
    numbers(&case["values"]).into_iter().enumerate().for_each(|(i, want)| near(i * stride, want));
    let line = |key: &str| (case[key][0].as_u64().unwrap() as usize, numbers(&case[key][1]));
    let (row, values) = line("row");
    values.into_iter().enumerate().for_each(|(i, want)| near(row * columns + i, want));
    let (column, values) = line("column");
    values.into_iter().enumerate().for_each(|(i, want)| near(i * columns + column, want));
    let sum: f64 = picture.data.iter().map(|v| f64::from(v.abs())).sum();
    let want = case["magnitudes"].as_f64().unwrap();
    assert!((sum - want).abs() <= 1e-5 * want, "{name}: magnitudes add up to {sum}, expected {want}");
}

#[test]
fn spectrograms_are_those_of_librosa() {
    for name in ["stft-257x188", "stft-257x188-reflect", "stft-257x1250", "stft-129x862", "stft-129x626"] {
        compare(name, |samples, settings| {
            let pad = if settings["pad"] == "reflect" { Pad::Reflect } else { Pad::Constant };
            log_spectrogram(samples, size(settings, "n_fft"), size(settings, "hop"), pad).unwrap()
        });
    }
}

#[test]
fn power_densities_are_those_of_scipy() {
    for name in ["density-257x1004", "density-257x1004-standardised"] {
        compare(name, |samples, settings| {
            let rate = size(settings, "rate") as u32;
            let picture = log_density(samples, rate, size(settings, "length"), size(settings, "overlap")).unwrap();
            if settings["standardised"] == true { picture.standardised() } else { picture }
        });
    }
}

#[test]
fn filter_banks_are_those_of_torchaudio() {
    for name in ["fbank-1024x128-padded", "fbank-1024x128-cut", "fbank-1024x128-raw", "fbank-22050"] {
        compare(name, |samples, settings| {
            let bank = kaldi_fbank(samples, size(settings, "rate") as u32, size(settings, "bins")).unwrap();
            match settings["frames"].as_u64() {
                Some(frames) if settings["normalised"] == true => ast_normalise(&bank, frames as usize),
                Some(frames) => {
                    let columns = bank.shape[1];
                    let mut data = bank.data;
                    data.resize(frames as usize * columns, 0.);
                    Spectrogram { data, shape: [frames as usize, columns] }
                }
                None => bank,
            }
        });
    }
}

#[test]
fn standard_numbers_by_hand() {
    // Mean 3, deviations -2, 0, 2, variance 8 / 3.
    let got = Spectrogram { data: vec![1., 3., 5.], shape: [1, 3] }.standardised().data;
    let want = 2. / (8f32 / 3.).sqrt();
    assert!((got[0] + want).abs() < 1e-6 && got[1] == 0. && (got[2] - want).abs() < 1e-6, "{got:?}");
    assert_eq!(Spectrogram { data: vec![4.; 2], shape: [1, 2] }.standardised().data, [0., 0.]);
}
