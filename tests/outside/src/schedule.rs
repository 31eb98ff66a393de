//! A schedule that halves the rate again and again.

use aim_config::{at_least, settings};
use aim_optim::{ByEpoch, Schedule, ScheduleInfo, ScheduleSettings};

settings! {
    /// Settings of the schedule `halving`.
    pub struct Halving {
        /// Distance between two halvings.
        pub every: usize = 2 => at_least(1).unit("epochs"), "ours";
    }
}

impl ScheduleSettings for Halving {
    fn info(&self) -> &'static ScheduleInfo {
        &ScheduleInfo { name: "halving", about: "half the rate every `every` epochs" }
    }
    fn build(&self, _: usize) -> Box<dyn Schedule> {
        let every = self.every;
        Box::new(ByEpoch(move |epoch| 0.5f64.powi((epoch / every) as i32)))
    }
}
