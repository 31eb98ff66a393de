//! One run: training, its folder, and the scores at its end.

mod checkpoint;
mod checksum;
mod disk;
mod folder;
mod history;
mod outcome;
mod program;
mod tensorboard;
mod timing;
mod trainer;

pub use checkpoint::{Best, Checkpoint};
pub use checksum::checksum;
pub(crate) use disk::lock;
pub use disk::write_atomically;
pub use folder::{Folder, chosen};
pub use history::{EpochLog, Quantity};
pub use outcome::{Judged, Majority, Outcome, Stopped, judge};
pub use program::Program;
pub use timing::Timing;
pub use trainer::{Control, Run, Stop, Watch, learner, network, splits, train};
