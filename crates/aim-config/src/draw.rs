//! Draws of settings, for random searches.

use aim_core::Rng;
use serde_json::{Number, Value};

use crate::{Kind, Setting, Values};

/// How far around its default a number is drawn, where its range is wider than 1.
const FACTOR: f64 = 10.;

impl Setting {
    /// Draws a value; none if there is nothing to draw from. Words are drawn evenly; numbers evenly where the range is no
    /// wider than 1, else evenly in their logarithm from a tenth of the default to ten times it, as far as the range goes;
    /// around a default of 0, from 0 to 1.
    pub fn draw(&self, default: &Value, rng: &mut Rng) -> Option<Value> {
        let choices = self.choices();
        if !choices.is_empty() {
            return choices.get(rng.below(choices.len())).map(|word| self.word(word));
        }
        let (low, high) = match self.rule.values {
            Values::Number { low, high, .. } => (low, high),
            Values::Whole { low, high } => (low as f64, if high == u64::MAX { f64::INFINITY } else { high as f64 }),
            _ => return None,
        };
        let whole = match self.kind {
            Kind::Whole => true,
            Kind::Number => false,
            _ => return None,
        };
        let written = default.as_f64().or_else(|| self.rule.shown?.split(' ').next()?.parse().ok());
        let value = draw_number(low, high, written, rng)?;
        let value = if whole { value.round() } else { rounded(value) }.clamp(low, high);
        if whole { Some((value as u64).into()) } else { Number::from_f64(value).map(Value::Number) }
    }

    /// A word of a choice as a value.
    fn word(&self, word: &str) -> Value {
        match self.kind {
            Kind::Choice | Kind::Text => word.into(),
            _ => serde_json::from_str(word).unwrap_or_else(|_| word.into()),
        }
    }
}

/// Draws a number from a range around a default. The lower end of an even draw is left out, because it may not belong to the
/// range.
pub fn draw_number(low: f64, high: f64, default: Option<f64>, rng: &mut Rng) -> Option<f64> {
    let share = 1. - rng.uniform();
    let even = |low: f64, high: f64| low + (high - low) * share;
    match default {
        _ if high - low <= 1. => Some(even(low, high)),
        Some(d) if d > 0. => {
            let (low, high) = ((d / FACTOR).max(low), (d * FACTOR).min(high));
            Some(low * (high / low).powf(share))
        }
        Some(0.) => Some(even(low.max(0.), high.min(1.))),
        _ => None,
    }
}

/// A number with three digits, which say enough and read well in a table.
pub fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}
