//! What a statistic may refuse.

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a number cannot be given.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to compute from.
    #[error("the sample is empty")]
    Empty,
    /// The statistic is not defined for so few values.
    #[error("at least {needed} values are needed, {found} given")]
    TooFew {
        /// The smallest number of values that works.
        needed: usize,
        /// The number of values given.
        found: usize,
    },
    /// Paired samples must have the same length.
    #[error("paired samples must be of equal length, they have {left} and {right} values")]
    Unequal {
        /// Length of the first sample.
        left: usize,
        /// Length of the second sample.
        right: usize,
    },
    /// A value is NaN or infinite.
    #[error("value {index} of the sample is {value}, only finite numbers can be used")]
    NotFinite {
        /// Position in the sample, from 0.
        index: usize,
        /// The value found there.
        value: f64,
    },
    /// A setting or probability lies outside the numbers allowed for it.
    #[error("{what} is {value}, it must lie {range}")]
    OutOfRange {
        /// The quantity.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The allowed values, in words.
        range: &'static str,
    },
    /// A count that must not be zero is.
    #[error("the number of {what} must be at least 1")]
    Zero {
        /// What is counted.
        what: &'static str,
    },
    /// A class label does not exist.
    #[error("label {label} of sample {index} does not exist, there are {classes} classes")]
    Label {
        /// Position of the sample, from 0.
        index: usize,
        /// The label found there.
        label: usize,
        /// The number of classes.
        classes: usize,
    },
    /// A table of coalition values must hold one value for each subset of the players.
    #[error("{found} coalition values given, there must be 2^M of them for M >= 1 players")]
    Coalitions {
        /// The number of values given.
        found: usize,
    },
    /// All values are equal, so that nothing can be measured against their spread.
    #[error("the values do not vary, {what} is undefined")]
    NoVariation {
        /// The statistic asked for.
        what: &'static str,
    },
    /// The number does not exist or is too large for these values.
    #[error("{what} is undefined for these values")]
    Undefined {
        /// The statistic asked for.
        what: &'static str,
    },
    /// A table's row has the wrong number of cells.
    #[error("a row of {found} cells does not fit a table of {expected} columns")]
    Cells {
        /// The number of columns.
        expected: usize,
        /// The number of cells given.
        found: usize,
    },
}
