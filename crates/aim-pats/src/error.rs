//! The error of this crate.

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tensor operation failed: shapes or dtypes of a model's weights, or memory.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A text fills a model's context: a search that comes to it ends there.
    #[error("text: {tokens} tokens are more than the model's {positions} positions; ask for shorter steps, or fewer")]
    Full {
        /// Tokens of the text.
        tokens: usize,
        /// Most that the model reads.
        positions: usize,
    },
    /// A file, a value or a setting that cannot be used.
    #[error("{place}: {problem}; {remedy}")]
    Invalid {
        /// File (and place in it) or setting.
        place: String,
        /// Fault, in a clause.
        problem: String,
        /// Action that helps.
        remedy: String,
    },
}

impl Error {
    /// An error from its three parts.
    pub fn invalid(place: impl ToString, problem: impl ToString, remedy: impl ToString) -> Self {
        Self::Invalid { place: place.to_string(), problem: problem.to_string(), remedy: remedy.to_string() }
    }
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
