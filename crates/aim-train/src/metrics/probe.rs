//! Linear probes: how much a frozen encoder's features know, whatever head the network has on them.

use aim_core::{Error, Result};
use candle_core::{D, DType, Device, Tensor};

use super::evaluation::{classes, share_right};

/// Inverse strength of the L2 penalty, relative to the sum of the losses.
const C: f64 = 0.1;
/// Iterations at most.
const ITERATIONS: usize = 300;
/// Largest component of the gradient of the mean loss at which the fit counts as done.
const TOLERANCE: f64 = 1e-5;
/// Steps that the approximation of the curvature remembers.
const MEMORY: usize = 10;

/// A fitted probe.
pub struct Probe {
    weights: Vec<f64>,
    shape: (usize, usize),
}

/// Test accuracy of a logistic regression (L2, C = 0.1, bias not penalised) fitted on training features.
///
/// # Errors
/// If the features are not finite or do not fit the labels.
pub fn probe(train: (&Tensor, &[usize]), test: (&Tensor, &[usize]), classes: usize) -> Result<f64> {
    Probe::fit(train.0, train.1, classes)?.accuracy(test.0, test.1)
}

impl Probe {
    /// Minimises `mean_i CE_i + |W|^2 / (2 C N)` by L-BFGS (Liu & Nocedal 1989), from zero.
    ///
    /// # Errors
    /// If the features are not finite or do not fit the labels.
    pub fn fit(features: &Tensor, labels: &[usize], classes: usize) -> Result<Self> {
        let problem = Problem::new(features, labels, classes)?;
        let mut weights = vec![0.; problem.shape.0 * problem.shape.1];
        let (mut value, mut gradient) = problem.at(&weights)?;
        let mut memory: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
        for _ in 0..ITERATIONS {
            if gradient.iter().all(|g| g.abs() < TOLERANCE) {
                break;
            }
            let direction = descent(&gradient, &memory);
            let Some(next) = search(&problem, &weights, value, &gradient, &direction)? else { break };
            let moved: Vec<f64> = next.0.iter().zip(&weights).map(|(a, b)| a - b).collect();
            let bent: Vec<f64> = next.2.iter().zip(&gradient).map(|(a, b)| a - b).collect();
            if dot(&moved, &bent) > 1e-12 {
                memory.push((moved, bent));
                memory.drain(..memory.len().saturating_sub(MEMORY));
            }
            (weights, value, gradient) = next;
        }
        Ok(Self { weights, shape: problem.shape })
    }

    /// Share of samples whose class the probe tells.
    ///
    /// # Errors
    /// If the features have another width.
    pub fn accuracy(&self, features: &Tensor, labels: &[usize]) -> Result<f64> {
        let logits = with_one(features)?.matmul(&matrix(&self.weights, self.shape)?.t()?)?;
        share_right(labels, &classes(&logits)?)
    }
}

struct Problem {
    /// Features with a column of ones, `[N, width + 1]`.
    x: Tensor,
    labels: Tensor,
    one_hot: Tensor,
    /// Classes and width + 1.
    shape: (usize, usize),
}

impl Problem {
    fn new(features: &Tensor, labels: &[usize], classes: usize) -> Result<Self> {
        let (n, width) = features.dims2()?;
        if n != labels.len() {
            return Err(Error::shape("features of the probe", features.dims(), format!("[{}, width]", labels.len())));
        }
        let index: Vec<u32> = labels.iter().map(|y| *y as u32).collect();
        let labels = Tensor::new(index, &Device::Cpu)?.unsqueeze(1)?;
        let ones = Tensor::ones((n, 1), DType::F32, &Device::Cpu)?;
        let one_hot = Tensor::zeros((n, classes), DType::F32, &Device::Cpu)?.scatter_add(&labels, &ones, 1)?;
        Ok(Self { x: with_one(features)?, labels, one_hot, shape: (classes, width + 1) })
    }

    /// Value and gradient.
    fn at(&self, weights: &[f64]) -> Result<(f64, Vec<f64>)> {
        let n = self.x.dims()[0] as f64;
        let logits = self.x.matmul(&matrix(weights, self.shape)?.t()?)?;
        let log_p = aim_ops::log_softmax(&logits)?;
        let loss: f64 = log_p.gather(&self.labels, 1)?.to_dtype(DType::F64)?.sum_all()?.to_scalar()?;
        let slope = (log_p.exp()? - &self.one_hot)?.t()?.contiguous()?.matmul(&self.x)?;
        let mut gradient: Vec<f64> = slope.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        let (mut penalty, columns) = (0., self.shape.1);
        for (i, (g, w)) in gradient.iter_mut().zip(weights).enumerate() {
            *g /= n;
            if (i + 1) % columns != 0 {
                *g += w / (C * n);
                penalty += w * w;
            }
        }
        let value = -loss / n + penalty / (2. * C * n);
        if value.is_finite() {
            return Ok((value, gradient));
        }
        Err(Error::NonFinite { name: "loss of the probe".into(), value, hint: "check the encoder's features".into() })
    }
}

/// Features on the CPU with a column of ones for the bias.
fn with_one(features: &Tensor) -> Result<Tensor> {
    let x = features.to_device(&Device::Cpu)?;
    let ones = Tensor::ones((x.dims2()?.0, 1), DType::F32, &Device::Cpu)?;
    Ok(Tensor::cat(&[&x, &ones], D::Minus1)?)
}

fn matrix(weights: &[f64], shape: (usize, usize)) -> Result<Tensor> {
    let weights: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
    Ok(Tensor::from_vec(weights, shape, &Device::Cpu)?)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(a: &mut [f64], b: &[f64], c: f64) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += c * b);
}

/// The two-loop recursion: minus the gradient, bent by the remembered curvature.
fn descent(gradient: &[f64], memory: &[(Vec<f64>, Vec<f64>)]) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(memory.len());
    for (s, y) in memory.iter().rev() {
        let share = dot(s, &q) / dot(s, y);
        add(&mut q, y, -share);
        shares.push(share);
    }
    let scale = memory.last().map_or(1., |(s, y)| dot(s, y) / dot(y, y));
    q.iter_mut().for_each(|v| *v *= scale);
    for ((s, y), share) in memory.iter().zip(shares.iter().rev()) {
        let rest = share - dot(y, &q) / dot(s, y);
        add(&mut q, s, rest);
    }
    q
}

type Point = (Vec<f64>, f64, Vec<f64>);

/// Halves the step until the value falls as much as a small part of the slope promises; `None` at the limit of
/// precision.
fn search(problem: &Problem, from: &[f64], value: f64, gradient: &[f64], direction: &[f64]) -> Result<Option<Point>> {
    let slope = dot(gradient, direction);
    let mut step = 1.;
    for _ in 0..30 {
        let mut to = from.to_vec();
        add(&mut to, direction, step);
        let (next, bent) = problem.at(&to)?;
        if next <= value + 1e-4 * step * slope {
            return Ok(Some((to, next, bent)));
        }
        step /= 2.;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two classes on a line at -1 and 1 (one sample each) have the optimum where `w_1 = -w_0 = w`, bias 0, with
    /// `2 w = C N * sigmoid(-2 w)` / ... written out: d/dw of `ln(1 + e^{-2w}) + 2 w^2 / (2 C N)` is 0.
    #[test]
    fn the_optimum_of_two_samples_by_hand() {
        let x = Tensor::new(&[[-1f32], [1.]], &Device::Cpu).unwrap();
        let probe = Probe::fit(&x, &[0, 1], 2).unwrap();
        let w = probe.weights[2];
        let slope = -2. / (1. + (2. * w).exp()) + 2. * w / (C * 2.);
        assert!(slope.abs() < 1e-3, "{:?} {slope}", probe.weights);
        assert!((probe.weights[0] + w).abs() < 1e-4 && probe.weights[1].abs() < 1e-4);
        assert_eq!(probe.accuracy(&x, &[0, 1]).unwrap(), 1.);
    }

    #[test]
    fn gradient_agrees_with_finite_differences() {
        let x = Tensor::new(&[[0.3f32, -1.], [1., 0.5], [-0.7, 0.2]], &Device::Cpu).unwrap();
        let problem = Problem::new(&x, &[0, 2, 1], 3).unwrap();
        let w: Vec<f64> = (0..9).map(|i| f64::from(i % 4) * 0.3 - 0.4).collect();
        let (_, gradient) = problem.at(&w).unwrap();
        for i in 0..9 {
            let shifted = |h: f64| {
                let mut w = w.clone();
                w[i] += h;
                problem.at(&w).unwrap().0
            };
            let slope = (shifted(1e-2) - shifted(-1e-2)) / 2e-2;
            assert!((slope - gradient[i]).abs() < 1e-3, "{i}: {slope} {}", gradient[i]);
        }
    }
}
