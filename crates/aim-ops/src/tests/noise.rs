//! Noise is normal, belongs to its seed, and has the spread that is asked for.

use candle_core::{Device, Tensor};

use super::{random, scattered, values};
use crate::{noisy, noisy_by_spread, spread};

fn zeros(n: usize) -> Tensor {
    Tensor::zeros(n, candle_core::DType::F32, &Device::Cpu).unwrap()
}

#[test]
fn moments_and_tails_are_those_of_the_normal_distribution() {
    let draws: Vec<f64> = values(&noisy(&zeros(1 << 20), 1., 1., 3).unwrap()).into_iter().map(f64::from).collect();
    let mean = |f: &dyn Fn(f64) -> f64| draws.iter().map(|x| f(*x)).sum::<f64>() / draws.len() as f64;
    for (power, want, error) in [(1, 0., 0.005), (2, 1., 0.007), (3, 0., 0.02), (4, 3., 0.05), (6, 15., 0.6)] {
        let got = mean(&|x| x.powi(power));
        assert!((got - want).abs() < error, "moment {power} is {got}");
    }
    for (limit, share) in [(1., 0.317_31), (2., 0.045_5), (3., 0.002_7), (4., 6.334e-5)] {
        let beyond = mean(&|x| f64::from(x.abs() > limit));
        assert!((beyond - share).abs() < 5. * (share / draws.len() as f64).sqrt(), "{beyond} beyond {limit}");
    }
    // Neighbours, and the two of a pair, know nothing of each other.
    for lag in [1, 16] {
        let product = draws.iter().zip(&draws[lag..]).map(|(a, b)| a * b).sum::<f64>() / draws.len() as f64;
        assert!(product.abs() < 0.005, "{product} at {lag}");
    }
}

#[test]
fn noise_is_a_function_of_seed_and_index() {
    let x = random(&[37, 29], 1);
    let of = |x: &Tensor, seed| values(&noisy(x, 0.5, 2., seed).unwrap());
    assert_eq!(of(&x, 1), of(&scattered(&x), 1));
    assert_ne!(of(&x, 1), of(&x, 2));
    let noise = values(&noisy(&zeros(37 * 29), 1., 2., 1).unwrap());
    assert!(of(&x, 1).iter().zip(values(&x).iter().zip(noise)).all(|(y, (x, n))| (y - (0.5 * x + n)).abs() < 1e-6));
    assert_eq!(noise_of(7)[..], noise_of(40)[..7], "a longer tensor begins with the same draws");
    assert_eq!(values(&noisy(&x, 1., 0., 1).unwrap()), values(&x));
    assert!(noisy(&x, 1., f64::NAN, 1).is_err() && noisy(&x, 1., -1., 1).is_err());
}

fn noise_of(n: usize) -> Vec<f32> {
    values(&noisy(&zeros(n), 1., 1., 5).unwrap())
}

#[test]
fn spreads_by_definition() {
    for (shape, shift) in [(vec![2], 0.), (vec![41], 3.), (vec![123, 77], -200.)] {
        let x = (random(&shape, 1) + shift).unwrap();
        let all: Vec<f64> = values(&x).into_iter().map(f64::from).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let want = (all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (all.len() - 1) as f64).sqrt();
        let got = spread(&scattered(&x)).unwrap();
        assert!((got - want).abs() < 1e-5 * want, "{got} instead of {want}");
    }
    assert_eq!(spread(&Tensor::full(1e6f32, 100, &Device::Cpu).unwrap()).unwrap(), 0.);
    assert!(spread(&zeros(1)).unwrap().is_nan());
    assert!(spread(&zeros(0)).unwrap_err().to_string().contains("spread"));
}

#[test]
fn noise_by_a_tensors_own_spread() {
    let x = random(&[37, 29], 1);
    let want = noisy(&x, 0.5, spread(&x).unwrap() + 0.25, 3).unwrap();
    assert_eq!(values(&noisy_by_spread(&x, 0.5, 0.25, 3).unwrap()), values(&want));
    // A single element has no spread.
    let want = noisy(&zeros(1), 1., 0.25, 3).unwrap();
    assert_eq!(values(&noisy_by_spread(&zeros(1), 1., 0.25, 3).unwrap()), values(&want));
    assert!(noisy_by_spread(&zeros(0), 1., 0.25, 3).is_err() && noisy_by_spread(&x, 1., f64::NAN, 3).is_err());
}
