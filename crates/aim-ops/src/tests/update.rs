//! Optimizer steps against their compositions.

use candle_core::Var;

use super::{assert_close, random};
use crate::{
    compose,
    update::{AdaGrad, Adam, Averages, Moments, RmsProp, Sgd, adagrad, adam, rmsprop, sgd},
};

const N: usize = 1000 + 3;

fn vars<const K: usize>() -> [Var; K] {
    std::array::from_fn(|i| {
        let values = random(&[N], i as u64 + 1);
        // State is never negative where a root is drawn.
        Var::from_tensor(&if i == 0 { values } else { (values.abs().unwrap() + 1.).unwrap() }).unwrap()
    })
}

fn assert_same(fast: &[Var], want: &[Var]) {
    fast.iter().zip(want).for_each(|(f, w)| assert_close(f, w, 1e-6, "variable"));
}

#[test]
fn sgd_matches_its_composition() {
    let grad = random(&[N], 9);
    for (momentum, dampening, nesterov) in [(0., 0., false), (0.9, 0.1, false), (0.9, 0., true)] {
        for first in [true, false] {
            let h = Sgd { lr: 0.1, momentum, dampening, weight_decay: 0.01, nesterov };
            let (a, b) = (vars::<2>(), vars::<2>());
            sgd(&a[0], &grad, Some(&a[1]), first, h).unwrap();
            compose::update::sgd(&b[0], &grad, (momentum != 0.).then_some(&b[1]), first, h).unwrap();
            assert_same(&a, &b);
        }
    }
}

#[test]
fn adam_matches_its_composition() {
    let grad = random(&[N], 9);
    for (decoupled, largest) in [(false, false), (false, true), (true, false), (true, true)] {
        let h = Adam { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, decoupled };
        let (a, b) = (vars::<4>(), vars::<4>());
        let moments = |v| -> Moments<'_> {
            let [_, m, v, v_max]: &[Var; 4] = v;
            Moments { m, v, v_max: largest.then_some(v_max) }
        };
        adam(&a[0], &grad, moments(&a), 3, h).unwrap();
        compose::update::adam(&b[0], &grad, moments(&b), 3, h).unwrap();
        assert_same(&a, &b);
    }
}

#[test]
fn adagrad_and_rmsprop_match_their_compositions() {
    let grad = random(&[N], 9);
    let h = AdaGrad { lr: 0.1, lr_decay: 0.5, eps: 1e-8, weight_decay: 0.1 };
    let (a, b) = (vars::<2>(), vars::<2>());
    adagrad(&a[0], &grad, &a[1], 3, h).unwrap();
    compose::update::adagrad(&b[0], &grad, &b[1], 0.05, h).unwrap();
    assert_same(&a, &b);
    let h = RmsProp { lr: 0.1, alpha: 0.9, eps: 1e-8, weight_decay: 0.1, momentum: 0.5 };
    for (centered, momentum) in [(false, false), (false, true), (true, false), (true, true)] {
        let (a, b) = (vars::<4>(), vars::<4>());
        b.iter().chain(&a).skip(1).step_by(4).for_each(|v| v.set(&(v.as_detached_tensor() + 5.).unwrap()).unwrap());
        let averages = |v| -> Averages<'_> {
            let [_, square, mean, buf]: &[Var; 4] = v;
            Averages { square, mean: centered.then_some(mean), momentum: momentum.then_some(buf) }
        };
        rmsprop(&a[0], &grad, averages(&a), h).unwrap();
        compose::update::rmsprop(&b[0], &grad, averages(&b), h).unwrap();
        assert_same(&a, &b);
    }
}

#[test]
fn shared_memory_is_an_error() {
    let [p, buf] = vars::<2>();
    let h = Sgd { lr: 0.1, momentum: 0.9, dampening: 0., weight_decay: 0., nesterov: false };
    assert!(sgd(&p, p.as_tensor(), Some(&buf), false, h).unwrap_err().to_string().contains("share memory"));
    assert!(sgd(&p, &random(&[N], 1), None, false, h).unwrap_err().to_string().contains("buffer"));
}
