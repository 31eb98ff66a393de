//! Normalisations and activations.

use super::{assert_agree, assert_close, check_gradients, random, values};
use crate::{Act, batch_norm_eval, batch_norm_train, compose, dropout, gelu, layer_norm, relu};

const SHAPES: &[&[usize]] = &[&[4, 3], &[5, 3, 7], &[3, 4, 5, 5], &[2, 2, 1, 1], &[2, 17, 8, 16]];

#[test]
fn batch_norm_gradients_are_right() {
    for shape in SHAPES {
        let c = shape[1];
        let inputs = [random(shape, 1), random(&[c], 2), random(&[c], 3), random(shape, 4)];
        if shape.iter().product::<usize>() > 2 * c {
            check_gradients(&inputs, 1e-2, 1e-2, |t| {
                Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-5, Act::None, Some(&t[3]))?.0)
            });
        }
        for act in [Act::None, Act::Relu] {
            assert_agree(
                &inputs,
                1e-4,
                |t| Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-3, act, Some(&t[3]))?.0),
                |t| Ok(compose::batch_norm_train(&t[0], &t[1], &t[2], 1e-3, act, Some(&t[3]))?.0),
            );
            assert_agree(
                &inputs[..3],
                1e-4,
                |t| Ok(batch_norm_train(&t[0], &t[1], &t[2], 1e-3, act, None)?.0),
                |t| Ok(compose::batch_norm_train(&t[0], &t[1], &t[2], 1e-3, act, None)?.0),
            );
        }
    }
}

#[test]
fn batch_norm_eval_gradients_are_right() {
    for shape in SHAPES {
        let c = shape[1];
        let inputs = [random(shape, 1), random(&[c], 2), random(&[c], 3), random(shape, 4)];
        let (mean, var) = (random(&[c], 5), (random(&[c], 6).abs().unwrap() + 0.1).unwrap());
        check_gradients(&inputs, 1e-2, 1e-2, |t| {
            batch_norm_eval(&t[0], &mean, &var, &t[1], &t[2], 1e-5, Act::None, Some(&t[3]))
        });
        assert_agree(
            &inputs,
            1e-5,
            |t| batch_norm_eval(&t[0], &mean, &var, &t[1], &t[2], 1e-5, Act::Relu, Some(&t[3])),
            |t| compose::batch_norm_eval(&t[0], &mean, &var, &t[1], &t[2], 1e-5, Act::Relu, Some(&t[3])),
        );
    }
}

#[test]
fn batch_statistics_are_those_of_each_channel() {
    let x = random(&[3, 4, 5, 5], 1);
    let (gamma, beta) = (random(&[4], 2), random(&[4], 3));
    let (_, stats) = batch_norm_train(&x, &gamma, &beta, 1e-5, Act::None, None).unwrap();
    let rows = x.transpose(0, 1).unwrap().flatten_from(1).unwrap();
    let mean = rows.mean_keepdim(1).unwrap();
    let var = rows.broadcast_sub(&mean).unwrap().sqr().unwrap().mean(1).unwrap();
    assert_close(&stats.mean, &mean.squeeze(1).unwrap(), 1e-5, "mean");
    assert_close(&stats.var, &var, 1e-5, "var");
    assert_eq!(stats.count, 75);
}

#[test]
fn layer_norm_gradients_are_right() {
    for shape in [vec![4, 6], vec![2, 3, 17], vec![9]] {
        let d = shape[shape.len() - 1];
        let inputs = [random(&shape, 1), random(&[d], 2), random(&[d], 3)];
        check_gradients(&inputs, 1e-2, 1e-2, |t| layer_norm(&t[0], &t[1], &t[2], 1e-5));
        assert_agree(
            &inputs,
            1e-5,
            |t| layer_norm(&t[0], &t[1], &t[2], 1e-5),
            |t| compose::layer_norm(&t[0], &t[1], &t[2], 1e-5),
        );
    }
}

#[test]
fn activations_have_their_derivatives() {
    let x = random(&[5, 7], 1);
    check_gradients(std::slice::from_ref(&x), 1e-4, 2e-2, |t| relu(&t[0]));
    check_gradients(std::slice::from_ref(&x), 1e-2, 1e-2, |t| gelu(&t[0]));
    let (_, grads) = super::gradients(&[x.zeros_like().unwrap()], |t| relu(&t[0]));
    assert!(values(grads[0].as_ref().unwrap()).iter().all(|&g| g == 0.));
}

#[test]
fn dropout_keeps_the_mean_and_depends_on_seed_and_index_only() {
    let x = random(&[40, 50], 1).ones_like().unwrap();
    let y = dropout(&x, 0.25, 7).unwrap();
    let mean = y.mean_all().unwrap().to_scalar::<f32>().unwrap();
    assert!((mean - 1.).abs() < 0.05, "{mean}");
    assert!(values(&y).iter().all(|&v| v == 0. || (v - 4. / 3.).abs() < 1e-6));
    let flat = dropout(&x.flatten_all().unwrap(), 0.25, 7).unwrap();
    assert_eq!(values(&y), values(&flat));
    assert_ne!(values(&y), values(&dropout(&x, 0.25, 8).unwrap()));
    assert_eq!(values(&dropout(&x, 0., 8).unwrap()), values(&x));
    check_gradients(&[random(&[30], 2)], 0.5, 1e-4, |t| dropout(&t[0], 0.5, 3));
    assert!(dropout(&x, 1., 0).is_err());
}

#[test]
fn dropout_decides_for_each_element_by_itself() {
    let kept: Vec<bool> = values(&dropout(&random(&[1 << 16], 1).ones_like().unwrap(), 0.5, 7).unwrap())
        .iter()
        .map(|v| *v != 0.)
        .collect();
    // Elements that share a word of mask bits, neighbours among them, and those of neighbouring words.
    for lag in [1, 2, 31, 32] {
        let alike = kept.iter().zip(&kept[lag..]).filter(|(a, b)| a == b).count() as f64 / (kept.len() - lag) as f64;
        assert!((alike - 0.5).abs() < 0.01, "{alike} alike at {lag}");
    }
}
