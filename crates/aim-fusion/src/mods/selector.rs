//! The selector: which modality is primary for a sample, and how much each counts.
//!
//! ```text
//! a = softmax over tokens of H v / sqrt(width),  h = a H
//! w = softmax(MLP([h_1 .. h_M])),  p = argmax w
//! ```
//! The choice itself has no gradient; the selector learns through the weights that multiply the streams.

use aim_backbones::{Build, Linear};
use aim_core::{Part, Pass, Result};
use candle_core::{D, Tensor};

use super::ModsConfig;
use crate::attention::{Dropout, Mlp};

/// One vector of a sequence of tokens.
pub(super) struct Summary(Linear);

impl Summary {
    pub(super) fn new(build: &mut Build, name: &str, width: usize) -> Result<Self> {
        Ok(Self(build.linear(name, Part::Fusion, width, 1, false)?))
    }

    /// `[B, width]` of tokens `[B, T, width]`.
    pub(super) fn forward(&self, tokens: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let scale = 1. / (tokens.dim(D::Minus1)? as f64).sqrt();
        let scores = (self.0.forward(tokens, pass)?.squeeze(2)? * scale)?;
        Ok(aim_ops::softmax(&scores)?.unsqueeze(1)?.matmul(tokens)?.squeeze(1)?)
    }
}

pub(super) struct Selector {
    mlp: Mlp,
    dropout: Dropout,
}

impl Selector {
    pub(super) fn new(build: &mut Build, modalities: usize, config: &ModsConfig) -> Result<Self> {
        let sizes = [modalities * config.width, config.width, modalities];
        let mlp = Mlp::new(build, "selector", Part::Fusion, sizes)?;
        Ok(Self { mlp, dropout: Dropout::new("selector", config.dropout) })
    }

    /// Weights `[B, M]`.
    pub(super) fn forward(&self, summaries: &[Tensor], pass: &Pass<'_>) -> Result<Tensor> {
        let hidden = aim_ops::relu(&self.mlp.0.forward(&Tensor::cat(summaries, 1)?, pass)?)?;
        Ok(aim_ops::softmax(&self.mlp.1.forward(&self.dropout.forward(hidden, pass)?, pass)?)?)
    }
}

/// Streams `[B, M, T, width]` by role: for each sample the one with the largest weight, then the others in their order.
pub(super) fn roles(streams: &Tensor, weights: &Tensor) -> Result<Vec<Tensor>> {
    let (batch, modalities, tokens, width) = streams.dims4()?;
    let primary: Vec<u32> = weights.argmax(1)?.to_vec1()?;
    let order = |p: u32| std::iter::once(p).chain((0..modalities as u32).filter(move |m| *m != p));
    let index: Vec<u32> = primary.into_iter().flat_map(order).collect();
    let index = Tensor::from_vec(index, (batch, modalities, 1), streams.device())?;
    let index = index.broadcast_as((batch, modalities, tokens * width))?.contiguous()?;
    let ordered = streams.flatten_from(2)?.contiguous()?.gather(&index, 1)?;
    let stream = |role| Ok(ordered.narrow(1, role, 1)?.reshape((batch, tokens, width))?);
    (0..modalities).map(stream).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn roles_of_each_sample_by_hand_and_their_gradient() {
        // Modality m of sample i is 10 i + m; the second sample's largest weight is that of 2, the third's a tie.
        let values: Vec<f32> = (0..3).flat_map(|i| (0..3).flat_map(move |m| [(10 * i + m) as f32; 4])).collect();
        let streams = Var::from_vec(values, (3, 3, 2, 2), &Device::Cpu).unwrap();
        let weights = [[0.2f32, 0.5, 0.3], [0.1, 0.2, 0.7], [0.4, 0.2, 0.4]];
        let weights = Tensor::new(&weights, &Device::Cpu).unwrap();
        let found = roles(&streams, &weights).unwrap();
        let first =
            |t: &Tensor| -> Vec<f32> { t.flatten_from(1).unwrap().get_on_dim(1, 3).unwrap().to_vec1().unwrap() };
        assert_eq!(found.iter().map(first).collect::<Vec<_>>(), [[1., 12., 20.], [0., 10., 21.], [2., 11., 22.]]);
        let grads = found[0].sum_all().unwrap().backward().unwrap();
        let grad = grads.get(&streams).unwrap().mean(3).unwrap().mean(2).unwrap();
        assert_eq!(grad.to_vec2::<f32>().unwrap(), [[0., 1., 0.], [0., 0., 1.], [1., 0., 0.]]);
    }

    #[test]
    fn summary_by_hand() {
        let mut build = Build::new(0, &Device::Cpu);
        let summary = Summary::new(&mut build, "s", 4).unwrap();
        let params = build.finish();
        params.get("s.weight").unwrap().var.set(&Tensor::new(&[[2f32, 0., 0., 0.]], &Device::Cpu).unwrap()).unwrap();
        // Scores 2 ln 3 / sqrt 4 = ln 3 and 0: shares 3/4 and 1/4.
        let tokens = Tensor::new(&[[[3f32.ln(), 4., 0., 8.], [0., 0., 4., 8.]]], &Device::Cpu).unwrap();
        let found: Vec<f32> =
            summary.forward(&tokens, &Pass::eval()).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let by_hand = [0.75 * 3f32.ln(), 3., 1., 8.];
        assert!(found.iter().zip(by_hand).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
    }
}
