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
//! `estimator: gaussian` takes draws as normal: nmi_m and ncmi_m are the sizes of the correlation of z_m with f and of the partial
//! one given z_o. The conditional information is the true one (the released code normalises the joint distribution along a wrong axis), and
//! in evaluation the scales are running means of training (there, labels of the test batch decide). The released network has
//! projections of its own for f and the scaled features; here f is the mean of the features and the head reads the scaled ones
//! directly. Two options are off by default, as in the last state of the released code:
//!
//! ```text
//! resample  from epoch `warmup` on each sample is shown once and again by its worth (C_1 + C_2) / 2, whose draws are the
//!           sample's entries and whose P are 0 where the prediction is wrong: 3 times if < 0.5, twice if < 0.9, else once
//! min_max   L = CE + min_max (largest CE_m - smallest CE_m)       a stand-in of ours: the paper's loss has no source
//! ```

mod information;
mod options;

use aim_core::{Batch, Fuse, Fused, Infer, Net, NetSpec, Output, Pass, Report, Result, State, Stateful, Step};
use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;
use crate::util::mean_true_probability;

pub use information::{Information, contributions, scale};

/// Card of [`Arm`].
pub static ABOUT: About = About {
    name: "arm",
    title: "ARM (analogue)",
    idea: "scale features against the information that their modality contributes",
    paper: "Gao et al., AAAI 2025 (arXiv 2501.01240); without the projections",
    cost: "1 forward and 1 backward pass of the encoders; the fusion runs twice; histograms of all feature entries, on \
    the CPU; with `resample` an epoch shows 2 to 4 times as many samples and starts with one evaluation of them",
    departs: &[
        "The fused feature is the mean of the features and the head reads scaled features directly, because a method \
        adds no parameters to a network; the released one has two projections.",
        "Conditional information is computed as defined; the released code normalises the joint distribution along a \
        wrong axis.",
        "Evaluation uses running means of the scales; the released code takes them from the labels of the test batch.",
        "Contributions have a floor and scales lie between 1/4 and 4, because contributions can be negative.",
        "Re-sampling, of an older state of the released code, computes contributions as the fusion does, because that \
        state pairs probabilities and information otherwise and does not run.",
        "Two modalities: a sample's contribution pairs a modality with the other one, and nothing readable says with what \
        it is paired among more.",
        "The Gaussian estimator is normalised as the share that one variable determines of the other, sqrt(1 - exp(-2 I)), \
        because the entropies of the released form can be negative there.",
        "`min_max` is ours and off, because the paper's min-max loss is in neither code nor readable text.",
    ],
    settings: &[
        Setting::new(
            "estimator",
            "histogram",
            "histogram | gaussian",
            "of the information: histograms, or correlations as if features were normal",
            "released code",
        ),
        Setting::new("bins", "30", "2 to 1000", "bins of the information", "released code"),
        Setting::new("bins_cmi", "2", "2 to 100", "bins of the conditional information", "released code"),
        Setting::new("ema", "0.9", "0 to 1", "share of the old running scale", "ours"),
        Setting::new("resample", "false", "true | false", "copies of samples by their worth", "released code"),
        Setting::new("warmup", "5", "epochs", "epochs without copies", "released code (older)"),
        Setting::new("min_max", "0", "0 to 100", "weight of the stand-in for the min-max loss", "ours"),
    ],
    needs: Needs { at_most: Some(2), unimodal: true, shared_head: true, ..Needs::NONE },
};

/// How information is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Estimator {
    /// By histograms.
    Histogram,
    /// By correlations, as if draws were normal.
    Gaussian,
}

/// Settings of `arm`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Arm {
    /// How information is estimated.
    pub estimator: Estimator,
    /// Bins of the information.
    pub bins: usize,
    /// Bins of the conditional information.
    pub bins_cmi: usize,
    /// Share of the old running scale.
    pub ema: f64,
    /// Whether samples are shown again by their worth.
    pub resample: bool,
    /// Epochs without copies.
    pub warmup: usize,
    /// Weight of the difference of the modalities' losses.
    pub min_max: f64,
}

impl Default for Arm {
    fn default() -> Self {
        let estimator = Estimator::Histogram;
        Self { estimator, bins: 30, bins_cmi: 2, ema: 0.9, resample: false, warmup: 5, min_max: 0. }
    }
}

impl Settings for Arm {
    fn check(&self) -> Result<()> {
        within("bins", self.bins as f64, 2., 1000.)?;
        within("bins_cmi", self.bins_cmi as f64, 2., 100.)?;
        within("ema", self.ema, 0., 1.)?;
        within("min_max", self.min_max, 0., 100.)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        let min_max = self.min_max;
        let fuse = Built::fuse(Reinforced { settings: self, running: vec![1., 1.] });
        // Without the option another method of a stack may decide the losses.
        Ok(if min_max == 0. { fuse } else { fuse.with_objective(options::MinMax(min_max)) })
    }
}

impl Arm {
    /// What a feature says about the fused one, given the other.
    fn information(&self, own: &[f64], other: &[f64], fused: &[f64]) -> Information {
        match self.estimator {
            Estimator::Histogram => Information::of(own, other, fused, self.bins, self.bins_cmi),
            Estimator::Gaussian => Information::gaussian(own, other, fused),
        }
    }
}

struct Reinforced {
    settings: Arm,
    /// Running means of the scales.
    running: Vec<f64>,
}

fn draws(feature: &Tensor) -> Result<Vec<f64>> {
    Ok(feature.detach().flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
}

/// The fused feature.
fn mean(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| (a + b) / 2.).collect()
}

fn scaled(features: &[Tensor], scales: &[f64]) -> Result<Vec<Tensor>> {
    features.iter().zip(scales).map(|(x, s)| Ok((x * *s)?)).collect()
}

impl Fuse for Reinforced {
    fn fuse(&mut self, features: Vec<Tensor>, cx: &Step<'_>, report: &mut Report) -> Result<Fused> {
        let fuse = |features| cx.net.fuse(features, cx.batch.present.as_ref(), &mut Pass::train(cx.draws()));
        let plain = fuse(features)?;
        let z = plain.features.iter().map(draws).collect::<Result<Vec<_>>>()?;
        let fused = mean(&z[0], &z[1]);
        let p = |logits: &Tensor| mean_true_probability(logits, &cx.batch.labels);
        let p_fused = p(&plain.logits)?;
        let p = [p(&plain.unimodal[0])?, p(&plain.unimodal[1])?];
        let information = |own: &[f64], other: &[f64], fused: &[f64]| self.settings.information(own, other, fused);
        let contribution = contributions([&z[0], &z[1]], &fused, p_fused, p, information);
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
