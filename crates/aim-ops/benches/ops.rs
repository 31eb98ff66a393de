//! Forward and backward of each operation: `cargo bench -p aim-ops`.

#![allow(clippy::panic)] // a benchmark whose operation fails can do nothing better

use std::{hint::black_box, time::Duration};

use aim_ops::{Act, Conv2d, Pool2d, Reduction, update};
use candle_core::{Device, Result, Tensor, Var};
use criterion::{Criterion, criterion_group, criterion_main};

fn random(shape: &[usize]) -> Result<Var> {
    Var::randn(0f32, 1., shape, &Device::Cpu)
}

/// Times `f` on inputs of the given shapes together with the gradients of all of them.
fn step(c: &mut Criterion, name: &str, shapes: &[&[usize]], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let vars = shapes.iter().map(|s| random(s)).collect::<Result<Vec<_>>>();
    let vars = vars.unwrap_or_else(|e| panic!("{name}: {e}"));
    let inputs: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    c.bench_function(name, |b| {
        b.iter(|| f(&inputs).and_then(|y| y.backward()).map(black_box).unwrap_or_else(|e| panic!("{name}: {e}")));
    });
}

/// (channels, filters, side, kernel, stride) of a batch of 8.
const CONVS: &[[usize; 5]] = &[
    [64, 64, 56, 3, 1],
    [128, 128, 28, 3, 1],
    [256, 256, 14, 3, 1],
    [512, 512, 7, 3, 1],
    [64, 128, 56, 3, 2],
    [64, 128, 56, 1, 2],
];

fn convolutions(c: &mut Criterion) {
    for &[i, o, side, k, stride] in CONVS {
        let p = Conv2d { stride, padding: k / 2, ..Conv2d::default() };
        step(c, &format!("conv {i}->{o} {k}x{k}/{stride} at {side}"), &[&[8, i, side, side], &[o, i, k, k]], |t| {
            aim_ops::conv2d(&t[0], &t[1], None, p)
        });
    }
    let p = Conv2d { stride: 2, padding: 3, ..Conv2d::default() };
    let image = random(&[8, 3, 224, 224]).map(|v| v.as_detached_tensor()).unwrap_or_else(|e| panic!("{e}"));
    step(c, "conv 3->64 7x7/2 at 224, weights only", &[&[64, 3, 7, 7]], |t| aim_ops::conv2d(&image, &t[0], None, p));
    step(c, "conv 16->32 3x3/2 at 13x26, batch 64", &[&[64, 16, 13, 26], &[32, 16, 3, 3]], |t| {
        aim_ops::conv2d(&t[0], &t[1], None, Conv2d { stride: 2, padding: 1, ..Conv2d::default() })
    });
}

fn layers(c: &mut Criterion) {
    let image: &[usize] = &[8, 64, 56, 56];
    step(c, "batch norm", &[image, &[64], &[64]], |t| {
        Ok(aim_ops::batch_norm_train(&t[0], &t[1], &t[2], 1e-5, Act::None, None)?.0)
    });
    step(c, "batch norm + residual + relu", &[image, &[64], &[64], image], |t| {
        Ok(aim_ops::batch_norm_train(&t[0], &t[1], &t[2], 1e-5, Act::Relu, Some(&t[3]))?.0)
    });
    step(c, "relu", &[image], |t| aim_ops::relu(&t[0]));
    let p = Pool2d { kernel: 3, stride: 2, padding: 1 };
    step(c, "max pool 3/2 at 112", &[&[8, 64, 112, 112]], |t| aim_ops::max_pool2d(&t[0], p));
    step(c, "linear 64x256->256", &[&[64, 256], &[256, 256], &[256]], |t| aim_ops::linear(&t[0], &t[1], Some(&t[2])));
    step(c, "linear 1576x192->768", &[&[1576, 192], &[768, 192], &[768]], |t| {
        aim_ops::linear(&t[0], &t[1], Some(&t[2]))
    });
    step(c, "layer norm 1576x192", &[&[1576, 192], &[192], &[192]], |t| aim_ops::layer_norm(&t[0], &t[1], &t[2], 1e-5));
    step(c, "gelu 1576x768", &[&[1576, 768]], |t| aim_ops::gelu(&t[0]));
    let head: &[usize] = &[8, 3, 197, 64];
    step(c, "attention 8x3x197x64", &[head, head, head], |t| aim_ops::attention(&t[0], &t[1], &t[2], None, 0.125));
    let labels: Vec<u32> = (0..512).map(|i| i % 51).collect();
    let labels = Tensor::new(labels, &Device::Cpu).unwrap_or_else(|e| panic!("{e}"));
    step(c, "cross-entropy 512x51", &[&[512, 51]], |t| aim_ops::cross_entropy(&t[0], &labels, 0., Reduction::Mean));
}

fn updates(c: &mut Criterion) {
    let vars = (0..4).map(|_| random(&[11_000_000])).collect::<Result<Vec<_>>>();
    let vars = vars.unwrap_or_else(|e| panic!("{e}"));
    let sgd = update::Sgd { lr: 1e-3, momentum: 0.9, dampening: 0., weight_decay: 1e-4, nesterov: false };
    c.bench_function("sgd, 11 M parameters", |b| {
        b.iter(|| update::sgd(&vars[0], &vars[1], Some(&vars[2]), false, sgd))
    });
    let adam = update::Adam { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0., decoupled: false };
    let moments = update::Moments { m: &vars[2], v: &vars[3], v_max: None };
    c.bench_function("adam, 11 M parameters", |b| b.iter(|| update::adam(&vars[0], &vars[1], moments, 10, adam)));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = convolutions, layers, updates
}
criterion_main!(benches);
