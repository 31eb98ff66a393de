//! ARM: Asymmetric Reinforcing against Multimodal representation bias (Gao et al., AAAI 2025, arXiv 2501.01240): features are
//! weighted against the contribution of their modality. Two modalities with one shared head.
//!
//! ```text
//! I, H: mutual information and entropy of histograms (30 equal bins) of all feature entries of a batch
//! nmi_m  = 2 I(z_m; f) / (H(z_m) + H(f))                               f: fused feature
//! ncmi_m = 2 I(z_m; f | z_o) / (H(z_m | z_o) + H(f | z_o))             2 bins, o the other modality
//! C_m    = P_f nmi_m + P_o (nmi_m - ncmi_m)                            P: mean true-class probability of the head
//! scale_m = clamp(max(C_o, 1e-3) / max(C_m, 1e-3), 1/4, 4);  logits = mean of head(scale_m z_m)
//! ```
//! The conditional information is the true one (the released code normalises the joint distribution along a wrong axis), and
//! in evaluation the scales are running means of training (there, labels of the test batch decide). The released network has
//! projections of its own for f and the scaled features; here f is the mean of the features and the head reads the scaled ones
//! directly. The paper's min-max loss has no source, and re-sampling is left out.

use aim_core::{Batch, Fuse, Fused, Idle, Infer, Net, NetSpec, Output, Pass, Report, Result, State, Stateful, Step};
use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;
use crate::util::mean_true_probability;

/// Card of [`Arm`].
pub static ABOUT: About = About {
    name: "arm",
    title: "ARM (analogue)",
    idea: "scale features against the information that their modality contributes",
    paper: "Gao et al., AAAI 2025 (arXiv 2501.01240); fusion only, without the projections",
    cost: "1 forward and 1 backward pass of the encoders; the fusion runs twice; histograms of all feature entries, on \
    the CPU",
    departs: &[
        "The fused feature is the mean of the features and the head reads scaled features directly, because a method \
        adds no parameters to a network; the released one has two projections.",
        "Conditional information is computed as defined; the released code normalises the joint distribution along a \
        wrong axis.",
        "Evaluation uses running means of the scales; the released code takes them from the labels of the test batch.",
        "Contributions have a floor and scales lie between 1/4 and 4, because contributions can be negative.",
        "The min-max loss is left out, because neither code nor readable text has it.",
    ],
    settings: &[
        Setting::new("bins", "30", "2 to 1000", "bins of the information", "released code"),
        Setting::new("bins_cmi", "2", "2 to 100", "bins of the conditional information", "released code"),
        Setting::new("ema", "0.9", "0 to 1", "share of the old running scale", "ours"),
    ],
    needs: Needs { at_most: Some(2), unimodal: true, shared_head: true, ..Needs::NONE },
};

/// Settings of `arm`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Arm {
    /// Bins of the information.
    pub bins: usize,
    /// Bins of the conditional information.
    pub bins_cmi: usize,
    /// Share of the old running scale.
    pub ema: f64,
}

impl Default for Arm {
    fn default() -> Self {
        Self { bins: 30, bins_cmi: 2, ema: 0.9 }
    }
}

impl Settings for Arm {
    fn check(&self) -> Result<()> {
        within("bins", self.bins as f64, 2., 1000.)?;
        within("bins_cmi", self.bins_cmi as f64, 2., 100.)?;
        within("ema", self.ema, 0., 1.)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::fuse(Reinforced { settings: self, running: vec![1., 1.] }))
    }
}

/// Each draw's bin among equal ones over the range of all; the largest value falls in the last.
fn binned(values: &[f64], bins: usize) -> Vec<usize> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let width = (high - low) / bins as f64;
    let bin = |v: &f64| if width > 0. { (((v - low) / width) as usize).min(bins - 1) } else { 0 };
    values.iter().map(bin).collect()
}

/// Joint entropy of variables that share their draws, in nats.
fn entropy(variables: &[&[usize]], bins: usize) -> f64 {
    let mut counts = vec![0usize; bins.pow(variables.len() as u32)];
    let draws = variables[0].len();
    for i in 0..draws {
        counts[variables.iter().fold(0, |cell, v| cell * bins + v[i])] += 1;
    }
    let p = counts.into_iter().filter(|n| *n > 0).map(|n| n as f64 / draws as f64);
    -p.map(|p| p * p.ln()).sum::<f64>()
}

/// What one modality's feature says about the fused one.
#[derive(Clone, Copy, Debug)]
pub struct Information {
    /// Entropy of the feature.
    pub entropy: f64,
    /// Mutual information with the fused feature.
    pub mutual: f64,
    /// The same, normalised.
    pub normalised: f64,
    /// Conditional mutual information given the other modality.
    pub conditional: f64,
    /// The same, normalised.
    pub conditional_normalised: f64,
}

impl Information {
    /// From draws of the feature, the other modality's and the fused one.
    pub fn of(own: &[f64], other: &[f64], fused: &[f64], bins: usize, bins_cmi: usize) -> Self {
        let (x, f) = (binned(own, bins), binned(fused, bins));
        let (h, h_f) = (entropy(&[&x], bins), entropy(&[&f], bins));
        let mutual = h + h_f - entropy(&[&x, &f], bins);
        let (x, y, z) = (binned(own, bins_cmi), binned(fused, bins_cmi), binned(other, bins_cmi));
        let joint = |variables: &[&[usize]]| entropy(variables, bins_cmi);
        let (xz, yz, h_z) = (joint(&[&x, &z]), joint(&[&y, &z]), joint(&[&z]));
        let conditional = xz + yz - joint(&[&x, &y, &z]) - h_z;
        Self {
            entropy: h,
            mutual,
            normalised: 2. * mutual / (h + h_f).max(1e-12),
            conditional,
            conditional_normalised: 2. * conditional / (xz + yz - 2. * h_z).max(1e-12),
        }
    }

    /// Interaction information: normalised information less its conditional part.
    pub fn interaction(&self) -> f64 {
        self.normalised - self.conditional_normalised
    }

    /// `P_f nmi + P_other ii`.
    pub fn contribution(&self, fused: f64, other: f64) -> f64 {
        fused * self.normalised + other * self.interaction()
    }
}

/// Scale of a modality from its contribution and the other's.
pub fn scale(own: f64, other: f64) -> f64 {
    (other.max(1e-3) / own.max(1e-3)).clamp(0.25, 4.)
}

struct Reinforced {
    settings: Arm,
    /// Running means of the scales.
    running: Vec<f64>,
}

impl Idle for Reinforced {}

fn draws(feature: &Tensor) -> Result<Vec<f64>> {
    Ok(feature.detach().flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
}

fn scaled(features: &[Tensor], scales: &[f64]) -> Result<Vec<Tensor>> {
    features.iter().zip(scales).map(|(x, s)| Ok((x * *s)?)).collect()
}

impl Fuse for Reinforced {
    fn fuse(&mut self, features: Vec<Tensor>, cx: &Step<'_>, report: &mut Report) -> Result<Fused> {
        let fuse = |features| cx.net.fuse(features, cx.batch.present.as_ref(), &mut Pass::train(cx.draws()));
        let plain = fuse(features)?;
        let z = plain.features.iter().map(draws).collect::<Result<Vec<_>>>()?;
        let fused: Vec<f64> = z[0].iter().zip(&z[1]).map(|(a, b)| (a + b) / 2.).collect();
        let p = |logits: &Tensor| mean_true_probability(logits, &cx.batch.labels);
        let p_fused = p(&plain.logits)?;
        let mut contribution = [0.; 2];
        for (m, own) in contribution.iter_mut().enumerate() {
            let information = Information::of(&z[m], &z[1 - m], &fused, self.settings.bins, self.settings.bins_cmi);
            *own = information.contribution(p_fused, p(&plain.unimodal[1 - m])?);
        }
        let scales = [scale(contribution[0], contribution[1]), scale(contribution[1], contribution[0])];
        for (m, name) in cx.net.spec().modalities.iter().enumerate() {
            self.running[m] = self.settings.ema * self.running[m] + (1. - self.settings.ema) * scales[m];
            report.scalar(format!("contribution.{name}"), contribution[m])?;
            report.scalar(format!("scale.{name}"), scales[m])?;
        }
        let logits = fuse(scaled(&plain.features, &scales)?)?.logits;
        Ok(Fused { out: Output { logits, ..plain }, kept: None })
    }
}

impl Infer for Reinforced {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        let plain = net.forward(batch, &mut Pass::eval())?;
        let features = scaled(&plain.features, &self.running)?;
        let logits = net.fuse(features, batch.present.as_ref(), &mut Pass::eval())?.logits;
        Ok(Output { logits, ..plain })
    }
}

impl Stateful for Reinforced {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("running", &self.running)?;
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.running = state.numbers("running")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn information_by_hand() {
        // f repeats the feature, the other modality is independent of both.
        let (own, other) = ([0., 0., 1., 1.], [0., 1., 0., 1.]);
        let found = Information::of(&own, &other, &own, 2, 2);
        let bit = 2f64.ln();
        assert!((found.mutual - bit).abs() < 1e-12 && (found.normalised - 1.).abs() < 1e-12);
        assert!((found.conditional - bit).abs() < 1e-12 && found.interaction().abs() < 1e-12);
    }

    #[test]
    fn scales_by_hand() {
        assert_eq!((scale(0.5, 1.), scale(1., -3.), scale(0.001, 1.)), (2., 0.25, 4.));
    }
}
