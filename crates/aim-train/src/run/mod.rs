//! One run: training, its folder, and the scores at its end.

mod checkpoint;
mod disk;
mod folder;
mod history;
mod identity;
mod outcome;
mod trainer;

pub use checkpoint::{Best, Checkpoint};
pub(crate) use disk::lock;
pub use disk::write_atomically;
pub use folder::{Folder, chosen};
pub use history::{EpochLog, Quantity};
pub use identity::{Identity, checksum};
pub use outcome::{Judged, Outcome, judge};
pub use trainer::{Control, Stop, Watch, network, train};
