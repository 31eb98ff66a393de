//! The end of a run: the test split is scored, once.

use std::fmt;

use aim_core::{Infer, Net, Result};
use aim_data::{Dataset, Source};
use candle_core::{D, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::metrics::{self, ACCURACY, Contributions, Evaluation, Features, LOSS, Metrics, Probes, Projection, Scores};

use super::Program;

/// The content of `result.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Name of the run.
    pub name: String,
    /// Name of the method.
    pub method: String,
    /// Seed.
    pub seed: u64,
    /// Name of the data set.
    pub data: String,
    /// Names of the modalities.
    pub modalities: Vec<String>,
    /// Trained numbers.
    pub parameters: usize,
    /// The epoch whose weights were scored, counted from 0.
    pub epoch: usize,
    /// Scores on the validation split at that epoch.
    pub validation: Scores,
    /// Scores on the test split.
    pub test: Scores,
    /// Linear probes.
    pub probes: Probes,
    /// Shapley values.
    pub contributions: Contributions,
    /// Program and processor that made the run.
    #[serde(default = "Program::older")]
    pub program: Program,
}

/// Everything that is measured on a trained network with the test split.
pub struct Judged {
    /// Predictions.
    pub evaluation: Evaluation,
    /// Scores.
    pub test: Scores,
    /// Linear probes, fitted on the training split.
    pub probes: Probes,
    /// Shapley values.
    pub contributions: Contributions,
    /// Test samples' features in two dimensions.
    pub projection: Projection,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on {}, seed {}, weights of epoch {}", self.method, self.data, self.seed, self.epoch)?;
        print(f, &self.test, &self.probes, &self.contributions)
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, &self.test, &self.probes, &self.contributions)
    }
}

fn print(f: &mut fmt::Formatter<'_>, test: &Scores, probes: &Probes, parts: &Contributions) -> fmt::Result {
    writeln!(f, "test accuracy {:.4}, loss {:.4}", test.accuracy(), test.loss())?;
    let others = test.values.iter().filter(|(name, _)| ![ACCURACY, LOSS].contains(&name.as_str()));
    others.into_iter().try_for_each(|(name, value)| writeln!(f, "{name} {value:.4}"))?;
    for (name, share) in &parts.share {
        let own = test.modality.get(name).map_or(String::new(), |a| format!("own accuracy {a:.4}, "));
        let probe = probes.modality.get(name).copied().unwrap_or(f64::NAN);
        writeln!(f, "{name}: {own}probe {probe:.4}, Shapley share {share:.3}")?;
    }
    writeln!(f, "probe on all features {:.4}, EDM {:.3}", probes.all, parts.edm)
}

/// Scores a network on the whole test split.
///
/// # Errors
/// If the data do not fit the network.
pub fn judge(net: &dyn Net, method: &dyn Infer, data: &Dataset, device: &Device, metrics: &Metrics) -> Result<Judged> {
    let evaluation = metrics::evaluate(net, method, &*data.test, device)?;
    let test = evaluation.scores(&net.spec().modalities, data.classes(), metrics)?;
    let (fit, score) = (metrics::features(net, &*data.train, device)?, metrics::features(net, &*data.test, device)?);
    let probes = probes(&fit, &score, net)?;
    let contributions = metrics::contributions(net, &score)?;
    let spec = net.spec();
    let projection = Projection::of(&spec.modalities, &score.pooled(&spec.frames)?)?;
    Ok(Judged { evaluation, test, probes, contributions, projection })
}

fn probes(fit: &Features, score: &Features, net: &dyn Net) -> Result<Probes> {
    let spec = net.spec();
    let (fitted, scored) = (fit.pooled(&spec.frames)?, score.pooled(&spec.frames)?);
    let probe = |a: &Tensor, b: &Tensor| metrics::probe((a, &fit.labels), (b, &score.labels), spec.classes);
    let one = |(m, name): (usize, &String)| Ok((name.clone(), probe(&fitted[m], &scored[m])?));
    let modality = spec.modalities.iter().enumerate().map(one).collect::<Result<_>>()?;
    let all = probe(&Tensor::cat(&fitted, D::Minus1)?, &Tensor::cat(&scored, D::Minus1)?)?;
    Ok(Probes { modality, all })
}

/// One line a test sample (commas in ids become semicolons): id, true class, fused prediction with its probability, and
/// each modality's own prediction.
pub(super) fn predictions(evaluation: &Evaluation, test: &dyn Source, modalities: &[String]) -> String {
    let own = || modalities.iter().zip(&evaluation.unimodal);
    let heads: String = own().map(|(name, _)| format!(",predicted.{name}")).collect();
    let mut csv = format!("id,label,predicted,confidence{heads}\n");
    for (i, id) in test.ids().iter().enumerate() {
        let (label, predicted, confidence) = (evaluation.labels[i], evaluation.predicted[i], evaluation.confidence[i]);
        let others: String = own().map(|(_, classes)| format!(",{}", classes[i])).collect();
        csv += &format!("{},{label},{predicted},{confidence:.6}{others}\n", id.replace(',', ";"));
    }
    csv
}
