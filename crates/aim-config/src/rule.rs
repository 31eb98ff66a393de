//! The values that a setting takes.

use aim_core::{Error, Result};

/// Values that a setting takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values {
    /// Whatever its type holds: true or false, or the words of a choice.
    Type,
    /// Numbers between two ends.
    Number {
        /// Lower end.
        low: f64,
        /// Upper end; `f64::INFINITY` if there is none.
        high: f64,
        /// Whether the lower end itself is left out.
        open: bool,
        /// Whether the upper end itself is left out.
        below: bool,
    },
    /// Whole numbers between two ends, which belong to them.
    Whole {
        /// Smallest.
        low: u64,
        /// Largest; `u64::MAX` if there is none.
        high: u64,
    },
    /// One of these, each written as in a configuration.
    OneOf(&'static [&'static str]),
    /// Values that only words describe (a method, names of modalities): nothing that can be drawn.
    Words(&'static str),
}

impl Values {
    /// The largest size of a number where nothing else is said: what tensors hold, and the whole numbers that are exact
    /// as fractions, too.
    fn limit(&self) -> Option<f64> {
        match self {
            Self::Whole { high: u64::MAX, .. } => Some((1_u64 << 53) as f64),
            Self::Number { .. } | Self::Type | Self::Words(_) => Some(f64::from(f32::MAX)),
            Self::Whole { .. } | Self::OneOf(_) => None,
        }
    }
}

/// The values of a setting, and what else there is to say of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The values.
    pub values: Values,
    /// Unit of a number, in the plural; empty where it has none.
    pub unit: &'static str,
    /// Whether a configuration must give it.
    pub required: bool,
    /// The default in words, where its value says too little.
    pub shown: Option<&'static str>,
    /// Whether it is the setting that a search of the whole entry draws.
    pub main: bool,
}

impl Rule {
    const fn new(values: Values) -> Self {
        Self { values, unit: "", required: false, shown: None, main: false }
    }

    /// The same in a unit, said in the plural.
    #[must_use]
    pub const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    /// The same for a setting that has no default; an empty value stands for a missing one.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The same with words for the default.
    #[must_use]
    pub const fn shown(mut self, words: &'static str) -> Self {
        self.shown = Some(words);
        self
    }

    /// The same for the setting that a search draws, where that is not the entry's first number.
    #[must_use]
    pub const fn main(mut self) -> Self {
        self.main = true;
        self
    }

    /// The values in words.
    pub fn text(&self, words: &[&str]) -> String {
        let numbers = match self.values {
            Values::Type => words.join(" | "),
            Values::OneOf(words) => words.join(" | "),
            Values::Words(words) => words.into(),
            Values::Number { low: f64::MIN, .. } => "any number".into(),
            Values::Number { low, high, open: true, .. } if high >= f64::MAX => format!("above {low}"),
            Values::Number { low, high, open: true, .. } => format!("above {low}, to {high}"),
            Values::Number { low, high, below: true, .. } => format!("{low} to below {high}"),
            Values::Number { low, high, .. } if high >= f64::MAX => format!("{low} or more"),
            Values::Number { low, high, .. } => format!("{low} to {high}"),
            Values::Whole { low, high: u64::MAX } => format!("{low} or more"),
            Values::Whole { low, high } => format!("{low} to {high}"),
        };
        if self.unit.is_empty() { numbers } else { format!("{numbers} {}", self.unit) }
    }

    /// What a message tells the reader to use: "a number from 0 to 1".
    fn wanted(&self) -> String {
        let text = self.text(&[]);
        match self.values {
            Values::Type | Values::Words(_) => "a number".into(),
            Values::OneOf(_) | Values::Number { low: f64::MIN, .. } => text,
            Values::Number { open: true, .. } => format!("a number {text}"),
            Values::Number { high, .. } if high >= f64::MAX => format!("a number, {text}"),
            Values::Number { .. } => format!("a number from {text}"),
            Values::Whole { high: u64::MAX, .. } => format!("a whole number, {text}"),
            Values::Whole { .. } => format!("a whole number from {text}"),
        }
    }

    /// Checks a number; `place` names it in the message.
    ///
    /// # Errors
    /// If it is not one of the values.
    pub fn check_number(&self, value: f64, place: &str) -> Result<()> {
        if let Some(most) = self.values.limit().filter(|most| value.abs() > *most && value.is_finite()) {
            return Err(Error::invalid(place, format!("is {value}"), format!("use a number of at most {most:e}")));
        }
        let fits = match self.values {
            Values::Number { low, high, open, below } => {
                let end = (open && value == low) || (below && value == high);
                value.is_finite() && (low..=high).contains(&value) && !end
            }
            Values::Whole { low, high } => (low as f64..=high as f64).contains(&value),
            Values::OneOf(words) => words.iter().any(|word| word.parse() == Ok(value)),
            Values::Type | Values::Words(_) => value.is_finite(),
        };
        if fits {
            return Ok(());
        }
        Err(Error::invalid(place, format!("is {value}"), format!("use {}", self.wanted())))
    }
}

/// Numbers from `low` to `high`, both included.
pub const fn between(low: f64, high: f64) -> Rule {
    Rule::new(Values::Number { low, high, open: false, below: false })
}

/// Numbers from `low`, which is included, to below `high`.
pub const fn below(low: f64, high: f64) -> Rule {
    Rule::new(Values::Number { low, high, open: false, below: true })
}

/// Numbers above `low`.
pub const fn above(low: f64) -> Rule {
    Rule::new(Values::Number { low, high: f64::INFINITY, open: true, below: false })
}

/// Numbers above `low`, up to `high`.
pub const fn above_to(low: f64, high: f64) -> Rule {
    Rule::new(Values::Number { low, high, open: true, below: false })
}

/// Whole numbers of at least `low`.
pub const fn at_least(low: u64) -> Rule {
    Rule::new(Values::Whole { low, high: u64::MAX })
}

/// Whole numbers from `low` to `high`, both included.
pub const fn whole(low: u64, high: u64) -> Rule {
    Rule::new(Values::Whole { low, high })
}

/// Whatever the setting's type holds: true or false, or the words of a choice.
pub const fn by_type() -> Rule {
    Rule::new(Values::Type)
}

/// Any finite number.
pub const fn free() -> Rule {
    Rule::new(Values::Number { low: f64::MIN, high: f64::MAX, open: false, below: false })
}

/// One of these, each written as in a configuration.
pub const fn one_of(words: &'static [&'static str]) -> Rule {
    Rule::new(Values::OneOf(words))
}

/// Values that only words describe.
pub const fn words(words: &'static str) -> Rule {
    Rule::new(Values::Words(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_said_in_words() {
        for (rule, text) in [
            (between(0., 100.), "0 to 100"),
            (between(-100., 0.5), "-100 to 0.5"),
            (above(0.), "above 0"),
            (above_to(0., 1.), "above 0, to 1"),
            (at_least(1).unit("epochs"), "1 or more epochs"),
            (whole(2, 30), "2 to 30"),
            (between(0.5, f64::MAX), "0.5 or more"),
            (below(0., 1.), "0 to below 1"),
            (free(), "any number"),
            (one_of(&["0", "1"]), "0 | 1"),
            (words("a method"), "a method"),
            (by_type(), "this | that"),
        ] {
            assert_eq!(rule.text(&["this", "that"]), text);
        }
    }

    #[test]
    fn numbers_outside_are_refused_with_the_values() {
        let message = |rule: Rule, value: f64| rule.check_number(value, "a.b").map_err(|error| error.to_string());
        assert_eq!(message(between(0., 1.), 0.), Ok(()));
        assert_eq!(message(above_to(0., 1.), 1.), Ok(()));
        assert_eq!(message(above_to(0., 1.), 0.), Err("a.b: is 0; use a number above 0, to 1".into()));
        assert_eq!(message(between(0., 1.), f64::NAN), Err("a.b: is NaN; use a number from 0 to 1".into()));
        assert_eq!(message(above(0.), f64::INFINITY), Err("a.b: is inf; use a number above 0".into()));
        assert_eq!(message(at_least(1), 0.), Err("a.b: is 0; use a whole number, 1 or more".into()));
        assert_eq!(message(below(0., 1.), 1.), Err("a.b: is 1; use a number from 0 to below 1".into()));
        assert_eq!(message(whole(2, 9), 1.), Err("a.b: is 1; use a whole number from 2 to 9".into()));
        assert_eq!(message(one_of(&["0", "2"]), 1.), Err("a.b: is 1; use 0 | 2".into()));
        assert!(message(free(), f64::INFINITY).is_err() && message(free(), -1e38).is_ok());
        // What no tensor holds, or no exact number.
        assert_eq!(
            message(free(), -1e39),
            Err(format!("a.b: is {}; use a number of at most {:e}", -1e39, f32::MAX as f64))
        );
        assert!(message(above(0.), 1e39).is_err() && message(between(0., f64::MAX), 1e39).is_err());
        assert!(message(at_least(1), 2f64.powi(53)).is_ok() && message(at_least(1), 2f64.powi(54)).is_err());
    }
}
