//! The error of this crate.

/// A file, a value or a setting that cannot be used: what it is about, what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}; {remedy}")]
pub struct Error {
    /// File (and place in it) or setting.
    pub place: String,
    /// Fault, in a clause.
    pub problem: String,
    /// Action that helps.
    pub remedy: String,
}

impl Error {
    /// An error from its three parts.
    pub fn new(place: impl ToString, problem: impl ToString, remedy: impl ToString) -> Self {
        Self { place: place.to_string(), problem: problem.to_string(), remedy: remedy.to_string() }
    }
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
