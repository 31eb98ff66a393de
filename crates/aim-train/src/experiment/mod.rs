//! Tables: every row with every seed, side by side, and what comes out of them.

mod aa;
mod console;
mod job;
mod jobs;
mod report;
mod results;
mod search;
mod tables;

pub use aa::{AaPlan, Rate, Rates, aa_test};
pub use console::Console;
pub use job::{Job, Shared, restrict, store};
pub use jobs::{Options, run};
pub use report::{Written, write};
pub use results::{Results, RowResults, RunResults};
pub use search::{Choice, Tried};
pub use tables::{comparison, diagnosis};
