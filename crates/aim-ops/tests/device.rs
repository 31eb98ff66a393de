//! Every operation on a CUDA device against the CPU: results, gradients, and the same bits twice.
//!
//! Needs the feature `cuda` and a device. Without one the CPU is compared with itself, which only says that the test
//! runs.

#![allow(clippy::unwrap_used)]

use std::sync::{Mutex, PoisonError};

use aim_ops::{
    Act, Conv1d, Conv2d, Kernels, Pool2d, Precision, Reduction, add, attention, avg_pool2d, backward, batch_norm_eval,
    batch_norm_train, conv1d, conv2d, cross_entropy, dropout, embedding, gelu, global_avg_pool, keep_rows, layer_norm,
    linear, linear_relu, log_softmax, max_pool2d, multi_head_attention, noisy, noisy_by_spread, relu, set_kernels,
    set_precision, soft_cross_entropy, softmax, spread, unit_rows,
    update::{AdaGrad, Adam, Averages, Moments, RmsProp, Sgd, adagrad, adam, rmsprop, sgd, together},
    weighted_cross_entropy,
};
use candle_core::{Device, Result, Tensor, Var};

/// Runs `check` on the device with each kind of its kernels, or once on the CPU.
fn on_device(check: impl Fn(&Device)) {
    // Kernels and precision are those of the process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let device = match Device::new_cuda(0) {
        Ok(device) => device,
        Err(e) => {
            eprintln!("skipped: no CUDA device: {}", e.to_string().lines().next().unwrap_or_default());
            return check(&Device::Cpu);
        }
    };
    for kernels in [Kernels::Proven, Kernels::Untried] {
        eprintln!("{kernels:?} kernels");
        set_kernels(kernels);
        check(&device);
    }
    set_kernels(Kernels::Proven);
}

/// Reproducible values in `[-1, 1)`.
fn random(shape: &[usize], seed: u64, device: &Device) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_vec(values, shape, device).unwrap()
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(got: &Tensor, want: &Tensor, tolerance: f32, what: &str) {
    assert_eq!(got.dims(), want.dims(), "{what}: shapes");
    let (got, want) = (values(got), values(want));
    let scale = want.iter().fold(1e-6_f32, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        assert!((g - w).abs() <= tolerance * scale, "{what}: element {i} is {g}, on the CPU {w} (scale {scale})");
    }
}

type Op = fn(&[Tensor]) -> Result<Tensor>;

/// The result and the gradients of a weighted sum of it.
fn run(shapes: &[&[usize]], op: Op, device: &Device) -> Vec<Tensor> {
    let random = |(i, s): (usize, &&[usize])| Var::from_tensor(&random(s, i as u64 + 1, device)).unwrap();
    let vars: Vec<Var> = shapes.iter().enumerate().map(random).collect();
    let y = op(&vars.iter().map(|v| v.as_tensor().clone()).collect::<Vec<_>>()).unwrap();
    let weights = self::random(y.dims(), 99, device);
    let gradients = backward(&(&y * weights).unwrap().sum_all().unwrap()).unwrap();
    std::iter::once(y).chain(vars.iter().map(|v| gradients.get(v).unwrap().clone())).collect()
}

const CONV: Conv2d = Conv2d { stride: 1, padding: 1, groups: 1, dilation: 1 };
const POOL: Pool2d = Pool2d { kernel: 3, stride: 2, padding: 1 };

const OPS: &[(&str, &[&[usize]], Op)] = &[
    ("conv2d", &[&[4, 16, 21, 19], &[36, 16, 3, 3]], |t| conv2d(&t[0], &t[1], None, CONV)),
    ("conv2d, stride 2 and groups", &[&[4, 16, 21, 19], &[36, 8, 3, 3], &[36]], |t| {
        conv2d(&t[0], &t[1], Some(&t[2]), Conv2d { stride: 2, groups: 2, ..CONV })
    }),
    ("conv2d, dilation", &[&[2, 5, 14, 15], &[7, 5, 3, 2], &[7]], |t| {
        conv2d(&t[0], &t[1], Some(&t[2]), Conv2d { dilation: 2, padding: 3, ..CONV })
    }),
    ("conv2d, 7x7", &[&[2, 3, 33, 31], &[8, 3, 7, 7]], |t| {
        conv2d(&t[0], &t[1], None, Conv2d { stride: 2, padding: 3, ..CONV })
    }),
    ("conv1d", &[&[3, 6, 40], &[10, 6, 5], &[10]], |t| {
        conv1d(&t[0], &t[1], Some(&t[2]), Conv1d { stride: 2, padding: 2, groups: 1, dilation: 1 })
    }),
    ("linear", &[&[3, 43, 70], &[260, 70], &[260]], |t| linear(&t[0], &t[1], Some(&t[2]))),
    ("linear without bias", &[&[130, 70], &[26, 70]], |t| linear(&t[0], &t[1], None)),
    // Rounding must put no unit on the other side of the rectifier, so sums are small beside the biases.
    ("linear and relu", &[&[130, 70], &[260, 70], &[260]], |t| {
        linear_relu(&(&t[0] * 0.05)?, &t[1], Some(&(&t[2] + t[2].detach().sign()?)?))
    }),
    ("batch norm", &[&[6, 17, 10, 21], &[17], &[17]], |t| {
        Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-3, Act::None, None)?.0)
    }),
    ("batch norm, residual, relu", &[&[6, 17, 10, 21], &[17], &[17], &[6, 17, 10, 21]], |t| {
        Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-3, Act::Relu, Some(&t[3]))?.0)
    }),
    ("batch norm, evaluation", &[&[6, 17], &[17], &[17]], |t| {
        let mean = random(&[17], 5, t[0].device());
        batch_norm_eval(&t[0], &mean, &mean.sqr()?, &t[1], &t[2], 1e-1, Act::None, None)
    }),
    ("layer norm", &[&[500, 130], &[130], &[130]], |t| layer_norm(&t[0], &t[1], &t[2], 1e-5)),
    ("attention", &[&[2, 3, 90, 20], &[2, 3, 70, 20], &[2, 3, 70, 33]], |t| {
        attention(&t[0], &t[1], &t[2], Some(&random(&[2, 1, 90, 70], 7, t[0].device())), 0.3)
    }),
    ("multi-head attention", &[&[2, 90, 60], &[2, 70, 60], &[2, 70, 99]], |t| {
        let mask = random(&[2, 1, 1, 70], 7, t[0].device());
        multi_head_attention(&t[0], &t[1], &t[2], 3, Some(&mask), 0.3)
    }),
    ("max pool", &[&[4, 9, 41, 40]], |t| max_pool2d(&t[0], POOL)),
    ("average pool", &[&[4, 9, 41, 40]], |t| avg_pool2d(&t[0], POOL)),
    ("global pool", &[&[4, 9, 41, 40]], |t| global_avg_pool(&t[0])),
    ("relu", &[&[90, 500]], |t| relu(&t[0])),
    ("gelu", &[&[90, 500]], |t| gelu(&t[0])),
    ("dropout", &[&[90, 500]], |t| dropout(&t[0], 0.3, 3)),
    ("add", &[&[90, 500], &[90, 500]], |t| add(&t[0], &t[1])),
    ("unit rows", &[&[90, 50]], |t| unit_rows(&t[0])),
    ("keep rows", &[&[9, 50]], |t| keep_rows(&t[0], &[1, 4, 8])),
    ("softmax", &[&[90, 500]], |t| softmax(&t[0])),
    ("log softmax", &[&[90, 500]], |t| log_softmax(&t[0])),
    ("embedding", &[&[30, 70]], |t| {
        embedding(&Tensor::from_iter((0..50).map(|i| i * 7 % 30_u32), t[0].device())?, &t[0])
    }),
    ("cross-entropy", &[&[50, 30]], |t| {
        let labels = Tensor::from_iter((0..50).map(|i| i * 7 % 30_u32), t[0].device())?;
        cross_entropy(&t[0], &labels, 0.1, Reduction::Mean)
    }),
    ("weighted cross-entropy", &[&[50, 30]], |t| {
        let device = t[0].device();
        let labels = Tensor::from_iter((0..50).map(|i| i * 7 % 30_u32), device)?;
        weighted_cross_entropy(&t[0], &labels, &random(&[30], 7, device).abs()?, 0.1, Reduction::Mean)
    }),
    ("soft cross-entropy", &[&[50, 30]], |t| {
        soft_cross_entropy(&t[0], &random(&[50, 30], 7, t[0].device()).abs()?, Reduction::None)
    }),
];

#[test]
fn operations_agree_with_the_cpu_and_repeat_their_bits() {
    on_device(|device| {
        for (name, shapes, op) in OPS {
            let [got, again, want] = [device, device, &Device::Cpu].map(|device| run(shapes, *op, device));
            for (i, ((got, again), want)) in got.iter().zip(&again).zip(&want).enumerate() {
                let what = if i == 0 { format!("{name}: result") } else { format!("{name}: gradient {}", i - 1) };
                assert_close(got, want, 1e-4, &what);
                assert_eq!(values(got), values(again), "{what}: not the same bits twice");
            }
        }
        for precision in [Precision::Tf32, Precision::Bf16] {
            set_precision(precision);
            for (name, shapes, op) in OPS.iter().filter(|(name, ..)| name.contains("conv") || name.contains("linear")) {
                for (got, want) in run(shapes, *op, device).iter().zip(&run(shapes, *op, &Device::Cpu)) {
                    assert_close(got, want, 2e-2, &format!("{name} in {precision:?}"));
                }
            }
        }
        set_precision(Precision::F32);
    });
}

#[test]
fn statistics_and_noise_agree_with_the_cpu() {
    on_device(|device| {
        let [on_device, on_cpu] = [device, &Device::Cpu].map(|d| {
            let (x, vector) = (random(&[6, 17, 10], 1, d), random(&[17], 2, d));
            let (_, stats) = batch_norm_train(&x, &vector, &vector, 1e-5, Act::None, None).unwrap();
            let spread = Tensor::new(&[spread(&x).unwrap() as f32], &Device::Cpu).unwrap();
            let noise = [noisy(&x, 0.5, 2., 11).unwrap(), noisy_by_spread(&x, 0.5, 1e-3, 11).unwrap()];
            [stats.mean, stats.var, spread].into_iter().chain(noise).collect::<Vec<_>>()
        });
        let names = ["mean", "variance", "spread", "noise", "noise by spread"];
        for ((got, want), what) in on_device.iter().zip(&on_cpu).zip(names) {
            assert_close(got, want, 1e-4, what);
        }
    });
}

/// A step of every rule, of variables of their own.
fn steps(device: &Device) -> Result<Vec<Var>> {
    let var = |seed| Var::from_tensor(&random(&[13, 70], seed, device).sqr()?);
    let (v, grad) = ((0..12).map(var).collect::<Result<Vec<_>>>()?, random(&[13, 70], 99, device));
    together(|| {
        let h = Sgd { lr: 0.1, momentum: 0.9, dampening: 0., weight_decay: 0.01, nesterov: true };
        sgd(&v[0], &grad, Some(&v[1]), false, h)?;
        let h = Adam { lr: 0.01, beta1: 0.9, beta2: 0.99, eps: 1e-6, weight_decay: 0.1, decoupled: true };
        adam(&v[2], &grad, Moments { m: &v[3], v: &v[4], v_max: Some(&v[5]) }, 3, h)?;
        adagrad(&v[6], &grad, &v[7], 2, AdaGrad { lr: 0.1, lr_decay: 0.1, eps: 1e-6, weight_decay: 0.01 })?;
        let h = RmsProp { lr: 0.01, alpha: 0.9, eps: 1e-2, weight_decay: 0.01, momentum: 0.9 };
        rmsprop(&v[8], &grad, Averages { square: &v[9], mean: None, momentum: Some(&v[10]) }, h)
    })?;
    Ok(v)
}

#[test]
fn updates_agree_with_the_cpu() {
    on_device(|device| {
        let (on_device, on_cpu) = (steps(device).unwrap(), steps(&Device::Cpu).unwrap());
        for (i, (got, want)) in on_device.iter().zip(&on_cpu).enumerate() {
            assert_close(got, want, 1e-5, &format!("variable {i}"));
        }
    });
}
