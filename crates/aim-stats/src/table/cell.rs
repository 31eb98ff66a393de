//! Cells and how their numbers are written.

use crate::interval::Interval;
use crate::summary::Summary;
use crate::{Error, Result, check};

/// What a cell shows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Content {
    /// Nothing.
    Empty,
    /// Text as it is; each renderer escapes it.
    Text(String),
    /// A number, with its spread and interval where they are known: `0.71 ± 0.02 [0.69, 0.73]`.
    Number {
        /// The value, usually a mean.
        value: f64,
        /// The standard deviation.
        std: Option<f64>,
        /// The confidence interval.
        interval: Option<Interval>,
    },
    /// A p-value.
    P(f64),
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// What it shows.
    pub content: Content,
    /// Whether Markdown and LaTeX set it in bold, for example the best of a column.
    pub strong: bool,
}

impl Cell {
    fn of(content: Content) -> Self {
        Self { content, strong: false }
    }

    /// An empty cell.
    pub fn empty() -> Self {
        Self::of(Content::Empty)
    }

    /// A cell of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::of(Content::Text(text.into()))
    }

    /// A number alone.
    pub fn number(value: f64) -> Self {
        Self::estimate(value, None, None)
    }

    /// A mean with what is known about it.
    pub fn estimate(value: f64, std: Option<f64>, interval: Option<Interval>) -> Self {
        Self::of(Content::Number { value, std, interval })
    }

    /// A p-value.
    pub fn p(p: f64) -> Self {
        Self::of(Content::P(p))
    }

    /// The same cell in bold.
    #[must_use]
    pub fn strong(mut self) -> Self {
        self.strong = true;
        self
    }
}

impl From<Summary> for Cell {
    fn from(summary: Summary) -> Self {
        Self::estimate(summary.mean, summary.std, None)
    }
}

impl Content {
    /// The cell as a reader sees it, without escapes.
    pub fn shown(&self, decimals: usize) -> String {
        self.written(decimals, " ± ", " ")
    }

    /// As [`Self::shown`], with the signs of a renderer before the spread and before the interval.
    pub(super) fn written(&self, decimals: usize, plus_minus: &str, gap: &str) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => text.clone(),
            Self::P(p) if *p < 0.001 => "<0.001".to_owned(),
            Self::P(p) => format!("{p:.3}"),
            Self::Number { value, std, interval } => {
                let std = std.map(|std| format!("{plus_minus}{}", fixed(std, decimals)));
                let interval =
                    interval.map(|i| format!("{gap}[{}, {}]", fixed(i.low, decimals), fixed(i.high, decimals)));
                [fixed(*value, decimals), std.unwrap_or_default(), interval.unwrap_or_default()].concat()
            }
        }
    }

    pub(super) fn check(&self, index: usize) -> Result<()> {
        let numbers = match self {
            Self::Empty | Self::Text(_) => return Ok(()),
            Self::P(p) => return check::probability("a p-value", *p),
            Self::Number { value, std, interval } => {
                [Some(*value), *std, interval.map(|interval| interval.low), interval.map(|interval| interval.high)]
            }
        };
        match numbers.into_iter().flatten().find(|number| !number.is_finite()) {
            Some(value) => Err(Error::NotFinite { index, value }),
            None => Ok(()),
        }
    }
}

/// The number with so many decimals; what rounds to zero has no sign.
fn fixed(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    let zero = !text.contains(|digit: char| ('1'..='9').contains(&digit));
    if zero { text.trim_start_matches('-').to_owned() } else { text }
}
