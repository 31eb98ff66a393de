//! MODS (Yang et al., AAAI 2026, arXiv 2511.06328): the primary modality of each sample must tell what every modality
//! says.
//!
//! ```text
//! L = CE(fused) + alpha * sum_m NCE_m,   s_ij = cos(F_m(h_p of sample i), h_m of sample j)
//! NCE_m = - mean over i of [ s_ii - ln sum over j of exp(s_ij) ]
//! ```
//! The fusion `mods` holds compression, selector, attention, the summaries h and the predictions F. As printed, the
//! exponential is taken twice (`double_exp`); the usual form takes it once.

use aim_config::{between, by_type, settings};
use aim_core::{
    Error, Idle, Loss, NetSpec, Objective, PREDICTED, Report, Result, SUMMARIES, Seen, Stateless, WEIGHTS, capability,
};
use candle_core::{D, DType, Tensor};

use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, joint::cross_entropy, util::unit_rows,
};

/// Card of [`Mods`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "mods",
    title: "MODS",
    idea: "choose a primary modality for each sample, gather the others around it, and have it predict all of them",
    paper: "Yang et al., AAAI 2026 (arXiv 2511.06328)",
    cost: "1 forward and backward of a larger network; capsules of M * batch * frames * tokens * width numbers",
    departs: &[
        "Tasks are classifications, so that cross-entropy stands for the mean absolute error.",
        "No modality is text: every sequence is compressed to a set number of tokens, or projected where it has that \
        length.",
        "Capsules share their weights over frames, iterations, graph layers, dropout and heads are a third party's, \
        for the paper does not give them or prints a form that needs fixed lengths.",
        "Vectors count as sequences of one frame: an analogue of ours for encoders that keep no time axis.",
        "The auxiliary roles are the other modalities in the network's order, which the paper leaves open.",
    ],
    requires: Requirements { capabilities: &[capability::PRIMARY], ..Requirements::NONE },
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("weight", "", "mean weight as primary modality"),
        Quantity::modality("primary", "", "share of the samples of which it is the primary modality"),
    ],
    revision: 1,
};

settings! {
    /// Settings of `mods`.
    pub struct Mods {
        /// Weight of the predictions' loss.
        pub alpha: f64 = 0.1 => between(0., 100.), "paper, for MOSI and MOSEI";
        /// Loss as printed, with a second exponential: similarities are exponentials themselves.
        pub double_exp: bool = false => by_type(), "ours";
    }
}

impl MethodSettings for Mods {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::objective(self.clone()))
    }
}

impl Stateless for Mods {}
impl Idle for Mods {}

impl Objective for Mods {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let missing = || Error::invalid("model.fusion", "chooses no primary modality", "set model.fusion: {mods: {}}");
        let extra = |name: &str| seen.out.extras.get(name).ok_or_else(missing);
        let (weights, summaries, predicted) = (extra(WEIGHTS)?, extra(SUMMARIES)?, extra(PREDICTED)?);
        let mut losses = vec![Loss::new("loss.fused", cross_entropy(&seen.out.logits, seen.batch)?)];
        for (m, name) in seen.net.spec().modalities.iter().enumerate() {
            let of = |x: &Tensor| Ok::<_, Error>(x.narrow(1, m, 1)?.squeeze(1)?);
            report.note(format!("weight.{name}"), &of(weights)?.mean_all()?);
            let primary = weights.argmax(1)?.eq(m as u32)?.to_dtype(DType::F32)?;
            report.note(format!("primary.{name}"), &primary.mean_all()?);
            let loss = contrast(&of(predicted)?, &of(summaries)?, self.double_exp)?;
            losses.push(Loss::new(format!("loss.nce.{name}"), loss).times(self.alpha));
        }
        Ok(losses)
    }
}

/// Each prediction must resemble its own sample's summary more than the batch's others, `[B, d]` both.
fn contrast(predicted: &Tensor, summaries: &Tensor, double_exp: bool) -> Result<Tensor> {
    let cosine = unit_rows(predicted)?.matmul(&unit_rows(summaries)?.t()?)?;
    let scores = if double_exp { cosine.exp()? } else { cosine };
    let own = Tensor::eye(scores.dim(0)?, DType::F32, scores.device())?;
    Ok((aim_ops::log_softmax(&scores)? * own)?.sum(D::Minus1)?.mean_all()?.neg()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::number;
    use candle_core::Device;

    #[test]
    fn contrast_by_hand() {
        let predicted = Tensor::new(&[[2f32, 0.], [3., 4.]], &Device::Cpu).unwrap();
        let summaries = Tensor::new(&[[1f32, 1.], [0., 5.]], &Device::Cpu).unwrap();
        // Cosines: (1, 0) with the summaries 1/sqrt 2 and 0, (0.6, 0.8) with them 1.4/sqrt 2 and 0.8.
        let s = [[0.5f64.sqrt(), 0.], [1.4 * 0.5f64.sqrt(), 0.8]];
        let by_hand = |f: fn(f64) -> f64| {
            let row = |i: usize| f(s[i][i]) - (f(s[i][0]).exp() + f(s[i][1]).exp()).ln();
            -(row(0) + row(1)) / 2.
        };
        let found = |double| number(&contrast(&predicted, &summaries, double).unwrap()).unwrap();
        assert!((found(false) - by_hand(|s| s)).abs() < 1e-6);
        assert!((found(true) - by_hand(f64::exp)).abs() < 1e-6);
    }
}
