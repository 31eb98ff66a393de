//! What training is said to take of the memory is what it takes.

use std::{alloc::System, time::Duration};

use aim_balance::Requirements;
use aim_ops::memory::{Counted, peak};
use aim_tests::{World, train_run};
use aim_train::{
    config::Identity,
    experiment::Needs,
    run::{EpochLog, Folder, Stop, Watch},
    standard,
};

#[global_allocator]
static ALLOCATOR: Counted<System> = Counted(System);

struct Silent;

impl Watch for Silent {
    fn epoch(&self, _: &EpochLog, _: usize, _: f64) {}
    fn say(&self, _: &str) {}
}

/// All in one: there is one count in a process.
#[test]
fn the_memory_that_is_told_before_training_is_what_training_takes() {
    for (encoder, optimizer, batch) in [
        // Activations decide, then weights and the optimizer's state.
        ("name: cnn, widths: [64, 64]", "{name: sgd, lr: 0.01}", 96),
        ("name: cnn, widths: [128, 64]", "{name: adam, lr: 0.001}", 48),
        ("name: mlp, widths: [900, 900]", "{name: adam, lr: 0.001}", 32),
    ] {
        let world = World::two(192, encoder, &format!("{{epochs: 3, batch: {batch}}}")).optimizer(optimizer);
        let config = world.config("joint", Requirements::NONE, "concat").unwrap();
        let told = Needs::of(&config, &world.data);
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::new(&config, 0, 0);
        let folder = Folder::open(&folder.path().join("run"), &identity, standard()).unwrap();
        let watched = (&Silent as _, &Stop::default());
        let (done, held) = peak(|| train_run((&config, 0), &world.data, &folder, watched, Duration::ZERO));
        done.unwrap();
        let ratio = told.training.max(told.evaluation) as f64 / held.most as f64;
        println!("{encoder}: told {told:?}, took {held:?}, ratio {ratio:.2}");
        assert!((0.85..1.3).contains(&ratio), "{encoder}: told {told:?}, took {held:?}");
    }
}
