//! What takes longer than a change should wait for.

use crate::{Check, Outcome, cargo, run};

/// The long checks in their order.
pub const CHECKS: [Check; 2] = [("long tests", ignored), ("1,000 kills", kills)];

/// Tests that are left out of the test command.
fn ignored() -> Outcome {
    run(&mut cargo("test --release --workspace -- --ignored --nocapture"))
}

fn kills() -> Outcome {
    run(cargo("test --release --workspace --test kill").env("AIM_KILLS", "1000"))
}
