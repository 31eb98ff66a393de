//! Reasons for which the bytes of a picture are refused.

use crate::Error;

/// Fault of an encoded picture, before it is known where the bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes end before the picture does.
    Truncated,
    /// The bytes contradict their own format.
    Corrupt(String),
    /// A kind of picture that is not read, and the action that helps.
    Unread(String, &'static str),
}

impl Fault {
    /// A fault of bytes that contradict their format.
    pub(super) fn corrupt(problem: impl ToString) -> Self {
        Self::Corrupt(problem.to_string())
    }

    /// A fault of a kind that is not read, where saving the picture anew helps.
    pub(super) fn unread(problem: impl ToString) -> Self {
        Self::Unread(problem.to_string(), "save it as a usual JPEG (8 bits, Huffman coding) or as PNG")
    }

    /// The error about a file.
    pub(super) fn at(self, place: &str) -> Error {
        match self {
            Self::Truncated => Error::new(place, "the file ends in the middle of the picture", FETCH_AGAIN),
            Self::Corrupt(problem) => Error::new(place, format!("the picture is damaged: {problem}"), FETCH_AGAIN),
            Self::Unread(problem, remedy) => Error::new(place, problem, remedy),
        }
    }
}

const FETCH_AGAIN: &str = "copy or download the file again, or take it out of the manifest";
