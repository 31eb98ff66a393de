//! The kernels and the code around them against the compositions of candle's operations, in the emulator.

use std::sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed};

use candle_core::{Device, Result, Tensor, Var};

use super::{
    batch_norm::noisy_by_spread,
    elementwise::{channel_sum, dropout, embedding, gelu, noisy, relu},
    emulator::{DESCENDING, available, kernels},
    linear::{add_bias, linear, linear_with},
    norm::{batch_norm_eval, batch_norm_train, layer_norm},
    pool::{avg_pool2d, global_avg_pool, max_pool2d},
    softmax::{attention, attention_by, cross_entropy, log_softmax, soft_cross_entropy, softmax},
    update::{adagrad, adam, rmsprop, sgd, together},
};
use crate::{
    Act, Kernels, Pool2d, Precision, compose, set_kernels,
    tests::{assert_agree, assert_close, check_gradients, random, scattered, values},
    update::{AdaGrad, Adam, Averages, Moments, RmsProp, Sgd},
};

/// Runs `check` with the threads of a block in the given orders, descending or not, and with these kernels.
fn in_ways(ways: &[(bool, Kernels)], check: impl Fn()) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    if !available() {
        return;
    }
    let _alone: MutexGuard<'_, ()> = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for (descending, kernels) in ways {
        DESCENDING.store(*descending, Relaxed);
        set_kernels(*kernels);
        check();
    }
    set_kernels(Kernels::Proven);
}

/// For operations with the same kernels of both kinds.
fn in_both_orders(check: impl Fn()) {
    in_ways(&[(false, Kernels::Proven), (true, Kernels::Untried)], check);
}

/// For operations whose kernels differ.
fn in_all_ways(check: impl Fn()) {
    in_ways(&[(true, Kernels::Proven), (false, Kernels::Untried)], &check);
    in_both_orders(check);
}

type Op = fn(&[Tensor]) -> Result<Tensor>;

/// Output and gradients of `fast` agree with those of `reference`, whatever the layout.
fn agree(shapes: &[&[usize]], fast: Op, reference: Op) {
    in_both_orders(|| agree_now(shapes, fast, reference));
}

fn agree_now(shapes: &[&[usize]], fast: Op, reference: Op) {
    let inputs: Vec<Tensor> = shapes.iter().enumerate().map(|(i, s)| random(s, i as u64 + 1)).collect();
    assert_agree(&inputs, 2e-5, fast, reference);
    let moved: Vec<Tensor> = inputs.iter().map(scattered).collect();
    assert_eq!(values(&fast(&moved).unwrap()), values(&fast(&inputs).unwrap()), "layout");
}

#[test]
fn activations() {
    agree(&[&[7, 31]], |t| relu(&t[0]), |t| compose::relu(&t[0]));
    agree(&[&[7, 31]], |t| gelu(&t[0]), |t| compose::gelu(&t[0]));
    in_both_orders(|| {
        let x = Tensor::new(&[f32::NAN, -1., 0.], &Device::Cpu).unwrap();
        let y = values(&relu(&x).unwrap());
        assert!(y[0].is_nan() && y[1..] == [0., 0.]);
    });
}

#[test]
fn dropout_and_noise_draw_as_on_the_cpu() {
    agree(&[&[13, 29]], |t| dropout(&t[0], crate::activation::Kept::new(0.3, 5)), |t| crate::dropout(&t[0], 0.3, 5));
    in_both_orders(|| {
        let (x, key) = (random(&[3, 50], 1), crate::random::key(9));
        let want = crate::noisy(&x, 0.5, 2., 9).unwrap();
        assert_close(&noisy(&x, 0.5, 2., key).unwrap(), &want, 1e-6, "noise");
        for shape in [&[1][..], &[5, 61], &[700]] {
            let x = random(shape, 2);
            let want = crate::noisy_by_spread(&x, 0.5, 1e-2, 9).unwrap();
            let got = noisy_by_spread(&x, 0.5, 1e-2, key).unwrap().unwrap();
            assert_close(&got, &want, 1e-5, "noise by spread");
        }
    });
}

#[test]
fn linear_maps() {
    agree(
        &[&[5, 3, 7], &[70, 7], &[70]],
        |t| linear("linear", &t[0], &t[1], Some(&t[2]), Act::None),
        |t| compose::linear(&t[0], &t[1], Some(&t[2])),
    );
    agree(
        &[&[66, 7], &[9, 7], &[9]],
        |t| linear("linear", &t[0], &t[1], Some(&t[2]), Act::Relu),
        |t| compose::relu(&compose::linear(&t[0], &t[1], Some(&t[2]))?),
    );
    agree(
        &[&[6, 7], &[9, 7]],
        |t| linear("linear", &t[0], &t[1], None, Act::Relu),
        |t| compose::relu(&compose::linear(&t[0], &t[1], None)?),
    );
}

#[test]
fn products_of_rounded_operands() {
    let inputs = [random(&[6, 70], 1), random(&[9, 70], 2), random(&[9], 3)];
    let rounded = |t: &[Tensor]| linear_with(Precision::Bf16, "linear", &t[0], &t[1], t.get(2), Act::None);
    in_both_orders(|| {
        assert_agree(&inputs, 2e-2, rounded, |t| compose::linear(&t[0], &t[1], Some(&t[2])));
        assert_agree(&inputs[..2], 2e-2, rounded, |t| compose::linear(&t[0], &t[1], None));
        let exact = compose::linear(&inputs[0], &inputs[1], None).unwrap();
        let got = rounded(&inputs[..2]).unwrap();
        assert!(values(&exact) != values(&got), "the operands were not rounded");
    });
}

#[test]
fn biases_of_channels() {
    in_both_orders(|| {
        let (x, bias) = (random(&[3, 5, 4, 7], 1), random(&[5], 2));
        let want = x.broadcast_add(&bias.reshape((1, 5, 1, 1)).unwrap()).unwrap();
        let y = add_bias(&x, &bias, [5, 28], Act::None).unwrap().tensor().unwrap();
        assert_close(&y, &want, 1e-6, "bias");
        let sums = x.sum((0, 2, 3)).unwrap();
        assert_close(&channel_sum(&x, [3, 5, 28]).unwrap(), &sums, 1e-5, "sum over planes");
        let flat = random(&[130, 45], 3);
        assert_close(&channel_sum(&flat, [130, 45, 1]).unwrap(), &flat.sum(0).unwrap(), 1e-5, "sum over rows");
    });
}

const SHAPES: &[&[usize]] = &[&[4, 3], &[5, 3, 7], &[3, 4, 5, 5], &[2, 70, 2, 3], &[9, 2, 4, 4]];

#[test]
fn batch_norm() {
    for shape in SHAPES {
        let c = &[shape[1]][..];
        let shapes = &[shape, c, c, shape];
        in_all_ways(|| {
            agree_now(
                &shapes[..3],
                |t| Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-3, Act::None, None)?.0),
                |t| Ok(compose::batch_norm_train(&t[0], &t[1], &t[2], 1e-3, Act::None, None)?.0),
            );
            agree_now(
                shapes,
                |t| Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-3, Act::Relu, Some(&t[3]))?.0),
                |t| Ok(compose::batch_norm_train(&t[0], &t[1], &t[2], 1e-3, Act::Relu, Some(&t[3]))?.0),
            );
            agree_now(
                shapes,
                |t| {
                    let (mean, var) = (random(t[1].dims(), 8), random(t[1].dims(), 9).sqr()?);
                    batch_norm_eval(&t[0], &mean, &var, &t[1], &t[2], 1e-2, Act::Relu, Some(&t[3]))
                },
                |t| {
                    let (mean, var) = (random(t[1].dims(), 8), random(t[1].dims(), 9).sqr()?);
                    compose::batch_norm_eval(&t[0], &mean, &var, &t[1], &t[2], 1e-2, Act::Relu, Some(&t[3]))
                },
            );
            let (x, vector) = (random(shape, 1), random(c, 2));
            let (_, got) = batch_norm_train(&x, &vector, &vector, 1e-3, Act::None, None).unwrap();
            let (_, want) = compose::batch_norm_train(&x, &vector, &vector, 1e-3, Act::None, None).unwrap();
            assert_close(&got.mean, &want.mean, 1e-5, "mean");
            assert_close(&got.var, &want.var, 1e-5, "variance");
            assert_eq!(got.count, want.count);
        });
    }
}

#[test]
fn layer_norms() {
    for shape in [&[5, 9][..], &[2, 3, 130], &[70, 33]] {
        let width = &shape[shape.len() - 1..];
        agree(
            &[shape, width, width],
            |t| layer_norm(&t[0], &t[1], &t[2], 1e-5),
            |t| compose::layer_norm(&t[0], &t[1], &t[2], 1e-5),
        );
    }
}

/// The signs of `x`, with the gradient of `x` itself.
fn signs(x: &Tensor) -> Result<Tensor> {
    (x - x.detach())? + x.detach().sign()?
}

#[test]
fn pools() {
    const P: [Pool2d; 4] = [
        Pool2d { kernel: 3, stride: 2, padding: 1 },
        Pool2d { kernel: 2, stride: 3, padding: 0 },
        Pool2d { kernel: 4, stride: 1, padding: 2 },
        Pool2d { kernel: 5, stride: 2, padding: 2 },
    ];
    let shape: &[&[usize]] = &[&[2, 3, 9, 7]];
    agree(shape, |t| max_pool2d(&t[0], P[0]), |t| compose::max_pool2d(&t[0], P[0]));
    agree(shape, |t| max_pool2d(&t[0], P[1]), |t| compose::max_pool2d(&t[0], P[1]));
    agree(shape, |t| max_pool2d(&t[0], P[2]), |t| compose::max_pool2d(&t[0], P[2]));
    agree(shape, |t| max_pool2d(&t[0], P[3]), |t| compose::max_pool2d(&t[0], P[3]));
    agree(shape, |t| avg_pool2d(&t[0], P[0]), |t| compose::avg_pool2d(&t[0], P[0]));
    agree(shape, |t| avg_pool2d(&t[0], P[1]), |t| compose::avg_pool2d(&t[0], P[1]));
    agree(shape, |t| avg_pool2d(&t[0], P[2]), |t| compose::avg_pool2d(&t[0], P[2]));
    agree(shape, |t| avg_pool2d(&t[0], P[3]), |t| compose::avg_pool2d(&t[0], P[3]));
    agree(shape, |t| global_avg_pool(&t[0]), |t| compose::global_avg_pool(&t[0]));
    in_both_orders(|| {
        for nan in [0, 4, 8] {
            let x: Vec<f32> = (0..9).map(|i| if i == nan { f32::NAN } else { i as f32 }).collect();
            let x = Tensor::from_vec(x, (1, 1, 3, 3), &Device::Cpu).unwrap();
            let y = max_pool2d(&x, Pool2d { kernel: 3, stride: 1, padding: 0 }).unwrap();
            assert!(values(&y)[0].is_nan(), "NaN as element {nan} is lost");
        }
    });
    // Equal elements: the first one gets the gradient.
    agree(shape, |t| max_pool2d(&signs(&t[0])?, P[0]), |t| compose::max_pool2d(&signs(&t[0])?, P[0]));
}

#[test]
fn softmaxes() {
    for shape in [&[4, 3][..], &[2, 3, 130]] {
        agree(&[shape], |t| softmax(&(&t[0] * 9.)?), |t| compose::softmax(&(&t[0] * 9.)?));
        agree(&[shape], |t| log_softmax(&(&t[0] * 9.)?), |t| compose::log_softmax(&(&t[0] * 9.)?));
    }
}

fn labels(n: usize) -> Result<Tensor> {
    Tensor::from_iter((0..n).map(|i| (i * 5 % 7) as u32), &Device::Cpu)
}

#[test]
fn losses() {
    let shape: &[&[usize]] = &[&[11, 70]];
    agree(shape, |t| cross_entropy(&t[0], &labels(11)?, 0.), |t| compose::cross_entropy(&t[0], &labels(11)?, 0.));
    agree(shape, |t| cross_entropy(&t[0], &labels(11)?, 0.2), |t| compose::cross_entropy(&t[0], &labels(11)?, 0.2));
    agree(
        shape,
        |t| soft_cross_entropy(&t[0], &random(&[11, 70], 3).abs()?),
        |t| compose::soft_cross_entropy(&t[0], &random(&[11, 70], 3).abs()?),
    );
    in_both_orders(|| {
        let (x, bad) = (random(&[2, 3], 1), Tensor::new(&[1u32, 3], &Device::Cpu).unwrap());
        let loss = values(&cross_entropy(&x, &bad, 0.).unwrap());
        assert!(loss[0].is_finite() && loss[1].is_nan(), "a label out of range is NaN");
    });
}

#[test]
fn attentions() {
    let shapes: &[&[usize]] = &[&[2, 3, 9, 4], &[2, 3, 7, 4], &[2, 3, 7, 5]];
    agree(
        shapes,
        |t| attention(&t[0], &t[1], &t[2], None, 0.5),
        |t| compose::attention(&t[0], &t[1], &t[2], None, 0.5),
    );
    agree(
        shapes,
        |t| attention(&t[0], &t[1], &t[2], Some(&random(&[2, 1, 9, 7], 4)), 0.5),
        |t| compose::attention(&t[0], &t[1], &t[2], Some(&random(&[2, 1, 9, 7], 4)), 0.5),
    );
    agree(
        shapes,
        |t| attention(&t[0], &t[1], &t[2], Some(&random(&[1, 7], 4)), 0.5),
        |t| compose::attention(&t[0], &t[1], &t[2], Some(&random(&[1, 7], 4)), 0.5),
    );
}

#[test]
fn attention_over_a_few_queries_at_a_time() {
    let shapes: &[&[usize]] = &[&[2, 3, 10, 4], &[2, 3, 7, 4], &[2, 3, 7, 5]];
    // Three queries of 2 x 3 heads and 7 keys: four runs, the last of one query.
    const SCORES: usize = 3 * 2 * 3 * 7;
    fn parts(t: &[Tensor]) -> [&Tensor; 3] {
        [&t[0], &t[1], &t[2]]
    }
    agree(
        shapes,
        |t| attention_by(parts(t), None, 0.5, SCORES),
        |t| compose::attention(&t[0], &t[1], &t[2], None, 0.5),
    );
    agree(
        shapes,
        |t| attention_by(parts(t), Some(&random(&[2, 1, 10, 7], 4)), 0.5, SCORES),
        |t| compose::attention(&t[0], &t[1], &t[2], Some(&random(&[2, 1, 10, 7], 4)), 0.5),
    );
    agree(
        shapes,
        |t| attention_by(parts(t), Some(&random(&[1, 7], 4)), 0.5, SCORES),
        |t| compose::attention(&t[0], &t[1], &t[2], Some(&random(&[1, 7], 4)), 0.5),
    );
}

#[test]
fn embeddings() {
    let ids = || Tensor::new(&[[1u32, 4, 1], [0, 4, 4]], &Device::Cpu);
    in_both_orders(|| {
        let table = [random(&[6, 70], 1)];
        assert_agree(&table, 1e-6, |t| embedding(&ids()?, &t[0]), |t| compose::embedding(&ids()?, &t[0]));
        let y = embedding(&Tensor::new(&[6u32], &Device::Cpu).unwrap(), &table[0]).unwrap();
        assert!(values(&y).iter().all(|v| v.is_nan()), "an id out of range is NaN");
    });
}

#[test]
fn gradients_are_those_of_finite_differences() {
    in_both_orders(|| {
        let (x, c) = (random(&[3, 4, 5, 5], 1), [4]);
        check_gradients(&[x.clone(), random(&c, 2), random(&c, 3), random(&[3, 4, 5, 5], 4)], 1e-2, 1e-2, |t| {
            Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-5, Act::None, Some(&t[3]))?.0)
        });
        check_gradients(&[random(&[4, 9], 1), random(&[9], 2), random(&[9], 3)], 1e-2, 1e-2, |t| {
            layer_norm(&t[0], &t[1], &t[2], 1e-5)
        });
        check_gradients(&[x], 1e-2, 1e-2, |t| gelu(&t[0]));
        check_gradients(&[random(&[6, 7], 1)], 1e-2, 1e-2, |t| cross_entropy(&t[0], &labels(6)?, 0.1));
        check_gradients(
            &[random(&[1, 2, 4, 3], 1), random(&[1, 2, 5, 3], 2), random(&[1, 2, 5, 6], 3)],
            1e-2,
            1e-2,
            |t| attention(&t[0], &t[1], &t[2], None, 0.7),
        );
    });
}

#[test]
fn updates() {
    let var = |seed: u64| Var::from_tensor(&random(&[13, 7], seed)).unwrap();
    let positive = |seed: u64| Var::from_tensor(&random(&[13, 7], seed).sqr().unwrap()).unwrap();
    // Both variants change variables of their own, which start alike.
    let check = |what: &str, step: &dyn Fn(bool, &[Var])| {
        in_all_ways(|| {
            let start = || vec![var(1), var(2), positive(3), positive(4)];
            let (fast, want) = (start(), start());
            step(true, &fast);
            step(false, &want);
            for (i, (fast, want)) in fast.iter().zip(&want).enumerate() {
                assert_close(fast, want, 1e-6, &format!("{what}, variable {i}"));
            }
        });
    };
    let grad = random(&[13, 7], 9);
    let plain = Sgd { lr: 0.1, momentum: 0., dampening: 0., weight_decay: 0.01, nesterov: false };
    let momentum = Sgd { momentum: 0.9, dampening: 0.2, ..plain };
    for (first, buffered, h) in [
        (false, false, plain),
        (false, true, momentum),
        (true, true, momentum),
        (false, true, Sgd { nesterov: true, dampening: 0., ..momentum }),
    ] {
        check("sgd", &|fast, v| {
            let step = if fast { sgd } else { compose::update::sgd };
            step(&v[0], &grad, buffered.then_some(&v[1]), first, h).unwrap();
        });
    }
    for decoupled in [false, true] {
        for largest in [false, true] {
            let h = Adam { lr: 0.01, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, decoupled };
            check("adam", &|fast, v| {
                let step = if fast { adam } else { compose::update::adam };
                step(&v[0], &grad, Moments { m: &v[1], v: &v[2], v_max: largest.then_some(&v[3]) }, 3, h).unwrap();
            });
        }
    }
    let h = AdaGrad { lr: 0.1, lr_decay: 0., eps: 1e-8, weight_decay: 0.01 };
    check("adagrad", &|fast, v| {
        let step = if fast { adagrad } else { compose::update::adagrad };
        step(&v[0], &grad, &v[2], 0.1, h).unwrap();
    });
    for (centered, buffered) in [(false, false), (true, true)] {
        let momentum = if buffered { 0.9 } else { 0. };
        let h = RmsProp { lr: 0.01, alpha: 0.99, eps: 1e-2, weight_decay: 0.01, momentum };
        check("rmsprop", &|fast, v| {
            // The mean square is at least the square of the mean.
            let mean = Var::from_tensor(&(v[2].sqrt().unwrap() * 0.5).unwrap()).unwrap();
            let averages =
                Averages { square: &v[2], mean: centered.then_some(&mean), momentum: buffered.then_some(&v[1]) };
            let step = if fast { rmsprop } else { compose::update::rmsprop };
            step(&v[0], &grad, averages, h).unwrap();
        });
    }
}

#[test]
fn many_parameters_change_as_each_alone() {
    let h = Adam { lr: 0.01, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, decoupled: true };
    let sized = |k: usize| 1 + 37 * k % 700;
    in_all_ways(|| {
        // More than a launch holds, of all sizes; every fifth with another rule.
        let vars = || -> Vec<[Var; 3]> {
            let var =
                |k: usize, i: u64| Var::from_tensor(&random(&[sized(k)], 3 * k as u64 + i).sqr().unwrap()).unwrap();
            (0..110).map(|k| [var(k, 0), var(k, 1), var(k, 2)]).collect()
        };
        let step = |k: usize, [p, m, v]: &[Var; 3]| -> Result<()> {
            let grad = random(&[sized(k)], 1000 + k as u64);
            let h = Adam { lr: if k.is_multiple_of(5) { 0.1 } else { h.lr }, ..h };
            adam(p, &grad, Moments { m, v, v_max: None }, 3, h)
        };
        let (alone, shared) = (vars(), vars());
        alone.iter().enumerate().try_for_each(|(k, v)| step(k, v)).unwrap();
        together(|| shared.iter().enumerate().try_for_each(|(k, v)| step(k, v))).unwrap();
        for (k, (alone, shared)) in alone.iter().zip(&shared).enumerate() {
            for (alone, shared) in alone.iter().zip(shared) {
                assert_eq!(values(alone), values(shared), "parameter {k}");
            }
        }
        let failed = together(|| {
            step(0, &shared[0])?;
            candle_core::bail!("on purpose")
        });
        assert!(failed.unwrap_err().to_string().contains("on purpose"));
        step(1, &shared[1]).unwrap();
    });
}

/// Results that are read by operations of this crate, by candle's and by both.
#[test]
fn gradients_pass_candle_by() {
    fn mixed(
        t: &[Tensor],
        linear: fn(&Tensor, &Tensor) -> Result<Tensor>,
        relu: fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let h = linear(&t[0], &t[1])?;
        let wide = relu(&(&h + &h.sqr()?)?)?;
        let narrow = linear(&wide.t()?.contiguous()?, &wide.t()?.contiguous()?)?;
        (relu(&narrow)? + linear(&h.t()?.contiguous()?, &h.t()?.contiguous()?)?)? * narrow
    }
    agree(
        &[&[5, 4], &[6, 4]],
        |t| mixed(t, |x, w| linear("linear", x, w, None, Act::None), relu),
        |t| mixed(t, |x, w| compose::linear(x, w, None), compose::relu),
    );
}

#[test]
fn what_has_no_elements_or_is_a_part_is_an_error() {
    in_both_orders(|| {
        let says = |r: Result<Tensor>, what: &str| assert!(r.unwrap_err().to_string().contains(what));
        says(relu(&random(&[0, 3], 1)), "need elements");
        let part = random(&[4, 3], 1).narrow(0, 1, 2).unwrap();
        says(super::launch::Buffer::copy(&part).and_then(|copy| copy.tensor()), "part of another");
    });
}

#[test]
fn every_kernel_is_launched_somewhere() {
    let code = [
        include_str!("elementwise.rs"),
        include_str!("linear.rs"),
        include_str!("norm.rs"),
        include_str!("batch_norm.rs"),
        include_str!("pool.rs"),
        include_str!("softmax.rs"),
        include_str!("update.rs"),
    ]
    .concat();
    for kernel in kernels() {
        assert!(code.contains(&format!("\"{kernel}\"")), "{kernel}");
    }
    assert_eq!(kernels().len(), 43);
}
