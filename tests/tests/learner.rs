//! The training loop by itself: it stops behind any step, also within an epoch, and goes on with the same bits.

use std::ops::ControlFlow::{Break, Continue};

use aim_core::{State, Stateful};
use aim_data::Splits;
use aim_tests::World;
use aim_train::{Learner, config::RunConfig, run::learner};
use candle_core::Device;

const BATCH: usize = 20;

/// A method that adds showings to its epochs, under a schedule that moves the learning rate with each update.
fn config(world: &World) -> RunConfig {
    let method = "{name: valuation, level: modality, warmup: 0, alpha: 1}";
    let mut config = world.config(method, aim_balance::Requirements::NONE, "concat").unwrap();
    config.schedule = aim_optim::schedule(aim_optim::WarmupCosine { warmup_steps: 2, ..Default::default() });
    config
}

fn bits(state: &State) -> Vec<(String, Vec<u8>)> {
    let bytes = |t: &candle_core::Tensor| safetensors::View::data(t).into_owned();
    state.0.iter().map(|(name, t)| (name.clone(), bytes(t))).collect()
}

#[test]
fn a_learner_that_is_stopped_behind_any_step_goes_on_with_the_same_bits() {
    stops_and_goes_on("{epochs: 3, batch: 20}");
    stops_and_goes_on("{epochs: 3, batch: 20, accumulate: 2}");
}

fn stops_and_goes_on(train: &str) {
    let world = World::two(40, "name: mlp, widths: [8]", train);
    let config = config(&world);
    let splits = Splits::new(&world.data, BATCH, &Device::Cpu);
    let fresh = || learner(&config, &world.data, 0, &Device::Cpu).unwrap();
    let steps = |learner: &mut Learner, end: usize| {
        let mut clocks = vec![];
        learner
            .run(&splits, |clock, report| {
                assert!(report.values("loss").unwrap().is_some());
                clocks.push(clock);
                Ok(if clock.step + 1 == end { Break(()) } else { Continue(()) })
            })
            .unwrap();
        clocks
    };
    let mut whole = fresh();
    let clocks = steps(&mut whole, usize::MAX);
    assert!(whole.is_done() && clocks.iter().any(|c| c.steps_per_epoch > 2), "epochs have extras: {clocks:?}");
    for end in 1..clocks.len() {
        let mut stopped = fresh();
        let mut seen = steps(&mut stopped, end);
        let state = stopped.state().unwrap();
        // Later steps do not change what was taken, and the state is all there is.
        steps(&mut stopped, end + 1);
        let mut resumed = fresh();
        resumed.load(&state).unwrap();
        assert_eq!((seen.len(), resumed.steps()), (end, end));
        seen.extend(steps(&mut resumed, usize::MAX));
        assert_eq!(seen, clocks);
        assert!(bits(&resumed.state().unwrap()) == bits(&whole.state().unwrap()), "stopped behind step {end}");
    }
}

#[test]
fn an_error_of_the_observer_ends_training_behind_the_step() {
    let world = World::two(40, "name: mlp, widths: [8]", "{epochs: 3, batch: 20}");
    let config = config(&world);
    let mut learner = learner(&config, &world.data, 0, &Device::Cpu).unwrap();
    let splits = Splits::new(&world.data, BATCH, &Device::Cpu);
    let stopped = learner.run(&splits, |_, _| Err(aim_core::Error::Stopped));
    assert!(stopped.unwrap_err().is_stop() && learner.steps() == 1);
}
