//! One run: training, its folder, the scores at its end, and its answers for new samples.

mod card;
mod checkpoint;
mod checksum;
mod disk;
mod export;
mod failure;
mod folder;
mod history;
mod lease;
mod merged;
mod outcome;
mod predict;
mod preprocessing;
mod program;
mod tensorboard;
mod timing;
mod trained;
mod trainer;
mod weights;

pub use checkpoint::{Best, Checkpoint};
pub use checksum::checksum;
pub use disk::write_atomically;
pub(crate) use disk::{Lock, lock};
pub use export::{export, export_merged};
pub use failure::Failure;
pub use folder::{Folder, chosen};
pub use history::{EpochLog, Quantity};
pub use lease::{Holder, holder};
pub use outcome::{Judged, Lacking, Majority, Outcome, Stopped, judge};
pub use predict::{Predicted, predict};
pub use preprocessing::Preprocessing;
pub use program::Program;
pub use timing::Timing;
pub use trained::{Trained, identity};
pub use trainer::{Control, Run, Stop, Watch, learner, network, splits, train};
pub use weights::PublicWeights;
