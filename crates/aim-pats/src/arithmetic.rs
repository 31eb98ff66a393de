//! A task that needs no data: expressions such as `7+3*4-5`, worked out one operation a step.
//!
//! A step is the whole expression with one operation done: the first multiplication, else the first operation. The
//! last step is a number.

use rand::Rng as _;
use rand_distr::{Distribution, StandardNormal};

use crate::{ProcessReward, Result, random};

/// Largest number of an expression, those of its steps included.
const LARGEST: i64 = 99;
/// Numbers of the shortest and of the longest expression.
const TERMS: std::ops::RangeInclusive<usize> = 3..=6;

/// The expression of a key.
pub fn expression(key: u64) -> String {
    let mut rng = random::generator(key);
    loop {
        let terms = rng.random_range(TERMS);
        let mut text = String::new();
        for at in 0..terms {
            if at > 0 {
                text.push(['+', '-', '*'][rng.random_range(0..3)]);
            }
            text.push_str(&rng.random_range(1..10).to_string());
        }
        if !steps(&text).is_empty() {
            return text;
        }
    }
}

/// The right steps; none if a number on the way is negative or larger than 99.
pub fn steps(expression: &str) -> Vec<String> {
    let mut found: Vec<String> = vec![];
    let mut line = expression.to_owned();
    while line.contains(['+', '-', '*']) {
        let Some(next) = reduced(&line) else { return vec![] };
        found.push(next.clone());
        line = next;
    }
    found
}

/// Whether an expression is kept for tests: every tenth is.
pub fn held_out(expression: &str) -> bool {
    random::key(0, &[expression]).is_multiple_of(10)
}

/// The expression with one operation done. None if there is none to do, or it is no expression.
fn reduced(expression: &str) -> Option<String> {
    // Places in it are then places of bytes.
    if !expression.is_ascii() {
        return None;
    }
    let at = expression.find('*').or_else(|| expression.find(['+', '-']))?;
    let digit = |c: char| c.is_ascii_digit();
    let begin = expression[..at].rfind(|c| !digit(c)).map_or(0, |sign| sign + 1);
    let rest = &expression[at + 1..];
    let end = rest.find(|c| !digit(c)).unwrap_or(rest.len());
    let (left, right): (i64, i64) = (number(&expression[begin..at])?, number(&rest[..end])?);
    let result = match &expression[at..=at] {
        "*" => left * right,
        "+" => left + right,
        _ => left - right,
    };
    (0..=LARGEST).contains(&result).then(|| format!("{}{result}{}", &expression[..begin], &rest[end..]))
}

fn number(digits: &str) -> Option<i64> {
    digits.parse().ok().filter(|number| (0..=LARGEST).contains(number))
}

/// A reward that works the step out: 0.95 if it is right after the one before, else 0.2, plus normal noise, within
/// [0, 1]. The noise of a candidate is always the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checker {
    /// Standard deviation of the noise.
    pub noise: f64,
    /// Seed of the noise.
    pub seed: u64,
}

impl ProcessReward for Checker {
    fn score(&mut self, question: &str, steps: &[String], candidates: &[String]) -> Result<Vec<f64>> {
        let before = steps.last().map_or(question, String::as_str);
        let right = reduced(before);
        let score = |candidate: &String| {
            let mean = if right.as_ref() == Some(candidate) { 0.95 } else { 0.2 };
            let key = random::key(self.seed, &[question, &steps.join("\n"), candidate]);
            let noise: f64 = StandardNormal.sample(&mut random::generator(key));
            (mean + self.noise * noise).clamp(0., 1.)
        };
        Ok(candidates.iter().map(score).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_by_hand() {
        assert_eq!(steps("7+3*14-5"), ["7+42-5", "49-5", "44"]);
        assert_eq!(steps("2*3*4"), ["6*4", "24"]);
        assert_eq!(steps("9-3+1"), ["6+1", "7"]);
        for none in ["3-9", "99*99", "12", "1++2", "+", "a+b", "3--9+1", "é3+4", "3−4+5", ""] {
            assert_eq!(steps(none), [""; 0], "{none}");
        }
    }

    #[test]
    fn expressions_are_those_of_their_key_and_have_small_numbers() {
        let mut held = 0;
        for key in 0..500 {
            let text = expression(key);
            assert_eq!(text, expression(key));
            let signs = text.matches(['+', '-', '*']).count();
            assert!((2..=5).contains(&signs) && steps(&text).len() == signs, "{text}");
            held += usize::from(held_out(&text));
        }
        assert!((25..90).contains(&held), "{held}");
    }

    #[test]
    fn the_checker_tells_right_from_wrong_and_its_noise_stays() {
        let score = |noise: f64, steps: &[&str], candidates: &[&str]| {
            let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            Checker { noise, seed: 3 }.score("1+2*3", &own(steps), &own(candidates)).unwrap()
        };
        assert_eq!(score(0., &[], &["1+6", "3*3", "7", ""]), [0.95, 0.2, 0.2, 0.2]);
        assert_eq!(score(0., &["1+6"], &["7", "8"]), [0.95, 0.2]);
        // Consistent with a wrong line before is right; nothing follows from what is no expression.
        assert_eq!(score(0., &["1+5"], &["6", "7"]), [0.95, 0.2]);
        assert_eq!(score(0., &["1+"], &["1"]), [0.2]);
        let noisy = score(0.3, &[], &["1+6", "1+7"]);
        assert_eq!(noisy, score(0.3, &[], &["1+6", "1+7"]));
        assert_eq!(noisy[1], score(0.3, &[], &["1+7"])[0]);
        assert!(noisy[0] != 0.95 && noisy.iter().all(|score| (0. ..=1.).contains(score)));
    }
}
