//! ARM: Asymmetric Reinforcing against Multimodal representation bias (Gao et al., AAAI 2025, arXiv 2501.01240):
//! features are weighted against the contribution of their modality. Two modalities with one shared head.
//!
//! ```text
//! I, H: mutual information and entropy of histograms (30 equal bins) of all feature entries of a batch
//! nmi_m  = 2 I(z_m; f) / (H(z_m) + H(f))                               f: fused feature
//! ncmi_m = 2 I(z_m; f | z_o) / (H(z_m | z_o) + H(f | z_o))             2 bins, o the other modality
//! C_m    = P_f nmi_m + P_o (nmi_m - ncmi_m)                            P: mean true-class probability of the head
//! scale_m = clamp(max(C_o, 1e-3) / max(C_m, 1e-3), 1/4, 4);  logits = mean of head(scale_m z_m)
//! ```
//! `estimator: gaussian` takes draws as normal: nmi_m and ncmi_m are the sizes of the correlation of z_m with f and of
//! the partial one given z_o. The conditional information is the true one (the released code normalises the joint
//! distribution along a wrong axis), and in evaluation the scales are running means of training (there, labels of the
//! test batch decide). The released network has projections of its own for f and the scaled features; here f is the
//! mean of the features and the head reads the scaled ones directly. Two options are off by default, as in the last
//! state of the released code:
//!
//! ```text
//! resample  from epoch `warmup` on each sample is shown once and again by its worth (C_1 + C_2) / 2, whose draws are
//!           the sample's entries and whose P are 0 where the prediction is wrong: 3 times if < 0.5, twice if < 0.9,
//!           else once
//! min_max   L = CE + min_max (largest CE_m - smallest CE_m)       a stand-in of ours: the paper's loss has no source
//! ```

mod information;
mod options;
mod settings;

use aim_core::{Batch, Fuse, Fused, Infer, Net, Output, Pass, Report, Result, State, Stateful, Step};
use candle_core::{DType, Tensor};

pub use self::{
    information::{Information, contributions, scale},
    settings::{ABOUT, Arm, Estimator},
};
use crate::util::mean_true_probability;

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
