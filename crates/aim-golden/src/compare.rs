//! Comparing what a case gave with what it should have given.

use std::{collections::BTreeMap, fmt};

use aim_core::Result;
use candle_core::{DType, Tensor};

use crate::case::{Case, Tolerance};

/// A key that does not agree.
#[derive(Debug)]
pub struct Failure {
    /// The key of the expected results.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

/// The outcome of a case.
#[derive(Debug)]
pub struct Verdict {
    /// Number of keys compared.
    pub keys: usize,
    /// Those that do not agree.
    pub failures: Vec<Failure>,
    /// What the case says that neither is a setting nor was used.
    pub unused: Vec<String>,
}

impl Verdict {
    /// Whether every key agrees.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failures.iter().try_for_each(|failure| writeln!(f, "{}: {}", failure.key, failure.problem))?;
        if !self.unused.is_empty() {
            writeln!(f, "not settings, so not used: {}", self.unused.join(", "))?;
        }
        match self.failures.len() {
            0 => write!(f, "ok {} keys", self.keys),
            n => write!(f, "FAILED {n} of {} keys", self.keys),
        }
    }
}

pub(crate) fn compare(case: &Case, got: &BTreeMap<String, Tensor>) -> Result<Verdict> {
    let mut failures = Vec::new();
    for (key, want) in &case.expected {
        let problem = match got.get(key) {
            None => Some("is missing".into()),
            Some(got) => difference(case, key, got, want)?,
        };
        failures.extend(problem.map(|problem| Failure { key: key.clone(), problem }));
    }
    // A gradient where there must be none would let the optimizer touch a parameter that should be left alone.
    for key in got.keys().filter(|k| k.starts_with("grad.") && !case.expected.contains_key(*k)) {
        if case.expected.keys().any(|k| k.starts_with("grad.")) {
            failures.push(Failure { key: key.clone(), problem: "must be absent".into() });
        }
    }
    Ok(Verdict { keys: case.expected.len(), failures, unused: vec![] })
}

/// The group of a key: the text before the first dot, after a step prefix.
fn group(key: &str) -> &str {
    let (head, rest) = key.split_once('.').unwrap_or((key, ""));
    let step = head.strip_prefix("step").is_some_and(|n| n.parse::<usize>().is_ok());
    if step { group(rest) } else { head }
}

fn difference(case: &Case, key: &str, got: &Tensor, want: &Tensor) -> Result<Option<String>> {
    let (got_shape, want_shape) = (got.dims(), want.dims());
    if got.elem_count() != want.elem_count() || (got_shape != want_shape && want.elem_count() > 1) {
        return Ok(Some(format!("has shape {got_shape:?}, expected {want_shape:?}")));
    }
    let exact = matches!(want.dtype(), DType::I64 | DType::U32 | DType::U8);
    let tolerance = case.spec.tolerance.get(group(key)).copied();
    let Tolerance { atol, rtol } = match (exact, tolerance) {
        (true, _) => Tolerance { atol: 0., rtol: 0. },
        (false, Some(t)) => t,
        (false, None) => return Ok(Some("has no tolerance in case.json".into())),
    };
    let keep = mask(case, key)?;
    let mut worst: Option<(f64, f64, f64)> = None;
    for (i, (g, w)) in values(got)?.into_iter().zip(values(want)?).enumerate() {
        let off = (g - w).abs();
        let bad = (off.is_nan() || off > atol + rtol * w.abs()) && keep.as_ref().is_none_or(|k| k[i]);
        if bad && worst.is_none_or(|(o, ..)| off > o || off.is_nan()) {
            worst = Some((off, g, w));
        }
    }
    Ok(worst
        .map(|(off, g, w)| format!("got {g:e}, expected {w:e}, off by {off:.2e} (atol {atol:.2e}, rtol {rtol:.0e})")))
}

/// Near silence a log spectrogram magnifies rounding errors: it is compared only where the magnitude exceeds 1e-3.
fn mask(case: &Case, key: &str) -> Result<Option<Vec<bool>>> {
    let magnitude = case.expected.get("magnitude").filter(|_| key == "log_spectrogram");
    magnitude.map(|m| Ok(values(m)?.into_iter().map(|x| x > 1e-3).collect())).transpose()
}

fn values(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}
