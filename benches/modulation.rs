//! What modulation costs: the whole step of each method, to be read as a ratio to `joint`.
//!
//! ```text
//! cargo bench -p aim-benches --bench modulation [-- FILTER]
//! ```
#![allow(clippy::expect_used, missing_docs, reason = "a benchmark that cannot be built should say why")]

use std::time::Duration;

use aim_benches::{Preset, Training};
use candle_core::Device;
use criterion::{Criterion, criterion_group, criterion_main};

/// Variants of methods that cost less than their defaults; prototypes, which are learnt before an epoch, are kept
/// short.
const VARIANTS: [(&str, &str); 3] = [
    ("aim", "{name: aim, dap_steps: 1}"),
    ("aim, scope dominant", "{name: aim, scope: dominant, dap_steps: 1}"),
    ("aim, aux_fraction 0.25", "{name: aim, aux_fraction: 0.25, dap_steps: 1}"),
];

fn steps(c: &mut Criterion, preset: &str, seconds: u64) {
    let preset = Preset::named(preset).expect("the preset");
    let mut group = c.benchmark_group(preset.name);
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(seconds));
    let whole = |name: &&str| !matches!(*name, "unimodal" | "aim");
    let cards = aim_balance::builtin().iter().map(|card| card.name()).filter(whole);
    for (name, method) in cards.map(|name| (name, name)).chain(VARIANTS) {
        // Made when it is wanted: what methods do before an epoch takes a while, and a filter may leave them out.
        let mut made = None;
        let make = || Training::new(preset, method, preset.batch, &Device::Cpu).expect("the method fits the network");
        group.bench_function(name, |b| {
            let training = made.get_or_insert_with(make);
            b.iter(|| training.step().expect("a step"));
        });
    }
    group.finish();
}

fn modulation(c: &mut Criterion) {
    steps(c, "cnn-av", 2);
    steps(c, "resnet18-av", 15);
}

criterion_group!(benches, modulation);
criterion_main!(benches);
