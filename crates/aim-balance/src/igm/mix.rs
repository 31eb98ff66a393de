//! Pairs of samples that are mixed (mixup, Zhang et al., ICLR 2018).

use aim_core::{Batch, Input, Result, Rng, Step};
use candle_core::{DType, Tensor};

use super::Igm;
use crate::{
    joint::cross_entropy,
    util::{number, sample_losses},
};

/// Pairs of samples and the share of the first of each.
pub(super) struct Mix {
    partner: Tensor,
    share: f64,
}

impl Mix {
    /// Draws pairs and a share, or takes those given; none without mixup.
    pub fn draw(settings: &Igm, cx: &Step<'_>) -> Result<Option<Self>> {
        if !settings.mixup {
            return Ok(None);
        }
        let mut rng = cx.draws().rng("igm.mix");
        let partner = match cx.given("mix_perm") {
            Some(given) => given.to_dtype(DType::U32)?,
            None => {
                let order = rng.permutation(cx.batch.len()).into_iter().map(|i| i as u32);
                Tensor::new(order.collect::<Vec<_>>(), cx.batch.labels.device())?
            }
        };
        let share = cx.given("mix_lambda").map(|t| number(&t.flatten_all()?.get(0)?)).transpose()?;
        Ok(Some(Self { partner, share: share.unwrap_or_else(|| beta(settings.mixup_alpha, &mut rng)) }))
    }

    /// Mixed inputs; a position is real where it is in either of the two.
    pub fn inputs(&self, x: &Input) -> Result<Input> {
        let other = x.rows(&self.partner)?;
        let values = ((&x.values * self.share)? + (other.values * (1. - self.share))?)?;
        let valid = x.valid.as_ref().zip(other.valid).map(|(own, other)| own.maximum(&other)).transpose()?;
        Ok(Input { values, valid })
    }

    /// The loss of mixed labels.
    pub fn loss(&self, logits: &Tensor, batch: &Batch) -> Result<Tensor> {
        let labels = batch.labels.index_select(&self.partner, 0)?;
        let other = Batch { labels, ..batch.clone() };
        let own = (cross_entropy(logits, batch)? * self.share)?;
        Ok((own + (sample_losses(logits, &other)?.mean_all()? * (1. - self.share))?)?)
    }
}

/// A draw from `Beta(alpha, alpha)`.
fn beta(alpha: f64, rng: &mut Rng) -> f64 {
    // Beta(1, 1) is uniform.
    if alpha == 1. {
        return rng.uniform();
    }
    let (a, b) = (log_gamma_draw(alpha, rng), log_gamma_draw(alpha, rng));
    1. / (1. + (b - a).exp())
}

/// The logarithm of a draw from `Gamma(shape, 1)` (Marsaglia & Tsang 2000), which small shapes would round to 0.
fn log_gamma_draw(shape: f64, rng: &mut Rng) -> f64 {
    if shape < 1. {
        return log_gamma_draw(shape + 1., rng) + rng.uniform().max(1e-300).ln() / shape;
    }
    let d = shape - 1. / 3.;
    loop {
        let x = rng.normal();
        let v = (1. + x / (9. * d).sqrt()).powi(3);
        if v > 0. && rng.uniform().max(1e-300).ln() < x * x / 2. + d - d * v + d * v.ln() {
            return (d * v).ln();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_position_is_real_where_either_of_the_two_is() {
        let of = |rows: [[f32; 3]; 2]| Tensor::new(&rows, &candle_core::Device::Cpu).unwrap();
        let mix = Mix { partner: Tensor::new(&[1u32, 0], &candle_core::Device::Cpu).unwrap(), share: 0.75 };
        let x = Input::padded(of([[4., 8., 0.], [8., 0., 0.]]), of([[1., 1., 0.], [1., 0., 0.]])).unwrap();
        let mixed = mix.inputs(&x).unwrap();
        // 0.75 * 4 + 0.25 * 8, 0.75 * 8; 0.75 * 8 + 0.25 * 4, 0.25 * 8.
        assert_eq!(mixed.values.to_vec2::<f32>().unwrap(), [[5., 6., 0.], [7., 2., 0.]]);
        assert_eq!(mixed.valid.unwrap().to_vec2::<f32>().unwrap(), [[1., 1., 0.], [1., 1., 0.]]);
    }

    #[test]
    fn shares_have_the_mean_and_variance_of_their_distribution() {
        for alpha in [0.1, 0.9, 1., 3.] {
            let mut rng = Rng::keyed(0, "beta");
            let draws: Vec<f64> = (0..40_000).map(|_| beta(alpha, &mut rng)).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
            // Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)).
            let want = 0.25 / (2. * alpha + 1.);
            assert!((mean - 0.5).abs() < 0.01 && (variance / want - 1.).abs() < 0.03, "{alpha}: {mean}, {variance}");
            assert!(draws.iter().all(|x| (0. ..=1.).contains(x)));
        }
    }
}
