//! Tables: every row with every seed, side by side, and what comes out of them.

mod aa;
pub(crate) mod compat;
mod console;
mod job;
mod jobs;
mod protocols;
mod report;
mod results;
mod search;
mod summary;
mod tables;

pub use aa::{AaPlan, Rate, Rates, aa_test};
pub use console::Console;
pub use job::{Job, Shared, restrict, store};
pub use jobs::{Options, run};
pub use protocols::protocols;
pub use report::{Written, write, write_family, write_run};
pub use results::{Answer, Results, RowResults, RunResults};
pub use search::{Choice, Tried};
pub use summary::summary;
pub use tables::{comparison, diagnosis};
