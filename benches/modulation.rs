//! What modulation costs: the whole step of each method, to be read as a ratio to `joint`.
//!
//! ```text
//! cargo bench -p aim-benches
//! ```
#![allow(clippy::expect_used, missing_docs, reason = "a benchmark that cannot be built should say why")]

use aim_benches::CnnAv;
use criterion::{Criterion, criterion_group, criterion_main};

const METHODS: [(&str, &str); 6] = [
    ("joint", "{name: joint}"),
    ("ogm", "{name: ogm}"),
    ("ogm-ge", "{name: ogm-ge}"),
    ("aim-dominant", "{name: aim, scope: dominant}"),
    ("aim", "{name: aim}"),
    ("aim, aux_fraction 0.25", "{name: aim, aux_fraction: 0.25}"),
];

fn cnn_av(c: &mut Criterion) {
    let mut group = c.benchmark_group("cnn-av");
    group.sample_size(30);
    for (name, method) in METHODS {
        let mut step = CnnAv::new(method).expect("the method fits the network");
        group.bench_function(name, |b| b.iter(|| step.step().expect("a step")));
    }
    group.finish();
}

criterion_group!(benches, cnn_av);
criterion_main!(benches);
