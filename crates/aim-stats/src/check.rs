//! Checks that the statistics share.

use crate::{Error, Result};

/// A sample that holds at least `needed` finite values.
pub(crate) fn sample(values: &[f64], needed: usize) -> Result<()> {
    match values.len() {
        0 => Err(Error::Empty),
        found if found < needed => Err(Error::TooFew { needed, found }),
        _ => all_finite(values),
    }
}

fn all_finite(values: &[f64]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NotFinite { index, value: values[index] }),
        None => Ok(()),
    }
}

/// Two lengths that must agree and not be zero.
pub(crate) fn lengths(left: usize, right: usize) -> Result<()> {
    match (left, right) {
        (left, right) if left != right => Err(Error::Unequal { left, right }),
        (0, _) => Err(Error::Empty),
        _ => Ok(()),
    }
}

/// A confidence level strictly between 0 and 1.
pub(crate) fn level(value: f64) -> Result<()> {
    if value > 0.0 && value < 1.0 {
        return Ok(());
    }
    Err(Error::OutOfRange { what: "the confidence level", value, range: "strictly between 0 and 1" })
}

/// A probability in 0 ..= 1.
pub(crate) fn probability(what: &'static str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::OutOfRange { what, value, range: "between 0 and 1" })
}

/// A count that is not zero.
pub(crate) fn count(what: &'static str, value: usize) -> Result<()> {
    if value == 0 { Err(Error::Zero { what }) } else { Ok(()) }
}

/// The value itself unless it overflowed or is undefined.
pub(crate) fn result(what: &'static str, value: f64) -> Result<f64> {
    if value.is_finite() { Ok(value) } else { Err(Error::Undefined { what }) }
}
