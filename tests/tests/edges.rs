//! Batches at the edge of what methods meet: one sample, one class, inputs of zeros, samples that are all alike.

use aim_core::Batch;
use aim_tests::{
    Course, World,
    cases::{active, section},
    fusion, requires,
};
use candle_core::{DType, Device, Tensor};

/// Methods that these batches must leave finite.
const METHODS: [&str; 10] = ["dgl", "tcmax", "mcr", "cggm", "masam", "asgml", "iprm", "remix", "aug", "di-mml"];

/// The settings under which a method acts in its first epoch.
fn acting(name: &str) -> String {
    if name == "remix" { section(name, "warmup: 0") } else { active(name) }
}

/// Batches at the edge, by what is special about them.
fn edges(world: &World) -> Vec<(&'static str, Batch)> {
    let of = |samples: &[usize]| world.data.train.batch(samples, &Device::Cpu).unwrap();
    let (mut one_class, mut zeros) = (of(&[0, 1, 2, 3, 4, 5]), of(&[0, 1, 2, 3, 4, 5]));
    one_class.labels = Tensor::zeros(6, DType::U32, &Device::Cpu).unwrap();
    zeros.inputs.iter_mut().for_each(|x| x.values = x.values.zeros_like().unwrap());
    vec![("one sample", of(&[0])), ("one class", one_class), ("zeros", zeros), ("equal samples", of(&[3, 3, 3, 3]))]
}

#[test]
fn batches_at_the_edge_leave_weights_and_answers_finite() {
    let world = World::two(20, "name: mlp, widths: [8, 8]", "{epochs: 3, batch: 10}");
    for name in METHODS {
        let card = aim_balance::builtin().get(name, "method").unwrap();
        let needs = requires(card);
        let config = world.config(&acting(name), needs, fusion(needs)).unwrap();
        for (what, batch) in edges(&world) {
            let mut course = Course::new(&config, &world.data, 0).unwrap();
            for _ in 0..3 {
                course.step(&batch).unwrap_or_else(|error| panic!("{name}, {what}: {error}"));
            }
            let answers = course.answers(&batch).unwrap();
            assert!(answers.iter().flatten().all(|x| x.is_finite()), "{name}, {what}: {answers:?}");
            assert!(course.loss().unwrap().is_finite(), "{name}, {what}");
        }
    }
}
