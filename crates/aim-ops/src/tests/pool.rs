//! Pooling, losses, attention, embeddings.

use candle_core::{Device, Tensor};

use super::{assert_agree, assert_close, check_gradients, gradients, random, scattered, values};
use crate::{
    Pool2d, Reduction, attention, avg_pool2d, compose, cross_entropy, embedding, global_avg_pool, log_softmax,
    max_pool2d, multi_head_attention, soft_cross_entropy, softmax, weighted_cross_entropy,
};

const POOLS: &[(usize, usize, usize)] = &[(3, 2, 1), (2, 2, 0), (3, 1, 1), (2, 3, 1), (1, 1, 0), (5, 2, 2)];

#[test]
fn pools_have_right_gradients() {
    for &(kernel, stride, padding) in POOLS {
        let p = Pool2d { kernel, stride, padding };
        let x = random(&[2, 3, 9, 6], 1);
        check_gradients(std::slice::from_ref(&x), 1e-4, 2e-2, |t| max_pool2d(&t[0], p));
        check_gradients(std::slice::from_ref(&x), 0.5, 1e-4, |t| avg_pool2d(&t[0], p));
        assert_agree(std::slice::from_ref(&x), 1e-6, |t| max_pool2d(&t[0], p), |t| compose::max_pool2d(&t[0], p));
        assert_agree(std::slice::from_ref(&x), 1e-6, |t| avg_pool2d(&t[0], p), |t| compose::avg_pool2d(&t[0], p));
        assert_close(&max_pool2d(&scattered(&x), p).unwrap(), &max_pool2d(&x, p).unwrap(), 0., "scattered");
    }
    check_gradients(&[random(&[2, 3, 5, 4], 1)], 0.5, 1e-4, |t| global_avg_pool(&t[0]));
}

#[test]
fn ties_give_their_gradient_to_the_first_maximum() {
    let x = Tensor::ones((1, 1, 4, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
    let (_, grads) = super::gradients(&[x], |t| max_pool2d(&t[0], Pool2d { kernel: 2, stride: 2, padding: 0 }));
    let grads = values(grads[0].as_ref().unwrap());
    assert!(grads.iter().enumerate().all(|(i, g)| (*g != 0.) == [0, 2, 8, 10].contains(&i)), "{grads:?}");
}

#[test]
fn nan_is_the_maximum_of_every_window_that_sees_it() {
    // Wider than a vector, and followed by larger numbers.
    let (height, width, row, col) = (5, 40, 2, 17);
    let mut x: Vec<f32> = (0..height * width).map(|i| i as f32).collect();
    x[row * width + col] = f32::NAN;
    let x = Tensor::from_vec(x, (1, 1, height, width), &Device::Cpu).unwrap();
    let y = values(&max_pool2d(&x, Pool2d { kernel: 2, stride: 1, padding: 0 }).unwrap());
    for (i, y) in y.iter().enumerate() {
        let (r, c) = (i / (width - 1), i % (width - 1));
        let sees = (row - 1..=row).contains(&r) && (col - 1..=col).contains(&c);
        assert_eq!(y.is_nan(), sees, "window at ({r}, {c}) is {y}");
    }
}

#[test]
fn softmaxes_have_right_gradients() {
    let x = random(&[3, 4, 7], 1);
    check_gradients(std::slice::from_ref(&x), 1e-2, 1e-2, |t| softmax(&t[0]));
    check_gradients(std::slice::from_ref(&x), 1e-2, 1e-2, |t| log_softmax(&t[0]));
    assert_agree(std::slice::from_ref(&x), 1e-5, |t| softmax(&t[0]), |t| compose::softmax(&t[0]));
    assert_agree(&[x], 1e-5, |t| log_softmax(&t[0]), |t| compose::log_softmax(&t[0]));
}

#[test]
fn cross_entropy_matches_a_hand_computed_case() {
    let logits = Tensor::new(&[[0f32, 0., 0.], [1., 2., 3.]], &Device::Cpu).unwrap();
    let labels = Tensor::new(&[1u32, 2], &Device::Cpu).unwrap();
    let losses = values(&cross_entropy(&logits, &labels, 0., Reduction::None).unwrap());
    assert!((losses[0] - 3f32.ln()).abs() < 1e-6 && (losses[1] - 0.407_606).abs() < 1e-5, "{losses:?}");
    // 0.9 * 0.407606 + 0.1 * mean(2.407606, 1.407606, 0.407606)
    let smooth = values(&cross_entropy(&logits, &labels, 0.1, Reduction::None).unwrap());
    assert!((smooth[1] - 0.507_606).abs() < 1e-5, "{smooth:?}");
    let bad = Tensor::new(&[1i64, 3], &Device::Cpu).unwrap();
    let error = cross_entropy(&logits, &bad, 0., Reduction::Mean).unwrap_err().to_string();
    assert!(error.contains("row 1"), "{error}");
}

#[test]
fn weighted_cross_entropy_matches_a_hand_computed_case() {
    let logits = Tensor::new(&[[0f32, 0., 0.], [1., 2., 3.]], &Device::Cpu).unwrap();
    let labels = Tensor::new(&[1u32, 2], &Device::Cpu).unwrap();
    let weights = Tensor::new(&[0.5f32, 3., 2.], &Device::Cpu).unwrap();
    let of = |s, reduction| values(&weighted_cross_entropy(&logits, &labels, &weights, s, reduction).unwrap());
    let near = |found: &[f32], wanted: &[f32]| {
        let near = found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(found.len() == wanted.len() && near, "{found:?}");
    };
    // 3 ln 3 and 2 * 0.407606; their mean is over 3 + 2.
    near(&of(0., Reduction::None), &[3.295_837, 0.815_212]);
    near(&of(0., Reduction::Mean), &[0.822_210]);
    // 0.7 * 3 ln 3 + 0.3 / 3 * (0.5 + 3 + 2) ln 3 and
    // 0.7 * 2 * 0.407606 + 0.1 * (0.5 * 2.407606 + 3 * 1.407606 + 2 * 0.407606)
    near(&of(0.3, Reduction::None), &[2.911_323, 1.194_832]);
    near(&of(0.3, Reduction::Mean), &[0.821_231]);
    // Equal weights are none.
    let ones = weights.ones_like().unwrap();
    let equal = values(&weighted_cross_entropy(&logits, &labels, &ones, 0.3, Reduction::Mean).unwrap());
    near(&equal, &values(&cross_entropy(&logits, &labels, 0.3, Reduction::Mean).unwrap()));
    let error = |labels: &[u32], weights: &[f32], s| {
        let of = |x| Tensor::new(x, &Device::Cpu).unwrap();
        let labels = Tensor::new(labels, &Device::Cpu).unwrap();
        weighted_cross_entropy(&logits, &labels, &of(weights), s, Reduction::Mean).unwrap_err().to_string()
    };
    assert!(error(&[1, 3], &[1., 1., 1.], 0.).contains("row 1"));
    assert!(error(&[1, 2], &[1., 1.], 0.).contains("weights"));
    assert!(error(&[1, 2], &[1., 1., 1.], 2.).contains("smoothing"));
}

#[test]
fn losses_have_right_gradients() {
    let logits = random(&[5, 6], 1);
    let labels = Tensor::new(&[0i64, 5, 2, 3, 3], &Device::Cpu).unwrap();
    let targets = compose::softmax(&random(&[5, 6], 2)).unwrap();
    for reduction in [Reduction::Mean, Reduction::None] {
        for smoothing in [0., 0.2] {
            check_gradients(std::slice::from_ref(&logits), 1e-2, 1e-2, |t| {
                cross_entropy(&t[0], &labels, smoothing, reduction)
            });
        }
        check_gradients(std::slice::from_ref(&logits), 1e-2, 1e-2, |t| soft_cross_entropy(&t[0], &targets, reduction));
        let weights = Tensor::new(&[0.5f32, 3., 2., 0.1, 1., 0.7], &Device::Cpu).unwrap();
        check_gradients(std::slice::from_ref(&logits), 1e-2, 1e-2, |t| {
            weighted_cross_entropy(&t[0], &labels, &weights, 0.2, reduction)
        });
    }
    let fast = |t: &[Tensor]| cross_entropy(&t[0], &labels, 0.2, Reduction::None);
    assert_agree(&[logits], 1e-5, fast, |t| compose::cross_entropy(&t[0], &labels, 0.2));
}

#[test]
fn attention_has_right_gradients() {
    let inputs = [random(&[2, 3, 5, 4], 1), random(&[2, 3, 6, 4], 2), random(&[2, 3, 6, 7], 3)];
    let additive = random(&[5, 6], 4);
    let seen =
        Tensor::from_vec((0..30u8).map(|i| i % 6 <= i / 6).map(u8::from).collect(), (5, 6), &Device::Cpu).unwrap();
    for mask in [None, Some(&additive), Some(&seen)] {
        check_gradients(&inputs, 1e-2, 1e-2, |t| attention(&t[0], &t[1], &t[2], mask, 0.5));
        let fast = |t: &[Tensor]| attention(&t[0], &t[1], &t[2], mask, 0.5);
        assert_agree(&inputs, 1e-5, fast, |t| compose::attention(&t[0], &t[1], &t[2], mask, 0.5));
    }
}

#[test]
fn heads_side_by_side_give_what_heads_apart_do() {
    // Two blocks of queries.
    let (b, h, t, s, d, e) = (2, 3, 150, 600, 64, 48);
    let apart = [random(&[b, h, t, d], 1), random(&[b, h, s, d], 2), random(&[b, h, s, e], 3)];
    let join = |x: &Tensor| x.transpose(1, 2).unwrap().flatten_from(2).unwrap().contiguous().unwrap();
    let joined = [0, 1, 2].map(|i| join(&apart[i]));
    let masks: [&[usize]; 5] = [&[b, 1, 1, s], &[1, h, 1, s], &[h, t, s], &[b, h, t, s], &[t, 1]];
    for mask in masks.map(|shape| random(shape, 4)) {
        let split = |x: Tensor| x.reshape((b, t, h, e))?.transpose(1, 2)?.contiguous();
        let of_apart = |x: &[Tensor]| attention(&x[0], &x[1], &x[2], Some(&mask), 0.1);
        let of_joined = |x: &[Tensor]| split(multi_head_attention(&x[0], &x[1], &x[2], h, Some(&mask), 0.1)?);
        assert_agree(&apart, 1e-4, of_apart, |x| compose::attention(&x[0], &x[1], &x[2], Some(&mask), 0.1));
        let ((y, of_apart), (also, of_joined)) = (gradients(&apart, of_apart), gradients(&joined, of_joined));
        assert_eq!(values(&y), values(&also), "{mask:?}");
        for (apart, joined) in of_apart.iter().zip(&of_joined) {
            assert_eq!(values(&join(apart.as_ref().unwrap())), values(joined.as_ref().unwrap()), "{mask:?}");
        }
    }
}

#[test]
fn heads_that_do_not_divide_a_width_are_refused() {
    let [x, y] = [12, 9].map(|width| random(&[2, 5, width], 1));
    for (v, heads) in [(&x, 0), (&x, 5), (&y, 4)] {
        let refused = multi_head_attention(&x, &x, v, heads, None, 1.).unwrap_err().to_string();
        assert!(refused.contains("heads do not divide"), "{refused}");
    }
}

#[test]
fn embedding_has_right_gradients() {
    let ids = Tensor::new(&[[1u32, 0], [3, 1]], &Device::Cpu).unwrap();
    check_gradients(&[random(&[4, 3], 1)], 0.5, 1e-4, |t| embedding(&ids, &t[0]));
    assert!(embedding(&ids, &random(&[3, 3], 1)).unwrap_err().to_string().contains("id 3"));
}
