//! The golden cases of the front ends, where the environment's `AIM_GOLDEN` names their folder.

use std::{collections::HashMap, path::Path};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::*;

/// A tensor of a case.
struct Stored {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// The f32 tensors of a file.
fn load(path: &Path) -> HashMap<String, Stored> {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let stored = |(name, view): (String, safetensors::tensor::TensorView)| {
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        (name, Stored { shape: view.shape().to_vec(), values })
    };
    tensors.tensors().into_iter().map(stored).collect()
}

/// Compares what `compute` makes of a case's waveform and settings with the expected tensors, of which entries are left
/// out where `skip` says so.
fn check(case: &str, compute: impl Fn(&[f32], &Value) -> Vec<(&'static str, Spectrogram)>) {
    let Ok(root) = std::env::var("AIM_GOLDEN") else {
        eprintln!("skipped: {case} needs AIM_GOLDEN, the folder of the golden cases");
        return;
    };
    let dir = Path::new(&root).join(case);
    let spec: Value = serde_json::from_str(&std::fs::read_to_string(dir.join("case.json")).unwrap()).unwrap();
    let expected = load(&dir.join("expected.safetensors"));
    let waveform = &load(&dir.join("batch.safetensors"))["waveform"].values;
    let got = compute(waveform, &spec["hyper"]);
    assert_eq!(got.len(), expected.len());
    for (key, got) in got {
        let tolerance = |name| spec["tolerance"][key][name].as_f64().unwrap();
        compare(key, &got, &expected, [tolerance("atol"), tolerance("rtol")]);
    }
}

fn compare(key: &str, got: &Spectrogram, expected: &HashMap<String, Stored>, [atol, rtol]: [f64; 2]) {
    assert_eq!(expected[key].shape, got.shape, "{key}");
    // Near silence the logarithm magnifies rounding errors.
    let loud = |i: usize| key != "log_spectrogram" || expected["magnitude"].values[i] > 1e-3;
    for (i, (got, want)) in got.data.iter().zip(&expected[key].values).enumerate() {
        let [got, want] = [*got, *want].map(f64::from);
        assert!((got - want).abs() <= atol + rtol * want.abs() || !loud(i), "{key}[{i}]: {got}, expected {want}");
    }
}

fn size(hyper: &Value, key: &str) -> usize {
    hyper[key].as_u64().unwrap() as usize
}

fn spectrogram(case: &str, pad: Pad) {
    check(case, |waveform, hyper| {
        let (n_fft, hop) = (size(hyper, "n_fft"), size(hyper, "hop"));
        vec![
            ("magnitude", stft_magnitude(waveform, n_fft, hop, pad).unwrap()),
            ("log_spectrogram", log_spectrogram(waveform, n_fft, hop, pad).unwrap()),
        ]
    });
}

#[test]
fn log_spectrogram_padded_with_silence() {
    spectrogram("logspec-numeric-1", Pad::Constant);
}

#[test]
fn log_spectrogram_mirrored() {
    spectrogram("logspec-numeric-reflect", Pad::Reflect);
}

#[test]
fn filter_bank() {
    check("fbank-numeric-1", |waveform, hyper| {
        let fbank = kaldi_fbank(waveform, size(hyper, "sample_rate") as u32, size(hyper, "num_mel_bins")).unwrap();
        let normalised = ast_normalise(&fbank, size(hyper, "target_length"));
        vec![("fbank", fbank), ("normalised", normalised)]
    });
}
