//! Transformers in plain loops and f64, to test the encoders against.

use std::collections::BTreeMap;

use aim_core::{Draws, Encoder, Grads, Params, Pass, Rng};
use candle_core::{Device, Tensor};

use crate::attention::{Shape, Style};

/// Where the parameters' names begin.
pub(crate) const NAME: &str = "encoders.tested";

/// Tokens, one row each.
pub(crate) type Rows = Vec<Vec<f64>>;

/// A network: its parameters' values by name, and what its layers are.
pub(crate) struct Reference {
    weights: BTreeMap<String, Vec<f64>>,
    shape: Shape,
    style: Style,
}

impl Reference {
    pub(crate) fn weight(&self, name: &str) -> &[f64] {
        &self.weights[&format!("{NAME}.{name}")]
    }

    pub(crate) fn linear(&self, name: &str, x: &Rows) -> Rows {
        let (weight, bias) = (self.weight(&format!("{name}.weight")), self.weight(&format!("{name}.bias")));
        let unit = |row: &[f64], o: usize| {
            let weights = &weight[o * row.len()..(o + 1) * row.len()];
            bias[o] + weights.iter().zip(row).map(|(w, x)| w * x).sum::<f64>()
        };
        x.iter().map(|row| (0..bias.len()).map(|o| unit(row, o)).collect()).collect()
    }

    pub(crate) fn layer_norm(&self, name: &str, x: &Rows) -> Rows {
        let (gamma, beta) = (self.weight(&format!("{name}.weight")), self.weight(&format!("{name}.bias")));
        let normal = |row: &Vec<f64>| {
            let n = row.len() as f64;
            let mean = row.iter().sum::<f64>() / n;
            let deviation = (row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n + 1e-12).sqrt();
            row.iter().zip(gamma.iter().zip(beta)).map(|(x, (g, b))| (x - mean) / deviation * g + b).collect()
        };
        x.iter().map(normal).collect()
    }

    fn attention(&self, layer: &str, x: &Rows, seen: &[bool]) -> Rows {
        let inner = if self.style == Style::Vit { "attention" } else { "self" };
        let project = |name: &str| self.linear(&format!("{layer}.attention.{inner}.{name}"), x);
        let (q, k, v) = (project("query"), project("key"), project("value"));
        let size = self.shape.width / self.shape.heads;
        let mut joined = vec![vec![0.; self.shape.width]; x.len()];
        for (query, out) in q.iter().zip(&mut joined) {
            for head in 0..self.shape.heads {
                let of = head * size..(head + 1) * size;
                let score = |(key, seen): (&Vec<f64>, &bool)| {
                    let dot: f64 = query[of.clone()].iter().zip(&key[of.clone()]).map(|(q, k)| q * k).sum();
                    f64::from(*seen) * (dot / (size as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = k.iter().zip(seen).map(score).collect();
                let total: f64 = scores.iter().sum();
                for i in of {
                    out[i] = scores.iter().zip(&v).map(|(s, v)| s / total * v[i]).sum();
                }
            }
        }
        self.linear(&format!("{layer}.attention.output.dense"), &joined)
    }

    fn widen(&self, layer: &str, x: &Rows) -> Rows {
        let mut hidden = self.linear(&format!("{layer}.intermediate.dense"), x);
        hidden.iter_mut().flatten().for_each(|x| *x *= 0.5 * (1. + erf(*x / 2f64.sqrt())));
        self.linear(&format!("{layer}.output.dense"), &hidden)
    }

    /// All layers; tokens that are not `seen` are attended to by none.
    pub(crate) fn layers(&self, mut x: Rows, seen: &[bool]) -> Rows {
        for i in 0..self.shape.layers {
            let layer = format!("encoder.layer.{i}");
            let norm = |name: &str, x: &Rows| self.layer_norm(&format!("{layer}.{name}"), x);
            match self.style {
                Style::Vit => {
                    x = added(&x, &self.attention(&layer, &norm("layernorm_before", &x), seen));
                    x = added(&x, &self.widen(&layer, &norm("layernorm_after", &x)));
                }
                Style::Bert => {
                    x = norm("attention.output.LayerNorm", &added(&x, &self.attention(&layer, &x, seen)));
                    x = norm("output.LayerNorm", &added(&x, &self.widen(&layer, &x)));
                }
            }
        }
        x
    }
}

/// The sum of two matrices.
pub(crate) fn added(x: &Rows, y: &Rows) -> Rows {
    x.iter().zip(y).map(|(x, y)| x.iter().zip(y).map(|(x, y)| x + y).collect()).collect()
}

/// The error function by its power series, for moderate arguments.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2. / std::f64::consts::PI.sqrt()
}

/// Uniform values that belong to a name.
pub(crate) fn random(shape: &[usize], name: &str) -> Tensor {
    Rng::keyed(1, name).uniform_tensor(shape, 0.7, &Device::Cpu).unwrap()
}

/// Makes every weight large enough to matter.
pub(crate) fn enlarge(params: &Params) {
    for (name, param) in params.iter().filter(|(name, _)| !name.contains("lora")) {
        param.var.set(&random(param.var.dims(), name)).unwrap();
    }
}

pub(crate) fn values(x: &Tensor) -> Vec<f64> {
    x.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect()
}

/// A training pass of some step.
pub(crate) fn pass(step: usize) -> Pass<'static> {
    Pass::train(Draws { seed: 0, epoch: 0, step })
}

/// Compares an encoder's features of a batch with the reference's, and its gradients with central differences of that.
pub(crate) fn check(
    encoder: &dyn Encoder,
    params: &Params,
    (shape, style): (Shape, Style),
    x: &Tensor,
    feature: impl Fn(&Reference, &[f64]) -> Vec<f64>,
) {
    let weights = params.tensors().iter().map(|(k, t)| (k.clone(), values(t))).collect();
    let mut reference = Reference { weights, shape, style };
    let samples = values(x);
    let size = samples.len() / x.dim(0).unwrap();
    let features = |r: &Reference| samples.chunks(size).flat_map(|sample| feature(r, sample)).collect::<Vec<_>>();
    let got = encoder.forward(&x.clone().into(), &mut pass(0)).unwrap();
    for (got, want) in values(&got).iter().zip(features(&reference)) {
        assert!((got - want).abs() < 2e-5, "{got} instead of {want}");
    }
    let mix = random(got.dims(), "mix");
    let grads = Grads::of(&(got * &mix).unwrap().sum_all().unwrap(), params).unwrap();
    let mix = values(&mix);
    for (name, param) in params.iter() {
        let grad = values(grads.get(name).unwrap_or_else(|| panic!("{name} has no gradient")));
        let count = param.var.elem_count();
        for i in (0..count).step_by(count.div_ceil(4)) {
            let start = reference.weights[name.as_ref()][i];
            let mut loss = |shift: f64| -> f64 {
                reference.weights.get_mut(name.as_ref()).unwrap()[i] = start + shift;
                features(&reference).iter().zip(&mix).map(|(f, m)| f * m).sum()
            };
            let numeric = (loss(1e-5) - loss(-1e-5)) / 2e-5;
            loss(0.);
            assert!((grad[i] - numeric).abs() < 1e-4 * (1. + numeric.abs()), "{name}[{i}]: {} or {numeric}", grad[i]);
        }
    }
}
