//! The end of a run: the test split is scored, once.

use std::{collections::BTreeMap, fmt, sync::Arc};

use aim_core::{Error, Infer, Net, Result};
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
    /// Why training stopped before its last epoch, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// Scores on the validation split at that epoch.
    pub validation: Scores,
    /// Scores on the test split.
    pub test: Scores,
    /// What knowing the most frequent class of the training split alone would score; older programs did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub majority: Option<Majority>,
    /// Name of the class that every test sample is taken for, if it is one for all although there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single_class: Option<String>,
    /// Scores on the test split at further rates of missing modalities.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lacking: BTreeMap<String, Scores>,
    /// Linear probes.
    pub probes: Probes,
    /// Shapley values.
    pub contributions: Contributions,
    /// Program and processor that made the run.
    #[serde(default = "Program::older")]
    pub program: Program,
}

/// The test split once more, of which samples lack modalities.
pub struct Lacking {
    /// The rate.
    pub rate: f64,
    /// The split.
    pub test: Arc<dyn Source>,
}

/// Training that stopped because validation had got no better for a while (`train.patience`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Epochs done.
    pub epochs: usize,
    /// Epochs without a better value that were waited for.
    pub patience: usize,
    /// The metric.
    pub metric: String,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epochs, patience, metric } = self;
        write!(f, "stopped after {epochs} epochs: no higher {metric} on validation in the last {patience}")
    }
}

/// The most frequent class of the training split, the first of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Majority {
    /// Its name.
    pub class: String,
    /// The share of test samples that are of it: the accuracy of whoever always says its name.
    pub share: f64,
}

impl Majority {
    /// That of a data set.
    pub fn of(data: &Dataset) -> Self {
        let mut counts = vec![0_usize; data.classes()];
        data.train.labels().iter().for_each(|y| counts[*y as usize] += 1);
        let class = (0..data.classes()).rev().max_by_key(|class| counts[*class]).unwrap_or_default();
        let right = data.test.labels().iter().filter(|y| **y as usize == class).count();
        let share = right as f64 / data.test.len() as f64;
        Self { class: data.class_names[class].clone(), share }
    }
}

/// Everything that is measured on a trained network with the test split.
pub struct Judged {
    /// Predictions.
    pub evaluation: Evaluation,
    /// Scores.
    pub test: Scores,
    /// The most frequent class.
    pub majority: Majority,
    /// Name of the class that every test sample is taken for, if it is one for all although there are several.
    pub single_class: Option<String>,
    /// Linear probes, fitted on the training split.
    pub probes: Probes,
    /// Shapley values.
    pub contributions: Contributions,
    /// Test samples' features in two dimensions.
    pub projection: Projection,
}

impl Outcome {
    /// Epochs done of those that the configuration wants.
    pub fn epochs(&self, wanted: usize) -> usize {
        self.stopped.as_ref().map_or(wanted, |stopped| stopped.epochs)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on {}, seed {}, weights of epoch {}", self.method, self.data, self.seed, self.epoch)?;
        self.stopped.iter().try_for_each(|stopped| writeln!(f, "{stopped}"))?;
        print_accuracy(f, &self.test, self.majority.as_ref(), self.single_class.as_deref())?;
        print(f, &self.test, &self.probes, &self.contributions)
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print_accuracy(f, &self.test, Some(&self.majority), self.single_class.as_deref())?;
        print(f, &self.test, &self.probes, &self.contributions)
    }
}

fn print_accuracy(
    f: &mut fmt::Formatter<'_>,
    test: &Scores,
    majority: Option<&Majority>,
    single_class: Option<&str>,
) -> fmt::Result {
    let always = majority.map_or(String::new(), |m| format!(" (always `{}`: {:.4})", m.class, m.share));
    writeln!(f, "test accuracy {:.4}{always}, loss {:.4}", test.accuracy(), test.loss())?;
    single_class.map_or(Ok(()), |class| writeln!(f, "takes every test sample for `{class}`"))
}

fn print(f: &mut fmt::Formatter<'_>, test: &Scores, probes: &Probes, parts: &Contributions) -> fmt::Result {
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
    let contributions = metrics::contributions(net, &score, &*data.test, device)?;
    let spec = net.spec();
    let projection = Projection::of(&spec.modalities, &score.pooled(&spec.frames)?)?;
    let single_class = evaluation.single_class().map(|class| data.class_names[class].clone());
    Ok(Judged { evaluation, test, majority: Majority::of(data), single_class, probes, contributions, projection })
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

/// One line a test sample: id, true class, fused prediction with its probability, and each modality's own prediction.
///
/// # Errors
/// If a line cannot be written.
pub(super) fn predictions(evaluation: &Evaluation, test: &dyn Source, modalities: &[String]) -> Result<String> {
    let own = || modalities.iter().zip(&evaluation.unimodal);
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut put = |record: Vec<String>| csv.write_record(record).map_err(unwritten);
    let heads = own().map(|(name, _)| format!("predicted.{name}"));
    put(["id", "label", "predicted", "confidence"].map(String::from).into_iter().chain(heads).collect())?;
    for (i, id) in test.ids().iter().enumerate() {
        let (label, predicted, confidence) = (evaluation.labels[i], evaluation.predicted[i], evaluation.confidence[i]);
        let cells = [id.clone(), label.to_string(), predicted.to_string(), format!("{confidence:.6}")];
        put(cells.into_iter().chain(own().map(|(_, classes)| classes[i].to_string())).collect())?;
    }
    let bytes = csv.into_inner().map_err(unwritten)?;
    String::from_utf8(bytes).map_err(unwritten)
}

fn unwritten(e: impl fmt::Display) -> Error {
    Error::invalid("predictions.csv", e.to_string(), "report this fault with the command that met it")
}

#[cfg(test)]
mod tests {
    use aim_data::Subset;

    use super::*;

    #[test]
    fn ids_are_written_so_that_they_are_read_as_they_are() {
        let ids = ["a,b", "c;\"d\"", "e\nf", "g"].map(String::from).to_vec();
        let (classes, x) = (vec![0, 1, 0, 1], Tensor::zeros((4, 1), candle_core::DType::F32, &Device::Cpu).unwrap());
        let test = Subset::new(vec![x], vec![0, 1, 0, 1], ids.clone()).unwrap();
        let mut evaluation = Evaluation::default();
        (evaluation.labels, evaluation.predicted, evaluation.confidence) = (classes.clone(), classes, vec![0.5; 4]);
        let text = predictions(&evaluation, &test, &[]).unwrap();
        let records: Vec<csv::StringRecord> =
            csv::Reader::from_reader(text.as_bytes()).records().collect::<Result<_, _>>().unwrap();
        assert_eq!(records.iter().map(|record| &record[0]).collect::<Vec<_>>(), ids);
        assert!(text.contains("\n\"a,b\",0,0,0.500000\n"), "{text}");
    }
}
