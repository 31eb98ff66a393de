//! What an epoch leaves in the log.

use std::collections::BTreeMap;

use aim_core::{Error, Report, Result, State};
use candle_core::DType;
use serde::{Deserialize, Serialize};

use crate::metrics::Scores;

/// Longest list that is logged; longer reports are data, not quantities.
const LONGEST: usize = 64;

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLog {
    /// Epoch, counted from 0.
    pub epoch: usize,
    /// Learning rate.
    pub lr: f64,
    /// Means over the epoch's steps of the losses and of what the method reports (one number, or one a depth).
    pub train: BTreeMap<String, Quantity>,
    /// Scores on the validation split.
    pub validation: Scores,
}

/// A number or a list of numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    /// One number.
    Number(f64),
    /// One number a depth, or the like.
    List(Vec<f64>),
}

impl Quantity {
    /// The numbers.
    pub fn values(&self) -> &[f64] {
        match self {
            Self::Number(value) => std::slice::from_ref(value),
            Self::List(values) => values,
        }
    }
}

/// Means of reported quantities over the steps that reported them.
#[derive(Default)]
pub(super) struct Means(BTreeMap<String, (usize, bool, Vec<f64>)>);

impl Means {
    /// Adds a step's report.
    ///
    /// # Errors
    /// If a loss is not finite; the message names it, with `place`.
    pub fn add(&mut self, report: &Report, place: &str) -> Result<()> {
        for (name, value) in report.iter().filter(|(_, v)| v.rank() <= 1 && v.elem_count() <= LONGEST) {
            let values: Vec<f64> = value.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
            if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
                if !name.starts_with("loss") {
                    continue;
                }
                let hint =
                    "lower the learning rate, or look for extreme inputs or settings; the last good checkpoint is kept";
                return Err(Error::NonFinite { name: format!("{name} at {place}"), value: *bad, hint: hint.into() });
            }
            let entry = self.0.entry(name.clone()).or_insert_with(|| (0, value.rank() == 0, vec![0.; values.len()]));
            if entry.2.len() == values.len() {
                entry.0 += 1;
                entry.2.iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
            }
        }
        Ok(())
    }

    /// The sums so far: under each name the number of steps, whether it is one number, and the sums.
    ///
    /// # Errors
    /// If a tensor cannot be made.
    pub fn state(&self) -> Result<State> {
        let mut state = State::default();
        for (name, (count, single, sums)) in &self.0 {
            let numbers = [*count as f64, f64::from(u8::from(*single))].into_iter().chain(sums.iter().copied());
            state.put(name, &numbers.collect::<Vec<_>>())?;
        }
        Ok(state)
    }

    /// What [`state`](Self::state) was taken of.
    ///
    /// # Errors
    /// If it is no such state.
    pub fn of(state: &State) -> Result<Self> {
        let entry = |name: &String| match state.numbers(name)?.split_first_chunk() {
            Some(([count, single], sums)) => Ok((name.clone(), (*count as usize, *single > 0., sums.to_vec()))),
            None => Err(Error::shape(name, &[0], "two numbers at least")),
        };
        Ok(Self(state.0.keys().map(entry).collect::<Result<_>>()?))
    }

    /// The means.
    pub fn finish(self) -> BTreeMap<String, Quantity> {
        let mean = |(name, (count, single, sums)): (String, (usize, bool, Vec<f64>))| {
            let means: Vec<f64> = sums.into_iter().map(|s| s / count as f64).collect();
            (name, if single { Quantity::Number(means[0]) } else { Quantity::List(means) })
        };
        self.0.into_iter().map(mean).collect()
    }
}
