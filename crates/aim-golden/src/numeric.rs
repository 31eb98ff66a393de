//! Cases without a network: functions of supplied tensors.

use std::collections::BTreeMap;

use aim_core::{Error, Result};
use aim_data::front::{self, Pad};
use aim_stats::shapley;
use candle_core::{DType, Device, Tensor};

use crate::case::Case;

pub(crate) fn run(case: &Case) -> Result<BTreeMap<String, Tensor>> {
    match case.spec.method.as_str() {
        "shapley" => shapley(case),
        "log_spectrogram" => log_spectrogram(case),
        "kaldi_fbank" => fbank(case),
        _ => crate::quantities::run(case),
    }
}

/// A batch tensor as f64 values.
fn values(case: &Case, key: &str) -> Result<Vec<f64>> {
    Ok(case.batch(key)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

fn shapley(case: &Case) -> Result<BTreeMap<String, Tensor>> {
    let phi = shapley::shapley_values(&values(case, "value")?).map_err(statistics)?;
    let mut got = BTreeMap::from([("shapley".to_owned(), Tensor::new(&phi[..], &Device::Cpu)?)]);
    for (suffix, share) in [("", shapley::share(&phi)), ("_clamped", shapley::share_clamped(&phi))] {
        let share = share.map_err(statistics)?;
        got.insert(format!("edm{suffix}"), Tensor::new(shapley::edm(&share).map_err(statistics)?, &Device::Cpu)?);
        got.insert(format!("share{suffix}"), Tensor::new(&share[..], &Device::Cpu)?);
    }
    let mut order: Vec<i64> = (0..phi.len() as i64).collect();
    order.sort_by(|a, b| phi[*a as usize].total_cmp(&phi[*b as usize]));
    got.insert("order_weak_to_strong".into(), Tensor::new(&order[..], &Device::Cpu)?);
    Ok(got)
}

/// A refusal of the statistics crate as this crate's error.
fn statistics(error: aim_stats::Error) -> Error {
    Error::invalid("statistics", error.to_string(), "check the tensors of the case")
}

fn waveform(case: &Case) -> Result<Vec<f32>> {
    Ok(case.batch("waveform")?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// A whole number of the case's settings.
fn setting(case: &Case, key: &str) -> Result<usize> {
    let value = case.spec.hyper.get(key).and_then(serde_json::Value::as_u64);
    value.map(|v| v as usize).ok_or_else(|| case.invalid(format!("hyper.{key} is no whole number")))
}

fn log_spectrogram(case: &Case) -> Result<BTreeMap<String, Tensor>> {
    let pad = match case.spec.hyper.get("pad_mode").and_then(|v| v.as_str()) {
        Some("reflect") => Pad::Reflect,
        Some("constant") | None => Pad::Constant,
        Some(other) => return Err(case.invalid(format!("hyper.pad_mode `{other}` is unknown"))),
    };
    let (samples, n_fft, hop) = (waveform(case)?, setting(case, "n_fft")?, setting(case, "hop")?);
    let magnitude = front::stft_magnitude(&samples, n_fft, hop, pad).map_err(front::refused)?;
    let log = front::log_spectrogram(&samples, n_fft, hop, pad).map_err(front::refused)?;
    Ok(BTreeMap::from([
        ("magnitude".into(), front::tensor(&magnitude)?),
        ("log_spectrogram".into(), front::tensor(&log)?),
    ]))
}

fn fbank(case: &Case) -> Result<BTreeMap<String, Tensor>> {
    let rate = u32::try_from(setting(case, "sample_rate")?).map_err(|e| case.invalid(e.to_string()))?;
    let fbank = front::kaldi_fbank(&waveform(case)?, rate, setting(case, "num_mel_bins")?).map_err(front::refused)?;
    let normalised = front::ast_normalise(&fbank, setting(case, "target_length")?);
    let (fbank, normalised) = (front::tensor(&fbank)?, front::tensor(&normalised)?);
    Ok(BTreeMap::from([("fbank".into(), fbank), ("normalised".into(), normalised)]))
}
