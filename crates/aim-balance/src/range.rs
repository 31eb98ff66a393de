//! What a card says of a setting's values, so that a random search can draw from it.

use aim_core::{Result, Rng};
use serde_yaml::{Mapping, Number, Value};

use crate::card::{Card, Setting};
use crate::section::sections;

/// How far around its default a number is drawn, where its range is wider than 1.
const FACTOR: f64 = 10.;
/// What stands for no end, as in the checks of settings.
const ENDLESS: f64 = f64::MAX;

/// The values of a setting, understood from the text of its card.
#[derive(Clone, Debug, PartialEq)]
pub enum Range {
    /// `a | b`: one of these.
    Choice(Vec<Value>),
    /// `0 to 100`, `above 0`, `above 0, to 1`, `1 or more`, `epochs`, `steps`: a number between these ends.
    Number(f64, f64),
    /// A method, names of modalities, a table: nothing that can be drawn.
    Words,
}

impl Range {
    /// Understands a card's text.
    pub fn of(text: &str) -> Self {
        let number = |text: &str| text.split([' ', ',']).next()?.parse::<f64>().ok();
        let high = || text.rsplit_once("to ").and_then(|(_, high)| number(high));
        match text {
            "epochs" | "an epoch" | "steps" => Self::Number(0., ENDLESS),
            _ if text.contains(" | ") || text == "true" => {
                Self::Choice(text.split(" | ").map(|word| serde_yaml::from_str(word).unwrap_or_default()).collect())
            }
            _ if text.starts_with("above 0") => Self::Number(0., high().unwrap_or(ENDLESS)),
            _ => match (number(text), high()) {
                (Some(low), Some(high)) => Self::Number(low, high),
                (Some(low), None) if text.contains("or more") => Self::Number(low, ENDLESS),
                _ => Self::Words,
            },
        }
    }

    /// Draws a number: evenly where the range is no wider than 1, else evenly in its logarithm from a tenth of the default
    /// to ten times it, as far as the range goes; around a default of 0, from 0 to 1. The lower end of an even draw is left
    /// out, because it may not belong to the range.
    fn number(low: f64, high: f64, default: Option<f64>, rng: &mut Rng) -> Option<f64> {
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
}

impl Setting {
    /// Draws a value; none if its range is not one to draw from.
    fn draw(&self, card: &Card, rng: &mut Rng) -> Result<Option<Value>> {
        let default = card.defaults()?.get(self.name).cloned().unwrap_or_default();
        Ok(match Range::of(self.range) {
            Range::Choice(values) => values.get(rng.below(values.len())).cloned(),
            Range::Number(low, high) if !matches!(default, Value::Mapping(_) | Value::Sequence(_)) => {
                let written = self.default.split(' ').next().and_then(|d| d.parse().ok());
                let whole = matches!(&default, Value::Number(n) if !n.is_f64());
                Range::number(low, high, written, rng).map(|value| {
                    let value = if whole { value.round() } else { rounded(value) }.clamp(low, high);
                    Value::Number(if whole { Number::from(value as u64) } else { Number::from(value) })
                })
            }
            _ => None,
        })
    }
}

/// Three digits say enough, and read well in a table.
pub fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

/// A method section with a setting drawn anew in every method of it that has such a setting, and the values by
/// `method.setting`; none of them if no method has one that can be drawn.
///
/// # Errors
/// If the section names no method.
pub fn draw(section: &Value, setting: &str, rng: &mut Rng) -> Result<(Value, Vec<(String, Value)>)> {
    let mut drawn = Vec::new();
    let mut methods = Vec::new();
    for (card, settings) in sections(section)? {
        let Value::Mapping(settings) = settings else { continue };
        let mut method: Mapping = [("name".into(), card.about.name.into())].into_iter().chain(settings).collect();
        if let Some(of_card) = card.about.settings.iter().find(|s| s.name == setting)
            && let Some(value) = of_card.draw(card, rng)?
        {
            method.insert(setting.into(), value.clone());
            drawn.push((format!("{}.{setting}", card.about.name), value));
        }
        if let Some(inner) = method.get_mut("inner") {
            let (section, more) = draw(inner, setting, rng)?;
            *inner = section;
            drawn.extend(more);
        }
        methods.push(Value::Mapping(method));
    }
    let one = methods.len() == 1;
    let whole = if one { methods.remove(0) } else { Value::Sequence(methods) };
    Ok(if drawn.is_empty() { (section.clone(), drawn) } else { (whole, drawn) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CARDS;

    #[test]
    fn texts_of_cards_are_understood() {
        for (text, range) in [
            ("0 to 100", Range::Number(0., 100.)),
            ("-100 to 100", Range::Number(-100., 100.)),
            ("above 0", Range::Number(0., ENDLESS)),
            ("above 0, to 1", Range::Number(0., 1.)),
            ("1 or more epochs", Range::Number(1., ENDLESS)),
            ("steps", Range::Number(0., ENDLESS)),
            ("0 | 1", Range::Choice(vec![0.into(), 1.into()])),
            ("true | false", Range::Choice(vec![true.into(), false.into()])),
            ("a method", Range::Words),
            ("a weight for each modality and `fused`", Range::Words),
        ] {
            assert_eq!(Range::of(text), range, "{text}");
        }
    }

    #[test]
    fn every_range_is_one_to_draw_from_or_says_in_words_why_not() {
        let words = [
            "a method",
            "a modality",
            "modalities",
            "a weight for each modality and `fused`",
            "a weight for each modality",
            "epochs of each stage in turn",
        ];
        for (card, s) in CARDS.iter().flat_map(|c| c.about.settings.iter().map(move |s| (c, s))) {
            let said = words.contains(&s.range);
            assert_eq!(Range::of(s.range) == Range::Words, said, "`{}.{}`: {}", card.about.name, s.name, s.range);
        }
    }

    #[test]
    fn what_is_drawn_is_valid() {
        for card in CARDS {
            let (name, modality) = (card.about.name, if card.about.needs.single { ", modality: a" } else { "" });
            let section: Value = serde_yaml::from_str(&format!("{{name: {name}{modality}}}")).unwrap();
            for (setting, k) in card.about.settings.iter().flat_map(|s| (0..30).map(move |k| (s, k))) {
                let (drawn, values) = draw(&section, setting.name, &mut Rng::keyed(k, "draw")).unwrap();
                for (card, settings) in sections(&drawn).unwrap() {
                    let checked = (card.check)(card.about, &settings);
                    checked.unwrap_or_else(|e| panic!("{name}: {values:?}: {e}"));
                }
            }
        }
    }

    #[test]
    fn draws_follow_the_range_and_the_default() {
        let draws = |low, high, default| {
            let draw = |k| Range::number(low, high, default, &mut Rng::keyed(k, "number")).unwrap();
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
        near(draws(0., 100., Some(0.)), [0., 0.5, 1.]);
        assert_eq!(Range::number(0., 100., None, &mut Rng::keyed(0, "number")), None);
    }

    #[test]
    fn parts_of_stacks_and_inner_methods_are_drawn_as_well() {
        let drawn = |text: &str, setting| {
            let section: Value = serde_yaml::from_str(text).unwrap();
            let (drawn, values) = draw(&section, setting, &mut Rng::keyed(0, "draw")).unwrap();
            (drawn == section, values.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
        };
        assert_eq!(drawn("[opm, {ogm-ge: {noise: true}}]", "alpha"), (false, vec!["ogm-ge.alpha".into()]));
        assert_eq!(drawn("{sam: {inner: {name: sam, rho: 1}}}", "rho").1, ["sam.rho", "sam.rho"]);
        assert_eq!(drawn("joint", "alpha"), (true, vec![]));
        assert_eq!(drawn("{name: sam, inner: agm}", "inner"), (true, vec![]));
    }
}
