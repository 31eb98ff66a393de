//! One error type for the workspace: every message names the place, the problem and the remedy.

use std::path::{Path, PathBuf};

/// Result with the workspace's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong, with the names and shapes needed to mend it.
///
/// Its debug form is its message, so that a program whose `main` gives a [`Result`] tells people what is wrong.
#[derive(thiserror::Error)]
pub enum Error {
    /// A tensor operation failed.
    #[error("{}", plain(.0))]
    Tensor(#[from] candle_core::Error),
    /// Input that cannot be used: a config key, a file, a label, a pair of settings.
    #[error("{place}: {problem}; {remedy}")]
    Invalid {
        /// File, line and key, or name of the tensor.
        place: String,
        /// What is wrong there.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// A tensor has another shape than its consumer needs.
    #[error("`{name}` has shape {got:?}, but {want} is needed")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Its shape.
        got: Vec<usize>,
        /// The shape or rank needed, in words.
        want: String,
    },
    /// A value that is not finite, found in data, loss, gradient or parameter.
    #[error("`{name}` is not finite ({value}); {hint}")]
    NonFinite {
        /// Name of the tensor, with epoch and step where they are known.
        name: String,
        /// The offending value.
        value: f64,
        /// Likely cause or remedy.
        hint: String,
    },
    /// Reading or writing a file failed.
    #[error("{}: {source}; {remedy}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's message.
        source: std::io::Error,
        /// What to do about it.
        remedy: String,
    },
    /// Someone asked for the work to end; nothing is wrong.
    #[error("was stopped; the same command goes on where it was")]
    Stopped,
    /// Another process works on what this one was to.
    #[error("{}: is in use by {by}; wait until it is done, or choose another folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other process.
        by: String,
    },
    /// What this process was working on has been taken over by another, which goes on with it.
    #[error("{}: was taken over by {by}, which goes on with it", path.display())]
    Lost {
        /// The folder.
        path: PathBuf,
        /// The other process.
        by: String,
    },
    /// Another error with the place where it came up.
    #[error("{place}: {source}")]
    At {
        /// Where.
        place: String,
        /// What.
        source: Box<Error>,
    },
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl Error {
    /// An unusable input: where it is, what is wrong and what to do.
    pub fn invalid(place: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Invalid { place: place.into(), problem: problem.into(), remedy: remedy.into() }
    }

    /// A name that is none of those that are known, which are what can be done about it.
    ///
    /// ```
    /// # use aim_core::Error;
    /// let error = Error::unknown("model.fusion", "is `sun`", ["sum", "mean"]);
    /// assert_eq!(error.to_string(), "model.fusion: is `sun`; use one of sum, mean");
    /// ```
    pub fn unknown<S: AsRef<str>>(
        place: impl Into<String>,
        problem: impl Into<String>,
        known: impl IntoIterator<Item = S>,
    ) -> Self {
        let known: Vec<S> = known.into_iter().collect();
        let names: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
        let remedy = match names.as_slice() {
            [] => "leave it out, there is nothing that could be named".into(),
            [one] => format!("use {one}"),
            names => format!("use one of {}", names.join(", ")),
        };
        Self::invalid(place, problem, remedy)
    }

    /// A shape that does not fit; `want` says in words what would.
    pub fn shape(name: impl Into<String>, got: &[usize], want: impl Into<String>) -> Self {
        Self::Shape { name: name.into(), got: got.to_vec(), want: want.into() }
    }

    /// Whether nothing is wrong, but someone asked for the work to end.
    pub fn is_stop(&self) -> bool {
        match self {
            Self::Stopped => true,
            Self::At { source, .. } => source.is_stop(),
            _ => false,
        }
    }

    /// Whether another process is at work instead, and nothing is wrong with the work itself.
    pub fn is_elsewhere(&self) -> bool {
        match self {
            Self::InUse { .. } | Self::Lost { .. } => true,
            Self::At { source, .. } => source.is_elsewhere(),
            _ => false,
        }
    }

    /// Whether training left the finite numbers.
    pub fn is_divergence(&self) -> bool {
        match self {
            Self::NonFinite { .. } => true,
            Self::At { source, .. } => source.is_divergence(),
            _ => false,
        }
    }

    /// A failed read or write, with a remedy derived from the kind of failure.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        let remedy = match source.kind() {
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::PermissionDenied => "check the permissions of the file and its folder",
            std::io::ErrorKind::StorageFull => "free some space",
            std::io::ErrorKind::FileTooLarge => "raise the limit for the size of files",
            std::io::ErrorKind::ReadOnlyFilesystem => "choose a folder that can be written",
            std::io::ErrorKind::UnexpectedEof => "the file ends too early: fetch or write it again",
            _ => "check that the file can be read and written",
        };
        Self::Io { path: path.as_ref().to_path_buf(), source, remedy: remedy.into() }
    }
}

/// The message without the backtrace that candle puts behind it if `RUST_BACKTRACE` is set.
fn plain(error: &candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => plain(inner),
        other => other.to_string(),
    }
}

/// Adds the place to an error on its way up.
pub trait Context<T> {
    /// Wraps an error with the place where it came up.
    fn at(self, place: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn at(self, place: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Error::At { place: place(), source: Box::new(e.into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_named_is_said_even_if_that_is_nothing() {
        let said = |known: &[&str]| Error::unknown("a", "is `x`", known).to_string();
        assert_eq!(said(&["b", "c"]), "a: is `x`; use one of b, c");
        assert_eq!(format!("{:?}", Error::unknown("a", "is `x`", ["b"])), said(&["b"]));
        assert_eq!(said(&["b"]), "a: is `x`; use b");
        assert_eq!(said(&[]), "a: is `x`; leave it out, there is nothing that could be named");
    }
}
