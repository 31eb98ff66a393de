//! Draws of settings, for random searches.

use aim_core::Rng;
use serde_json::{Number, Value};

use crate::{Kind, Setting, Values};

/// How far around its default a number is drawn, where its range is wider than 1.
const FACTOR: f64 = 10.;

impl Setting {
    /// Draws a value; none if there is nothing to draw from. Words are drawn evenly; numbers evenly where the range is
    /// no wider than 1, else evenly in their logarithm from a tenth of the default to ten times it, as far as the range
    /// goes; around a default of 0, from 0 to 1.
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
        let near = if whole { value.round() } else { rounded(value) }.clamp(low, high);
        // An end that does not belong to the range is not to be reached by rounding.
        let value = if self.rule.check_number(near, self.name).is_ok() { near } else { value };
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

/// Draws a number from a range around a default. The lower end of an even draw is left out, because it may not belong
/// to the range.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, above_to, at_least, below, between, by_type, one_of, settings, words};

    #[test]
    fn draws_follow_the_range_and_the_default() {
        let draws = |low, high, default| {
            let draw = |k| draw_number(low, high, default, &mut Rng::keyed(k, "number")).unwrap();
            let mut all: Vec<f64> = (0..2000).map(draw).collect();
            all.sort_by(f64::total_cmp);
            (all[0], all[1000], all[1999])
        };
        let near = |(low, middle, high): (f64, f64, f64), want: [f64; 3]| {
            let close = |a: f64, b: f64| (a - b).abs() < 0.06 * b.abs() + 0.01;
            assert!(close(low, want[0]) && close(middle, want[1]) && close(high, want[2]), "{low} {middle} {high}");
        };
        near(draws(0., 1., Some(0.9)), [0., 0.5, 1.]);
        near(draws(0., 100., Some(0.3)), [0.03, 0.3, 3.]);
        near(draws(1., 100., Some(2.)), [1., 20_f64.sqrt(), 20.]);
        near(draws(1., f64::INFINITY, Some(2.)), [1., 20_f64.sqrt(), 20.]);
        near(draws(0., 100., Some(0.)), [0., 0.5, 1.]);
        assert_eq!(draw_number(0., 100., None, &mut Rng::keyed(0, "number")), None);
    }

    settings! {
        /// Settings of every kind.
        struct All {
            /// Number in an open range.
            share: f64 = 0.1 => above_to(0., 1.), "ours";
            /// Number whose default is said in words.
            told: Option<f64> = None => between(0., 100.).shown("2 (or 1)"), "ours";
            /// Number below an end that 2000 draws rounded to three digits would reach.
            decay: f64 = 0.9 => below(0.98, 1.), "ours";
            /// Whole number.
            every: usize = 3 => at_least(1).unit("steps"), "ours";
            /// Flag.
            flag: bool = false => by_type(), "ours";
            /// One of some numbers.
            level: u8 = 1 => one_of(&["0", "2"]), "ours";
            /// Text.
            name: String = String::new() => words("a name"), "ours";
            /// List of numbers.
            list: Vec<f64> = vec![] => between(0., 1.), "ours";
        }
    }

    #[test]
    fn what_is_drawn_has_the_settings_type_and_range() {
        let defaults = crate::setting::to_value(&All::default());
        for setting in All::SETTINGS {
            let drawn = |k| setting.draw(&defaults[setting.name], &mut Rng::keyed(k, setting.name));
            for value in (0..2000).map(drawn) {
                let fits = |value: &Value| match setting.name {
                    "share" => value.as_f64().is_some_and(|x| x > 0. && x <= 1.),
                    "told" => value.as_f64().is_some_and(|x| (0.2..=20.).contains(&x)),
                    "decay" => value.as_f64().is_some_and(|x| (0.98..1.).contains(&x)),
                    "every" => value.as_u64().is_some_and(|x| (1..=30).contains(&x)),
                    "flag" => value.is_boolean(),
                    "level" => [0, 2].iter().any(|level| value == level),
                    _ => false,
                };
                let none = ["name", "list"].contains(&setting.name);
                assert!(value.as_ref().map_or(none, fits), "{}: {value:?}", setting.name);
            }
        }
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([0.123456, 1234.5, 0., 3.].map(rounded), [0.123, 1230., 0., 3.]);
    }
}
