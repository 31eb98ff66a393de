//! Forward and backward of each operation; `cargo xtask bench ops` sets the same operations against the machine's
//! limits.
//!
//! ```text
//! cargo bench -p aim-benches --bench ops
//! ```
#![allow(clippy::expect_used, missing_docs, reason = "a benchmark that cannot be built should say why")]

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

fn operations(c: &mut Criterion) {
    for case in aim_benches::cases().expect("data for the operations") {
        c.bench_function(&case.name, |b| b.iter(|| case.run().expect("the operation")));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = operations
}
criterion_main!(benches);
