//! Convolutions and the linear map.

use candle_core::{Device, Tensor};

use super::{assert_agree, assert_close, check_gradients, random, scattered, values};
use crate::{Conv1d, Conv2d, compose, conv1d, conv2d, keep_rows, linear, linear_relu, relu};

/// The definition, in f64.
fn naive(x: &Tensor, w: &Tensor, p: Conv2d) -> Tensor {
    let (b, c, h, wd) = x.dims4().unwrap();
    let (o, cg, kh, kw) = w.dims4().unwrap();
    let (oh, ow) = (
        (h + 2 * p.padding - (kh - 1) * p.dilation - 1) / p.stride + 1,
        (wd + 2 * p.padding - (kw - 1) * p.dilation - 1) / p.stride + 1,
    );
    let (xs, ws) = (values(x), values(w));
    let mut y = vec![0f32; b * o * oh * ow];
    for (i, y) in y.iter_mut().enumerate() {
        let (n, f, r, s) = (i / (o * oh * ow), i / (oh * ow) % o, i / ow % oh, i % ow);
        let first = f / (o / p.groups) * cg;
        let mut sum = 0f64;
        for k in 0..cg * kh * kw {
            let (ci, u, v) = (k / (kh * kw), k / kw % kh, k % kw);
            let (row, col) = (r * p.stride + u * p.dilation, s * p.stride + v * p.dilation);
            if (p.padding..h + p.padding).contains(&row) && (p.padding..wd + p.padding).contains(&col) {
                let at = ((n * c + first + ci) * h + row - p.padding) * wd + col - p.padding;
                sum += f64::from(xs[at]) * f64::from(ws[f * cg * kh * kw + k]);
            }
        }
        *y = sum as f32;
    }
    Tensor::from_vec(y, (b, o, oh, ow), &Device::Cpu).unwrap()
}

/// (batch, channels, height, width, filters, kernel height, kernel width, stride, padding, groups, dilation)
type Case = (usize, usize, usize, usize, usize, usize, usize, usize, usize, usize, usize);

const CASES: &[Case] = &[
    (2, 3, 7, 5, 4, 3, 3, 1, 1, 1, 1),
    (3, 4, 9, 6, 5, 3, 3, 2, 1, 1, 1),
    (1, 1, 6, 6, 2, 3, 3, 2, 0, 1, 1),
    (2, 3, 17, 15, 8, 7, 7, 2, 3, 1, 1),
    (2, 8, 5, 5, 6, 1, 1, 1, 0, 1, 1),
    (2, 8, 7, 5, 6, 1, 1, 2, 0, 1, 1),
    (2, 4, 9, 8, 6, 3, 3, 1, 2, 2, 2),
    (2, 4, 9, 8, 4, 3, 2, 2, 1, 4, 1),
    (1, 2, 1, 1, 3, 1, 1, 1, 0, 1, 1),
    (1, 2, 2, 1, 3, 3, 3, 1, 3, 1, 1),
    (2, 16, 8, 8, 16, 3, 3, 1, 1, 1, 1),
    (1, 33, 13, 11, 19, 3, 3, 1, 1, 1, 1),
    (2, 2, 5, 40, 3, 5, 3, 3, 2, 1, 2),
    // Large enough for Winograd's way.
    (1, 160, 30, 26, 160, 3, 3, 1, 1, 1, 1),
];

fn case(&(b, c, h, w, o, kh, kw, stride, padding, groups, dilation): &Case) -> (Tensor, Tensor, Tensor, Conv2d) {
    let x = random(&[b, c, h, w], 1);
    let weight = random(&[o, c / groups, kh, kw], 2);
    (x, weight, random(&[o], 3), Conv2d { stride, padding, groups, dilation })
}

/// What [`conv2d`] promises of the case that takes Winograd's way.
const ERROR: f32 = 2e-5;

#[test]
fn conv2d_matches_its_definition() {
    for c in CASES {
        let (x, w, bias, p) = case(c);
        assert_close(&conv2d(&x, &w, None, p).unwrap(), &naive(&x, &w, p), ERROR, &format!("{c:?}"));
        let moved = conv2d(&scattered(&x), &scattered(&w), Some(&bias), p).unwrap();
        let want = naive(&x, &w, p).broadcast_add(&bias.reshape((1, (), 1, 1)).unwrap()).unwrap();
        assert_close(&moved, &want, ERROR, &format!("scattered {c:?}"));
    }
}

#[test]
fn conv2d_gradients_are_right() {
    for c in CASES {
        let (x, w, bias, p) = case(c);
        check_gradients(&[x, w, bias], 0.5, 1e-4, |t| conv2d(&t[0], &t[1], Some(&t[2]), p));
    }
}

#[test]
fn conv2d_agrees_with_the_composition() {
    for c in CASES {
        let (x, w, _, p) = case(c);
        assert_agree(&[x, w], ERROR, |t| conv2d(&t[0], &t[1], None, p), |t| compose::conv2d(&t[0], &t[1], None, p));
    }
}

#[test]
fn conv1d_gradients_are_right() {
    let p = Conv1d { stride: 2, padding: 1, groups: 2, dilation: 2 };
    let inputs = [random(&[3, 4, 11], 1), random(&[6, 2, 3], 2), random(&[6], 3)];
    check_gradients(&inputs, 0.5, 1e-4, |t| conv1d(&t[0], &t[1], Some(&t[2]), p));
    assert_agree(
        &inputs,
        1e-5,
        |t| conv1d(&t[0], &t[1], Some(&t[2]), p),
        |t| compose::conv1d(&t[0], &t[1], Some(&t[2]), p),
    );
}

#[test]
fn linear_gradients_are_right() {
    for shape in [vec![5], vec![4, 5], vec![2, 3, 5], vec![1, 1, 7, 5]] {
        let inputs = [random(&shape, 1), random(&[6, 5], 2), random(&[6], 3)];
        check_gradients(&inputs, 0.5, 1e-4, |t| linear(&t[0], &t[1], Some(&t[2])));
        assert_agree(
            &inputs,
            1e-5,
            |t| linear(&t[0], &t[1], Some(&t[2])),
            |t| compose::linear(&t[0], &t[1], Some(&t[2])),
        );
    }
}

#[test]
fn misfits_are_errors_that_name_the_operation() {
    let x = random(&[2, 3, 5, 5], 1);
    let error = |w: &[usize], p| conv2d(&x, &random(w, 2), None, p).unwrap_err().to_string();
    assert!(error(&[4, 2, 3, 3], Conv2d::default()).contains("conv2d"));
    assert!(error(&[4, 3, 7, 7], Conv2d::default()).contains("does not fit"));
    assert!(error(&[4, 3, 3, 3], Conv2d { stride: 0, ..Conv2d::default() }).contains("stride 0"));
    assert!(error(&[4, 3, 3, 3], Conv2d { groups: 2, ..Conv2d::default() }).contains("groups: 2"));
    assert!(linear(&x, &random(&[4, 6], 1), None).unwrap_err().to_string().contains("linear"));
}

/// `w` with all rows but `kept` set to zero, by candle's own multiplication, after which no row is known to be zero.
fn masked(w: &Tensor, kept: &[usize]) -> candle_core::Result<Tensor> {
    let mask = (0..w.dims()[0]).map(|row| f32::from(kept.contains(&row))).collect::<Vec<_>>();
    let shape: Vec<usize> = w.dims().iter().enumerate().map(|(i, n)| if i == 0 { *n } else { 1 }).collect();
    w.broadcast_mul(&Tensor::from_vec(mask, shape, &Device::Cpu)?)
}

#[test]
fn rows_of_zeros_are_left_out_and_change_nothing() {
    for kept in [&[2usize][..], &[0, 3, 7], &[0, 1, 2, 3, 4, 5, 6, 7], &[]] {
        for stride in [1, 2] {
            let inputs = [random(&[2, 3, 6, 5], 1), random(&[8, 3, 3, 3], 2), random(&[8], 3)];
            let p = Conv2d { stride, padding: 1, ..Conv2d::default() };
            let with = |t: &[Tensor]| conv2d(&t[0], &keep_rows(&t[1], kept)?, Some(&t[2]), p);
            assert_agree(&inputs, 1e-5, with, |t| conv2d(&t[0], &masked(&t[1], kept)?, Some(&t[2]), p));
            let with = |t: &[Tensor]| conv2d(&t[0], &keep_rows(&t[1], kept)?, None, p);
            assert_agree(&inputs[..2], 1e-5, with, |t| conv2d(&t[0], &masked(&t[1], kept)?, None, p));
        }
        let inputs = [random(&[2, 3, 9], 1), random(&[8, 3, 3], 2)];
        let p = Conv1d { padding: 1, ..Conv1d::default() };
        let with = |t: &[Tensor]| conv1d(&t[0], &keep_rows(&t[1], kept)?, None, p);
        assert_agree(&inputs, 1e-5, with, |t| conv1d(&t[0], &masked(&t[1], kept)?, None, p));
        let inputs = [random(&[4, 2, 5], 1), random(&[8, 5], 2), random(&[8], 3)];
        let with = |t: &[Tensor]| linear_relu(&t[0], &keep_rows(&t[1], kept)?, Some(&t[2]));
        assert_agree(&inputs, 1e-5, with, |t| relu(&linear(&t[0], &masked(&t[1], kept)?, Some(&t[2]))?));
    }
}

#[test]
fn rows_that_a_weight_does_not_have_are_errors() {
    let w = random(&[3, 2], 1);
    for rows in [&[3][..], &[1, 1], &[2, 0]] {
        assert!(keep_rows(&w, rows).unwrap_err().to_string().contains("keep_rows"), "{rows:?}");
    }
    assert_eq!(values(&keep_rows(&w, &[]).unwrap()), [0.; 6]);
}
