//! The matrix product for every instruction set, and functions against their definitions.

use super::{
    gemm::{Product, Size},
    kernel::{Isa, available},
    math::{exp, ln, normal, turn},
    matrix::{Matrix, matmul},
    shared::Shared,
    winograd::{Kernels, Winograd},
};
use crate::tests::{random, values};

const SIZES: &[(usize, usize, usize)] = &[
    (1, 1, 1),
    (3, 5, 7),
    (14, 32, 256),
    (15, 33, 257),
    (40, 48, 100),
    (64, 100, 300),
    (1, 200, 9),
    (200, 1, 9),
    (37, 19, 600),
    (530, 210, 20),
    (20, 18, 5000),
    (1100, 3, 4100),
    (3, 4, 0),
];

fn definition(size: Size, a: Matrix<'_>, b: Matrix<'_>) -> Vec<f64> {
    let at = |x: Matrix<'_>, r: usize, c: usize| f64::from(x.values[r * x.rs + c * x.cs]);
    let element = |i: usize| (0..size.k).map(|k| at(a, i / size.n, k) * at(b, k, i % size.n)).sum();
    (0..size.m * size.n).map(element).collect()
}

fn assert_near(got: &[f32], want: &[f64], k: usize, what: &str) {
    for (g, w) in got.iter().zip(want) {
        assert!((f64::from(*g) - w).abs() <= 1e-6 * k as f64, "{what}: {g} instead of {w}");
    }
}

/// Both operands, each stored by rows or by columns.
fn operands<'a>(size: Size, a: &'a [f32], b: &'a [f32]) -> Vec<(Matrix<'a>, Matrix<'a>)> {
    let left = [Matrix::rows(a, size.k), Matrix::rows(a, size.m).t()];
    let right = [Matrix::rows(b, size.n), Matrix::rows(b, size.k).t()];
    left.iter().flat_map(|l| right.iter().map(move |r| (*l, *r))).collect()
}

/// The product, row by row.
fn multiplied(product: Product<'_, Matrix<'_>, Matrix<'_>>) -> Vec<f32> {
    let Size { m, n, .. } = product.size;
    let mut c = vec![f32::NAN; m * n];
    let out = Shared::new(&mut c);
    product.run(|block| {
        for (r, row) in block.rows() {
            // SAFETY: blocks do not overlap.
            unsafe { out.part(r * n + block.cols.start, row.len()) }.copy_from_slice(row);
        }
    });
    c
}

#[test]
fn every_instruction_set_multiplies_matrices() {
    for &(m, n, k) in SIZES {
        let size = Size { m, n, k };
        let (a, b) = (values(&random(&[m * k], 1)), values(&random(&[k * n], 2)));
        for (a, b) in operands(size, &a, &b) {
            let want = definition(size, a, b);
            for isa in available() {
                let c = multiplied(Product { isa, side: 64, ..Product::new(size, &a, &b) });
                assert_near(&c, &want, k, &format!("{size:?}, {}", isa.name));
            }
            assert_near(&matmul(size, a, b, None), &want, k, &format!("{size:?}"));
        }
    }
}

#[test]
fn products_are_the_same_bits_for_every_number_of_threads() {
    let size = Size { m: 150, n: 300, k: 500 };
    let (a, b) = (values(&random(&[150 * 500], 1)), values(&random(&[500 * 300], 2)));
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| matmul(size, Matrix::rows(&a, 500), Matrix::rows(&b, 300), None))
    };
    let one = with(1);
    assert!([2, 3, 7].iter().all(|&n| with(n) == one));
}

/// The kernels with AMX, or a line that says that the processor has none.
fn amx() -> Option<&'static Isa> {
    let isa = available().into_iter().find(|isa| isa.amx);
    if isa.is_none() {
        println!("skipped: this processor has no AMX");
    }
    isa
}

/// Numbers of all sizes from 2^-20 to 2^20.
fn of_all_sizes(n: usize, seed: u64) -> Vec<f32> {
    let powers = values(&random(&[n], seed + 1));
    values(&random(&[n], seed)).iter().zip(powers).map(|(v, p)| v * (p * 20.).round().exp2()).collect()
}

#[test]
fn products_by_amx_are_about_as_exact_as_those_of_f32() {
    let Some(amx) = amx() else { return };
    let size = Size { m: 70, n: 90, k: 700 };
    let even = |n, seed| values(&random(&[n], seed));
    for (a, b) in [(even(70 * 700, 3), even(700 * 90, 4)), (of_all_sizes(70 * 700, 5), of_all_sizes(700 * 90, 7))] {
        let (a, b) = (Matrix::rows(&a, 700), Matrix::rows(&b, 90));
        let absolute = [a.values, b.values].map(|v| v.iter().map(|v| v.abs()).collect::<Vec<_>>());
        let scales = definition(size, Matrix::rows(&absolute[0], 700), Matrix::rows(&absolute[1], 90));
        let want = definition(size, a, b);
        let error = |isa| {
            let c = multiplied(Product { isa, ..Product::new(size, &a, &b) });
            let errors = c.iter().zip(&want).zip(&scales).map(|((c, w), s)| (f64::from(*c) - w).abs() / s);
            errors.sum::<f64>() / want.len() as f64
        };
        let plain = available().into_iter().find(|isa| !isa.amx).unwrap();
        assert!(error(amx) <= 1.5 * error(plain), "{} instead of {}", error(amx), error(plain));
    }
}

#[test]
fn products_by_amx_do_not_depend_on_what_else_there_is() {
    let Some(isa) = amx() else { return };
    let size = Size { m: 600, n: 530, k: 200 };
    let [a, b] = [of_all_sizes(600 * 200, 1), of_all_sizes(200 * 530, 3)];
    let (left, right) = (Matrix::rows(&a, 200), Matrix::rows(&b, 530));
    let whole = multiplied(Product { isa, ..Product::new(size, &left, &right) });
    let few = multiplied(Product { isa, ..Product::new(Size { m: 5, ..size }, &left, &right) });
    assert_eq!(few, whole[..few.len()]);
    let turned = Size { m: 530, n: 600, k: 200 };
    let flipped = multiplied(Product { isa, flipped: true, ..Product::new(turned, &right.t(), &left.t()) });
    assert!((0..whole.len()).all(|i| whole[i] == flipped[i % 530 * 600 + i / 530]));
}

#[test]
fn what_is_not_finite_stays_so_by_amx() {
    let Some(isa) = amx() else { return };
    let nans = [0x7FC0_0000, 0xFFC0_0000, 0x7FFF_FFFF, 0x7F80_0001, 0x7FFF_8000].map(f32::from_bits);
    for wrong in nans.into_iter().chain([f32::INFINITY, f32::NEG_INFINITY]) {
        let (mut a, b) = (vec![1f32; 40 * 64], vec![1f32; 64 * 40]);
        a[3 * 64 + 37] = wrong;
        let size = Size { m: 40, n: 40, k: 64 };
        let c = multiplied(Product { isa, ..Product::new(size, &Matrix::rows(&a, 64), &Matrix::rows(&b, 40)) });
        let d = multiplied(Product { isa, ..Product::new(size, &Matrix::rows(&b, 40).t(), &Matrix::rows(&a, 64).t()) });
        for i in 0..1600 {
            assert_eq!(c[i].is_finite(), i / 40 != 3, "{wrong}, {i}: {}", c[i]);
            assert_eq!(d[i].is_finite(), i % 40 != 3, "{wrong}, {i}: {}", d[i]);
        }
    }
}

/// The output of a convolution, and with its gradient `dy` those of input and weights, by definition.
fn convolution(s: Winograd, x: &[f32], w: &[f32], dy: &[f32]) -> [Vec<f64>; 3] {
    let ([i, o], [h, wd], [top, left]) = (s.channels, s.image, s.padding);
    let [oh, ow] = [h + 2 * top - 2, wd + 2 * left - 2];
    let [mut y, mut dx, mut dw] = [dy.len(), x.len(), w.len()].map(|n| vec![0f64; n]);
    for (at, dy) in dy.iter().enumerate() {
        let (b, f, r, c) = (at / (o * oh * ow), at / (oh * ow) % o, at / ow % oh, at % ow);
        for tap in 0..9 {
            let (row, col) = (r + tap / 3, c + tap % 3);
            if !(top..h + top).contains(&row) || !(left..wd + left).contains(&col) {
                continue;
            }
            for channel in 0..i {
                let from = ((b * i + channel) * h + row - top) * wd + col - left;
                let weight = (f * i + channel) * 9 + tap;
                y[at] += f64::from(x[from]) * f64::from(w[weight]);
                dx[from] += f64::from(*dy) * f64::from(w[weight]);
                dw[weight] += f64::from(*dy) * f64::from(x[from]);
            }
        }
    }
    [y, dx, dw]
}

#[test]
fn winograd_stays_within_its_stated_error() {
    for (batch, channels, image, padding) in [
        (2, [3, 5], [7, 9], [1, 1]),
        (1, [1, 1], [3, 3], [0, 0]),
        (3, [17, 9], [13, 5], [2, 1]),
        (1, [512, 8], [6, 6], [1, 1]),
        (2, [40, 30], [28, 27], [1, 0]),
    ] {
        let s = Winograd { batch, channels, image, padding };
        let [i, o] = channels;
        let outputs = batch * o * (image[0] + 2 * padding[0] - 2) * (image[1] + 2 * padding[1] - 2);
        let [x, w, dy] = [batch * i * image[0] * image[1], o * i * 9, outputs].map(|n| values(&random(&[n], n as u64)));
        let kernels = |steps, turned| Kernels { values: &w, steps, turned };
        let [y, dx, dw] = convolution(s, &x, &w, &dy);
        let check = |got: &[f32], want: &[f64], what: &str| {
            let largest = want.iter().fold(0f64, |m, v| m.max(v.abs()));
            for (g, w) in got.iter().zip(want) {
                assert!((f64::from(*g) - w).abs() <= 2e-5 * largest, "{s:?}, {what}: {g} instead of {w}");
            }
        };
        for isa in available() {
            check(&s.forward_with(isa, &x, kernels([i * 9, 9], false), None), &y, "output");
            check(&s.adjoint().forward_with(isa, &dy, kernels([9, i * 9], true), None), &dx, "gradient of the input");
        }
        check(&s.weight_gradient(&x, &dy), &dw, "gradient of the weights");
    }
}

#[test]
fn winograd_gives_the_same_bits_for_every_number_of_threads() {
    let s = Winograd { batch: 2, channels: [40, 50], image: [30, 21], padding: [1, 1] };
    let [x, w, dy] = [2 * 40 * 630, 50 * 40 * 9, 2 * 50 * 630].map(|n| values(&random(&[n], n as u64)));
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let kernels = Kernels { values: &w, steps: [360, 9], turned: false };
        pool.install(|| (s.forward(&x, kernels, None), s.weight_gradient(&x, &dy)))
    };
    let one = with(1);
    assert!([2, 3, 7].iter().all(|&n| with(n) == one));
}

#[test]
fn exponentials_are_exact_to_a_few_units() {
    for i in -8730..8870 {
        let x = i as f32 * 0.01;
        let want = f64::from(x).exp();
        assert!((f64::from(exp(x)) - want).abs() <= 3e-7 * want, "{x}: {} instead of {want}", exp(x));
    }
    assert_eq!((exp(f32::NEG_INFINITY), exp(-100.), exp(0.), exp(f32::INFINITY)), (0., 0., 1., f32::INFINITY));
    assert!(exp(f32::NAN).is_nan());
}

#[test]
fn the_normal_distribution_matches_tabled_values() {
    for (x, want) in [(0., 0.5), (1., 0.841_344_7), (-1., 0.158_655_3), (2., 0.977_249_9), (-3., 0.001_349_9)] {
        assert!((normal(x).0 - want).abs() < 3e-7, "{x}: {}", normal(x).0);
    }
    assert!(normal(f32::NAN).0.is_nan());
}

#[test]
fn logarithms_and_turns_are_exact_to_a_few_units() {
    for i in 1..100_000 {
        let x = i as f32 * 0.000_37;
        let want = f64::from(x).ln();
        assert!((f64::from(ln(x)) - want).abs() <= 3e-7 * want.abs().max(0.5), "{x}: {} instead of {want}", ln(x));
        let share = i as f32 / 100_000.;
        let (sin, cos) = (f64::from(share) * std::f64::consts::TAU).sin_cos();
        let got = turn(share);
        assert!((f64::from(got.0) - cos).abs() < 4e-7 && (f64::from(got.1) - sin).abs() < 4e-7, "{share}: {got:?}");
    }
    assert_eq!((ln(1.), turn(0.)), (0., (1., 0.)));
}
