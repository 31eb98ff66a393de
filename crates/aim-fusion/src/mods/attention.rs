//! Primary-centred cross attention (PCCA): a layer gathers the auxiliary streams into the primary one and answers them.
//!
//! ```text
//! n: layer norms of the streams;   CA(q, k): attention of q over k;   PFF: linear, ReLU, linear over 4 widths
//! P' = CA(n_p, n_p) + P + sum over auxiliaries of CA(n_p, n_a)
//! A  <- X + PFF(LN(X)),  X = CA(n_a, P')  (+ A, if so set);   P <- P' + PFF(LN(P'))
//! ```
//! Weights belong to roles: primary, first auxiliary and so on. The last layer answers no auxiliary.

use aim_backbones::{Build, LayerNorm};
use aim_core::{Part, Pass, Result};
use candle_core::Tensor;

use super::ModsConfig;
use crate::attention::{Attention, EPS, Forward};

/// One layer.
pub(super) struct Layer {
    /// Of every role, the primary one first.
    norms: Vec<LayerNorm>,
    own: Attention,
    /// What the primary stream sees of each auxiliary one.
    gather: Vec<Attention>,
    forward: Forward,
    /// What each auxiliary stream becomes; none in the last layer.
    answer: Vec<(Attention, Forward)>,
    residual: bool,
}

impl Layer {
    pub(super) fn new(build: &mut Build, index: usize, modalities: usize, config: &ModsConfig) -> Result<Self> {
        let name = |what: &str, role: usize| format!("layers.{index}.{what}.{role}");
        let norm = |role| Ok(build.layer_norm(&name("norm", role), Part::Fusion, config.width)?.eps(EPS));
        let norms = (0..modalities).map(norm).collect::<Result<_>>()?;
        let gather = (1..modalities).map(|role| Attention::new(build, &name("gather", role), config.sizes()));
        let gather = gather.collect::<Result<_>>()?;
        let answered = if index + 1 == config.layers { 1..1 } else { 1..modalities };
        let answer = answered.map(|role| {
            let attention = Attention::new(build, &name("answer", role), config.sizes())?;
            Ok((attention, Forward::new(build, &name("forward", role), config.sizes())?))
        });
        Ok(Self {
            norms,
            gather,
            answer: answer.collect::<Result<_>>()?,
            own: Attention::new(build, &name("own", 0), config.sizes())?,
            forward: Forward::new(build, &name("forward", 0), config.sizes())?,
            residual: config.aux_residual,
        })
    }

    /// The streams after the layer, primary first; after the last layer it alone.
    pub(super) fn forward(&self, streams: &[Tensor], pass: &Pass<'_>) -> Result<Vec<Tensor>> {
        let normal = self.norms.iter().zip(streams).map(|(norm, x)| norm.forward(x, pass));
        let normal = normal.collect::<Result<Vec<_>>>()?;
        let mut primary = (self.own.forward(&normal[0], &normal[0], None, pass)? + &streams[0])?;
        for (attention, x) in self.gather.iter().zip(&normal[1..]) {
            primary = (primary + attention.forward(&normal[0], x, None, pass)?)?;
        }
        let mut out = vec![self.forward.forward(&primary, pass)?];
        for ((attention, forward), (x, before)) in self.answer.iter().zip(normal[1..].iter().zip(&streams[1..])) {
            let seen = attention.forward(x, &primary, None, pass)?;
            let seen = if self.residual { (seen + before)? } else { seen };
            out.push(forward.forward(&seen, pass)?);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aim_core::{Draws, Params, Rng};
    use candle_core::Device;

    fn layer(config: &ModsConfig) -> (Layer, Params, Vec<Tensor>) {
        let mut build = Build::new(0, &Device::Cpu);
        let layer = Layer::new(&mut build, 0, 2, config).unwrap();
        let mut rng = Rng::keyed(0, "x");
        let streams = (0..2).map(|_| rng.normal_tensor(&[2, 3, 4], 1., &Device::Cpu).unwrap()).collect();
        (layer, build.finish(), streams)
    }

    fn config(layers: usize, aux_residual: bool) -> ModsConfig {
        ModsConfig { width: 4, tokens: 3, heads: 2, layers, aux_residual, ..ModsConfig::default() }
    }

    fn distance(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    /// With every attention and feed-forward silenced, only the residual connections are left.
    #[test]
    fn residual_connections() {
        for residual in [false, true] {
            let (layer, params, streams) = layer(&config(2, residual));
            for (_, param) in params.iter().filter(|(n, _)| n.contains(".out.") || n.contains("forward")) {
                param.var.set(&param.var.zeros_like().unwrap()).unwrap();
            }
            let out = layer.forward(&streams, &Pass::eval()).unwrap();
            assert_eq!(distance(&out[0], &streams[0]), 0.);
            let kept = if residual { streams[1].clone() } else { streams[1].zeros_like().unwrap() };
            assert_eq!(distance(&out[1], &kept), 0.);
        }
    }

    #[test]
    fn one_head_of_one_token_is_its_value() {
        // A softmax over one key is 1: what is seen is out(value(x)) whatever query and key say.
        let mut build = Build::new(0, &Device::Cpu);
        let attention = Attention::new(&mut build, "a", config(1, false).sizes()).unwrap();
        let mut rng = Rng::keyed(0, "x");
        let mut draw = |tokens: usize| rng.normal_tensor(&[2, tokens, 4], 1., &Device::Cpu).unwrap();
        let (x, of, pass) = (draw(3), draw(1), Pass::eval());
        let value = attention.out.forward(&attention.value.forward(&of, &pass).unwrap(), &pass).unwrap();
        let seen = attention.forward(&x, &of, None, &pass).unwrap();
        assert!(distance(&seen, &value.broadcast_as(seen.shape()).unwrap()) < 1e-6);
    }

    #[test]
    fn the_last_layer_keeps_the_primary_stream_alone_and_dropout_is_of_training() {
        let (layer, _, streams) = layer(&config(1, false));
        let eval = || layer.forward(&streams, &Pass::eval()).unwrap();
        let train = |step| layer.forward(&streams, &Pass::train(Draws { seed: 0, epoch: 0, step })).unwrap();
        assert_eq!((eval().len(), distance(&eval()[0], &eval()[0])), (1, 0.));
        assert_eq!(distance(&train(0)[0], &train(0)[0]), 0.);
        assert!(distance(&train(0)[0], &train(1)[0]) > 0. && distance(&train(0)[0], &eval()[0]) > 0.);
    }
}
