//! Gradients that pass candle by are those that candle would have added.

use candle_core::{Result, Tensor, Var};

use super::{assert_agree, random, values};
use crate::{Act, Conv2d, add, backward, batch_norm_train, compose, conv2d, linear, linear_relu, relay, relu};

/// Own operations whose results are read by own ones, by candle's and by both, more than once.
fn mixed(t: &[Tensor]) -> Result<Tensor> {
    let h = linear(&t[0], &t[1], Some(&t[2]))?;
    let wide = relu(&add(&h, &h.sqr()?)?)?;
    let narrow = linear(&wide.t()?.contiguous()?, &wide.t()?, None)?;
    (relu(&narrow)? + linear(&h.t()?, &h.t()?, None)?)? * narrow
}

/// The same of candle's operations alone.
fn candles(t: &[Tensor]) -> Result<Tensor> {
    let h = compose::linear(&t[0], &t[1], Some(&t[2]))?;
    let wide = compose::relu(&(&h + &h.sqr()?)?)?;
    let narrow = compose::linear(&wide.t()?.contiguous()?, &wide.t()?.contiguous()?, None)?;
    (compose::relu(&narrow)? + compose::linear(&h.t()?.contiguous()?, &h.t()?.contiguous()?, None)?)? * narrow
}

fn inputs() -> [Tensor; 3] {
    [random(&[5, 4], 1), random(&[6, 4], 2), random(&[6], 3)]
}

#[test]
fn gradients_are_those_of_candle() {
    assert_agree(&inputs(), 1e-5, mixed, candles);
}

#[test]
fn collected_gradients_are_those_of_the_plain_pass_every_time() {
    let vars = inputs().map(|t| Var::from_tensor(&t).unwrap());
    let tensors = vars.each_ref().map(|v| v.as_tensor().clone());
    // A weight that candle's operations read as well.
    let loss = (mixed(&tensors).unwrap().sum_all().unwrap() + tensors[1].sqr().unwrap().sum_all().unwrap()).unwrap();
    let plain = loss.backward().unwrap();
    for again in 0..2 {
        let collected = backward(&loss).unwrap();
        for var in &vars {
            let [got, want] = [&collected, &plain].map(|store| values(store.get(var).unwrap()));
            assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() <= 1e-5 * w.abs()), "{again}: {got:?}, {want:?}");
        }
    }
    assert_eq!(values(plain.get(&vars[2]).unwrap()), values(backward(&loss).unwrap().get(&vars[2]).unwrap()));
}

#[test]
fn a_failed_pass_leaves_nothing_behind() {
    let var = Var::from_tensor(&random(&[3], 1)).unwrap();
    let h = relu(&var).unwrap();
    let fails = crate::custom::op1("fails", &h, vec![0.], 1, |_, _, _| candle_core::bail!("on purpose")).unwrap();
    let wanted = relu(&h).unwrap();
    let both = (fails.sum_all().unwrap() + wanted.sum_all().unwrap()).unwrap();
    assert!(backward(&both).unwrap_err().to_string().contains("on purpose"));
    let gradient = values(backward(&wanted).unwrap().get(&var).unwrap());
    assert!(gradient.iter().all(|g| *g == 0. || *g == 1.), "{gradient:?}");
}

/// candle does not visit what is behind a product with zero.
#[test]
fn what_is_not_visited_gets_nothing() {
    let var = Var::from_tensor(&random(&[3], 1)).unwrap();
    let dead = relu(&relu(&(var.as_tensor() * 0.).unwrap()).unwrap()).unwrap();
    let loss = (add(&dead, &relu(&var).unwrap()).unwrap().sum_all()).unwrap();
    let gradient = values(backward(&loss).unwrap().get(&var).unwrap());
    assert!(gradient.iter().all(|g| *g == 0. || *g == 1.) && gradient.contains(&1.), "{gradient:?}");
    assert_eq!(relay::waiting(), 0);
}

#[test]
fn tokens_live_as_long_as_their_results() {
    let var = Var::from_tensor(&random(&[3], 1)).unwrap();
    let (first, last) = {
        let first = relu(&var).unwrap();
        let last = relu(&first).unwrap();
        (first.id(), last)
    };
    assert!(relay::known(first) && relay::known(last.id()));
    let last = {
        let id = last.id();
        drop(last);
        id
    };
    assert!(!relay::known(first) && !relay::known(last));
    assert!(relay::token_of(&relu(&random(&[3], 1)).unwrap()).is_none(), "nothing to flow back to");
}

#[test]
fn layers_fused_with_a_rectifier_have_right_gradients() {
    let x = [random(&[7, 5], 1), random(&[9, 5], 2), random(&[9], 3)];
    let slow = |t: &[Tensor]| compose::relu(&compose::linear(&t[0], &t[1], t.get(2))?);
    for inputs in [&x[..], &x[..2]] {
        assert_agree(inputs, 1e-5, |t| linear_relu(&t[0], &t[1], t.get(2)), slow);
    }
    assert!(linear_relu(&x[0], &x[2], None).unwrap_err().to_string().contains("linear_relu"));
}

/// A residual block: what flows around it and through it meets again.
#[test]
fn residual_blocks_have_right_gradients() {
    let inputs = [random(&[2, 3, 5, 4], 1), random(&[3, 3, 3, 3], 2), random(&[3], 3), random(&[3], 4)];
    let p = Conv2d { padding: 1, ..Conv2d::default() };
    let fast = |t: &[Tensor]| {
        let x = relu(&t[0])?;
        Ok(batch_norm_train(&conv2d(&x, &t[1], None, p)?, &t[2], &t[3], 1e-5, Act::Relu, Some(&x))?.0)
    };
    let slow = |t: &[Tensor]| {
        let x = compose::relu(&t[0])?;
        let h = compose::conv2d(&x, &t[1], None, p)?;
        Ok(compose::batch_norm_train(&h, &t[2], &t[3], 1e-5, Act::Relu, Some(&x))?.0)
    };
    assert_agree(&inputs, 1e-4, fast, slow);
}
