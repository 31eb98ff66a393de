//! Tables: every row with every seed, side by side, and what the runs left.

mod console;
mod job;
mod jobs;
mod place;
mod results;
mod search;

pub use console::Console;
pub use job::{Job, Shared, restrict, store};
pub use jobs::{Options, run};
pub use results::{Answer, Results, RowResults, RunResults};
pub use search::{Choice, Tried};
