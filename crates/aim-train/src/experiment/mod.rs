//! Tables: every row with every seed, side by side, and what the runs left.

mod agenda;
mod console;
mod declared;
mod job;
mod jobs;
mod launch;
mod ledger;
mod needs;
mod place;
mod plan;
mod results;
mod search;
mod worker;

pub use agenda::{Intended, agenda, time_left};
pub use console::Console;
pub use declared::{Declared, declared};
pub use job::{Job, Shared, restrict, store};
pub use jobs::{Options, fits, run, run_by};
pub use launch::{Launcher, Local, Outcome, Wanted};
pub use ledger::Ledger;
pub use needs::{Needs, memory};
pub use results::{Answer, Results, RowResults, RunResults, TestSplit};
pub use search::{Choice, Tried};
pub use worker::Worker;
