//! What a trained network is judged by.

mod evaluation;
mod features;
mod probe;
mod projection;
mod scores;

pub use evaluation::{Evaluation, evaluate};
pub use features::{Features, contributions, features};
pub use probe::{Probe, probe};
pub use projection::{ALL, Projection};
pub use scores::{Contributions, Probes, REMOVAL, Scores};

use aim_core::Error;

/// A refusal of the statistics crate as this crate's error.
pub(crate) fn statistics(error: aim_stats::Error) -> Error {
    Error::invalid("statistics", error.to_string(), "check the runs that this number is made of")
}
