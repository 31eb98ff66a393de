//! One run: training, its folder, and the scores at its end.

mod checkpoint;
mod folder;
mod history;
mod identity;
mod outcome;
mod trainer;

pub use checkpoint::{Best, Checkpoint};
pub use folder::{Folder, chosen, write_atomically};
pub use history::{EpochLog, Quantity};
pub use identity::{Identity, checksum};
pub use outcome::{Judged, Outcome, judge};
pub use trainer::{Stop, Watch, network, train};
