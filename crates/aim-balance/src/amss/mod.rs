//! AMSS and AMSS+: adaptively masked subnetworks (Yang et al., TPAMI 2025, arXiv 2404.08347): the modality that says more
//! about the label has fewer of its units updated.
//!
//! ```text
//! I_m   = -CE(unimodal_m) + H(Y) + offset          H(Y): entropy of the batch's label frequencies
//! t_m   = I_m / H(softmax(phi_m)) / temperature;   rho_m = clamp(1 - softmax(t)_m, 0.1, 0.9); 0.5 each if any I_m <= 0
//! unit o of a layer: p_o = |g_o|^2 / sum |g|^2;  n = ceil(units rho_m) are drawn without replacement with chances p
//! drawn units: gradient times 1 (amss), 1 / min(1, n p_o) (amss+), 1 / (p_o + 1/units) (amss+official);   others: 0
//! head: the same in each class row over the columns of each modality
//! ```
//! Units are output units of linear layers and channels of block convolutions (not stems, shortcuts, biases, norm layers).
//! The official audio-visual script never applies the head's mask (`mask_head: false`), takes another quantity for H(Y) and
//! its AMSS+ weight is no inverse of a chance; the clean forms are the defaults. temperature 0.2 and offset 0.5 are official.
//! Units without a gradient are never drawn, so that fewer than n may be.

mod draw;

use aim_core::{GradOp, Grads, Idle, Kind, NetSpec, Part, Report, Result, Role, Seen, Stateless};
use candle_core::{D, DType, Tensor};
use serde::{Deserialize, Serialize};

pub use self::draw::Weights;
use self::draw::{Drawn, draw};
use crate::card::{About, Needs, Setting, Settings, within};
use crate::joint::cross_entropy;
use crate::stack::Built;
use crate::util::number;

/// Card of [`Amss`].
pub static ABOUT: About = About {
    name: "amss",
    title: "AMSS",
    idea: "update only a sampled part of each encoder, the smaller the more its modality says",
    paper: "Yang et al., TPAMI 2025 (arXiv 2404.08347)",
    cost: "1 forward and 1 backward pass; squared gradients and a draw a layer, on the CPU",
    departs: &[
        "H(Y) is the entropy of the labels; the released code takes a cross-entropy of the frequencies with their own \
        softmax.",
        "The head is masked too where its columns belong to one modality each, as in the released text-image and three-modality scripts; the audio-visual script \
        makes the mask and does not apply it (`mask_head: false`).",
        "AMSS+ divides by the chance of a unit to be drawn; the released weight is no such inverse (`weights: \
        amss+official`).",
        "Units whose share of the squared gradient is below what f32 tells from 0 are never drawn, because 1 over their \
        chance has no bound; the released code stops with an error where fewer than n units have a gradient.",
        "Output units of every linear layer are masked, so that MLPs and transformers work; the released text encoder \
        masks attention heads.",
        "The audio-visual form serves any number of modalities; the released three-modality script has other \
        constants.",
    ],
    settings: &[
        Setting::new("temperature", "0.2", "above 0", "sharpness of the shares", "released code"),
        Setting::new("offset", "0.5", "0 to 100", "added to the information", "released code"),
        Setting::new("weights", "amss", "amss | amss+ | amss+official", "of drawn units", "paper (AMSS)"),
        Setting::new("mask_head", "true", "true | false", "also mask the head", "ours; released (audio-visual): false"),
    ],
    needs: Needs { unimodal: true, reads: true, ..Needs::NONE },
};

/// Settings of `amss`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Amss {
    /// Sharpness of the shares.
    pub temperature: f64,
    /// Added to the information.
    pub offset: f64,
    /// Weights of drawn units.
    pub weights: Weights,
    /// Also mask the head.
    pub mask_head: bool,
}

impl Default for Amss {
    fn default() -> Self {
        Self { temperature: 0.2, offset: 0.5, weights: Weights::Plain, mask_head: true }
    }
}

impl Settings for Amss {
    fn check(&self) -> Result<()> {
        within("temperature", self.temperature, f64::MIN_POSITIVE, f64::MAX)?;
        within("offset", self.offset, 0., 100.)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::op(self))
    }
}

impl Stateless for Amss {}
impl Idle for Amss {}

impl GradOp for Amss {
    fn apply(&mut self, grads: &mut Grads, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
        let rho = self.shares(seen, report)?;
        let spec = seen.net.spec();
        let widths = &spec.widths;
        grads.map(seen.net.params(), |name, role, grad| match role.part {
            Part::Encoder { modality, depth } if is_unit_layer(role, grad, depth, &spec.inputs[modality]) => {
                self.layer(name, grad, rho[modality], seen, report).map(Some)
            }
            Part::Head { modality } if role.is_weight() && self.mask_head => {
                let parts: Vec<(usize, usize)> = match modality {
                    Some(m) => vec![(m, grad.dim(1)?)],
                    None if grad.dim(1)? == widths.iter().sum::<usize>() => {
                        widths.iter().copied().enumerate().collect()
                    }
                    None => return Ok(None),
                };
                self.head(name, grad, &parts, &rho, seen, report).map(Some)
            }
            _ => Ok(None),
        })
    }
}

/// Every linear layer, and convolutions that neither read the encoder's input (stems) nor have a kernel of one (shortcuts).
fn is_unit_layer(role: Role, grad: &Tensor, depth: usize, input: &[usize]) -> bool {
    let dims = grad.dims();
    match role.kind {
        Kind::Linear => true,
        Kind::Conv => dims[2..].iter().any(|k| *k > 1) && !(depth == 0 && input.first() == Some(&dims[1])),
        _ => false,
    }
}

impl Amss {
    /// Share of each modality's units that is updated.
    fn shares(&self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<f64>> {
        let names = &seen.net.spec().modalities;
        let label_entropy = label_entropy(&seen.batch.labels)?;
        report.scalar("label_entropy", label_entropy)?;
        let (mut information, mut rates) = (vec![], vec![]);
        for (m, name) in names.iter().enumerate() {
            let own =
                label_entropy + self.offset - number(&cross_entropy(&seen.out.unimodal[m].detach(), seen.batch)?)?;
            let entropy = feature_entropy(&seen.out.features[m].detach())?;
            report.scalar(format!("information.{name}"), own)?;
            report.scalar(format!("feature_entropy.{name}"), entropy)?;
            information.push(own);
            rates.push(own / entropy / self.temperature);
        }
        let largest = rates.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = rates.iter().map(|r| (r - largest).exp()).sum();
        let share = |rate: &f64| (1. - (rate - largest).exp() / total).clamp(0.1, 0.9);
        let rho: Vec<f64> = match information.iter().any(|i| *i <= 0.) || !largest.is_finite() {
            true => vec![0.5; names.len()],
            false => rates.iter().map(share).collect(),
        };
        names.iter().zip(&rho).try_for_each(|(name, rho)| report.scalar(format!("rho.{name}"), *rho))?;
        Ok(rho)
    }

    fn layer(&self, name: &str, grad: &Tensor, rho: f64, seen: &Seen<'_>, report: &mut Report) -> Result<Tensor> {
        let flat = grad.flatten_from(1)?;
        let score: Vec<f64> = flat.sqr()?.sum(1)?.to_dtype(DType::F64)?.to_vec1()?;
        let given = seen.batch.given.get(&format!("mask.{name}")).map(|m| m.to_vec1::<f32>()).transpose()?;
        let rng = &mut seen.draws.rng(&format!("amss.{name}"));
        let Drawn { p, n, factor } = draw(self.weights, &score, rho, given, rng);
        if seen.trace {
            report.list(format!("score.{name}"), &score)?;
            report.list(format!("p.{name}"), &p)?;
            report.scalar(format!("n.{name}"), n as f64)?;
            report.list(format!("weight.{name}"), &factor)?;
        }
        let factor = Tensor::new(factor, grad.device())?.to_dtype(grad.dtype())?.unsqueeze(1)?;
        Ok(flat.broadcast_mul(&factor)?.reshape(grad.dims())?)
    }

    fn head(
        &self,
        name: &str,
        grad: &Tensor,
        parts: &[(usize, usize)],
        rho: &[f64],
        seen: &Seen<'_>,
        report: &mut Report,
    ) -> Result<Tensor> {
        let score = grad.sqr()?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        let given = seen.batch.given.get(&format!("mask.{name}")).map(|m| m.to_vec2::<f32>()).transpose()?;
        let mut rows = vec![vec![]; score.len()];
        let mut start = 0;
        for &(m, width) in parts {
            let (mut chances, mut factors, mut count) = (vec![], vec![], 0);
            for (class, row) in score.iter().enumerate() {
                let mask = given.as_ref().map(|g| g[class][start..start + width].to_vec());
                let rng = &mut seen.draws.rng(&format!("amss.{name}.{m}.{class}"));
                let Drawn { p, n, factor } = draw(self.weights, &row[start..start + width], rho[m], mask, rng);
                rows[class].extend(factor.iter().copied());
                chances.push(p);
                factors.push(factor);
                count = n;
            }
            start += width;
            if seen.trace {
                let modality = &seen.net.spec().modalities[m];
                report.note(format!("head_p.{modality}"), &Tensor::new(chances, grad.device())?);
                report.scalar(format!("head_n.{modality}"), count as f64)?;
                report.note(format!("head_weight.{modality}"), &Tensor::new(factors, grad.device())?);
            }
        }
        Ok((grad * Tensor::new(rows, grad.device())?.to_dtype(grad.dtype())?)?)
    }
}

/// Entropy of the frequencies of the labels, in nats.
fn label_entropy(labels: &Tensor) -> Result<f64> {
    let labels = labels.to_vec1::<u32>()?;
    let frequency = |y: &u32| labels.iter().filter(|l| *l == y).count() as f64 / labels.len() as f64;
    Ok(-labels.iter().map(|y| frequency(y).ln()).sum::<f64>() / labels.len() as f64)
}

/// Mean over the batch of the entropy of `softmax(feature)`.
fn feature_entropy(features: &Tensor) -> Result<f64> {
    let log_p = aim_ops::log_softmax(features)?;
    Ok(-number(&(log_p.exp()? * log_p)?.sum(D::Minus1)?.mean_all()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn label_entropy_is_that_of_frequencies() {
        let labels = Tensor::new(&[0u32, 1, 1, 1], &Device::Cpu).unwrap();
        let by_hand = -(0.25 * 0.25f64.ln() + 0.75 * 0.75f64.ln());
        assert!((label_entropy(&labels).unwrap() - by_hand).abs() < 1e-12);
    }
}
