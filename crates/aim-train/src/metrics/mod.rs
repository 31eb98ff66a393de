//! What a trained network is judged by.

mod evaluation;
mod features;
mod metric;
mod plain;
mod probe;
mod projection;
mod scores;

pub(crate) use evaluation::{BATCH, batch as evaluation_batch, classes};
pub use evaluation::{Evaluation, evaluate};
pub use features::{Features, check_modalities, contributions, features};
pub use metric::{ACCURACY, BALANCED_ACCURACY, LOSS, MACRO_F1, Metric, Metrics, builtin};
pub use probe::{Probe, probe};
pub use projection::{ALL, Projection};
pub use scores::{Contributions, Probes, REMOVAL, REMOVAL_INSIDE, Scores};

use aim_core::Error;

use plain::Plain;

/// A refusal of the statistics crate as an error of the workspace.
pub fn statistics(error: aim_stats::Error) -> Error {
    Error::invalid("statistics", error.to_string(), "check the runs that this number is made of")
}
