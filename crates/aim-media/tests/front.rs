//! Audio front ends against stored values of the libraries that published recipes used (`golden/make.py`).
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use aim_media::front::{Density, Fbank, Pad, Spectrogram, Stft, ast_normalise};
use serde_json::Value;

/// The waveform of the cases: whole numbers, so that both languages agree to the last bit.
fn wave(samples: usize) -> Vec<f32> {
    let (mut noise, mut phase, mut step) = (2026u32, 0u32, 1u32 << 25);
    let upper = |word: u32| i32::from((word >> 16) as u16 as i16);
    let mut next = |i: usize| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        phase = phase.wrapping_add(step);
        step = step.wrapping_add(4000);
        let (x, hiss) = (upper(phase), upper(noise));
        let tone = (x * (32_768 - x.abs())) >> 13;
        [300 + (tone >> 2) + (hiss >> 4), 300 + (tone >> 2), 0, 30 + (tone >> 9) + (hiss >> 10)][i / 6000 % 4]
    };
    (0..samples).map(|i| next(i) as f32 / 32_768.).collect()
}

/// A case, its settings at hand.
struct Case(Value);

impl Case {
    fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
        Self(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    }

    fn size(&self, key: &str) -> usize {
        self.0["settings"][key].as_u64().unwrap() as usize
    }

    fn flag(&self, key: &str) -> bool {
        self.0["settings"][key].as_bool().unwrap()
    }

    fn wave(&self) -> Vec<f32> {
        wave(self.size("samples"))
    }

    /// Compares shape, sum, every stored number, one row and one column.
    fn check(&self, got: &Spectrogram, tolerance: f64) {
        let case = &self.0;
        let [rows, columns] = [0, 1].map(|axis| case["shape"][axis].as_u64().unwrap() as usize);
        assert_eq!(got.shape, [rows, columns]);
        assert_eq!(got.data.len(), rows * columns);
        let stride = case["stride"].as_u64().unwrap() as usize;
        let (row, column) = (case["row"][0].as_u64().unwrap() as usize, case["column"][0].as_u64().unwrap() as usize);
        for (name, want, places) in [
            ("values", &case["values"], (0..rows * columns).step_by(stride)),
            ("row", &case["row"][1], (row * columns..(row + 1) * columns).step_by(1)),
            ("column", &case["column"][1], (column..rows * columns).step_by(columns)),
        ] {
            let want = want.as_array().unwrap();
            assert_eq!(places.len(), want.len(), "{name}");
            for (i, want) in places.zip(want) {
                let (got, want) = (f64::from(got.data[i]), want.as_f64().unwrap());
                let bound = tolerance * want.abs().max(1.);
                assert!((got - want).abs() <= bound, "{name}[{i}]: {got}, expected {want}");
            }
        }
        let sum: f64 = got.data.iter().map(|v| f64::from(*v)).sum();
        let (want, magnitudes) = (case["sum"].as_f64().unwrap(), case["magnitudes"].as_f64().unwrap());
        assert!((sum - want).abs() <= tolerance * magnitudes, "sum {sum}, expected {want}");
    }
}

#[test]
fn transforms_equal_those_of_librosa() {
    for name in ["257x188", "257x188-reflect", "257x1250", "129x862", "129x626"] {
        let case = Case::read(&format!("stft-{name}"));
        let pad = if case.0["settings"]["pad"] == "reflect" { Pad::Reflect } else { Pad::Constant };
        let stft = Stft::new(case.size("n_fft"), case.size("hop"), pad).unwrap();
        case.check(&stft.log(&case.wave()).unwrap(), 1e-6);
    }
}

#[test]
fn power_densities_equal_those_of_scipy() {
    for name in ["257x1004", "257x1004-standardised"] {
        let case = Case::read(&format!("density-{name}"));
        let plan = Density::new(case.size("rate") as u32, case.size("length"), case.size("overlap")).unwrap();
        let log = plan.log(&case.wave()).unwrap();
        if case.flag("standardised") {
            // The logarithms, up to 16 in size, are rounded to f32 before they are scaled.
            case.check(&log.standardised(), 3e-6);
        } else {
            case.check(&log, 1e-6);
        }
    }
}

#[test]
fn filter_banks_equal_those_of_torchaudio() {
    for name in ["1024x128-padded", "1024x128-cut", "1024x128-raw", "22050"] {
        let case = Case::read(&format!("fbank-{name}"));
        let plan = Fbank::new(case.size("rate") as u32, case.size("bins")).unwrap();
        // The recipes take the waveform's mean away first, which changes nothing: the cases were made so.
        let whole = plan.compute(&case.wave()).unwrap();
        let picture = match case.0["settings"]["frames"].as_u64().map(|frames| frames as usize) {
            Some(frames) if case.flag("normalised") => ast_normalise(&whole, frames),
            Some(frames) => whole.with_rows(frames),
            None => whole,
        };
        case.check(&picture, 1e-6);
    }
}
