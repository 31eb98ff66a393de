//! Predictions over a whole split: every sample, in order, none dropped.

use std::ops::ControlFlow::Continue;

use aim_core::{Error, Infer, Net, Result};
use aim_data::{Loader, Source};
use aim_ops::{Reduction, cross_entropy, softmax};
use aim_stats::classification::Confusion;
use candle_core::{D, Device, Tensor};

use super::{Metric, Metrics, Plain, Scores, scores::MODALITY, statistics};

/// Most samples in a batch of an evaluation, and losses that are added up at a time: the number of samples in a batch
/// has no influence on the results.
pub(crate) const BATCH: usize = 256;

/// What share of the memory setting the inputs of a batch may take: the network's activations, of which no more than a
/// layer's are held at once, take some tens of times as much.
const SHARE: usize = 64;

/// Samples in a batch of an evaluation of a split.
pub(crate) fn batch(source: &dyn Source) -> usize {
    (source.reading().limit() / SHARE / source.bytes().max(1)).clamp(1, BATCH)
}

/// Predictions on a split.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// True classes.
    pub labels: Vec<usize>,
    /// Predicted classes.
    pub predicted: Vec<usize>,
    /// Probability of the predicted class.
    pub confidence: Vec<f64>,
    /// Classes that each modality's own logits predict; empty where the network has none.
    pub unimodal: Vec<Vec<usize>>,
    loss: f64,
}

/// Answers for every sample of a split, as the method answers in evaluation.
///
/// # Errors
/// If the split does not fit the network.
pub fn evaluate(net: &dyn Net, method: &dyn Infer, source: &dyn Source, device: &Device) -> Result<Evaluation> {
    let (mut all, mut losses) = (Evaluation::default(), vec![]);
    let net = Plain::new(net);
    Loader::new(source, batch(source), device).in_order().visit(|batch| {
        let out = method.infer(&net, &batch)?;
        losses.extend(cross_entropy(&out.logits, &batch.labels, 0., Reduction::None)?.to_vec1::<f32>()?);
        all.confidence.extend(softmax(&out.logits)?.max(D::Minus1)?.to_vec1::<f32>()?.into_iter().map(f64::from));
        all.predicted.extend(classes(&out.logits)?);
        all.labels.extend(batch.labels.to_vec1::<u32>()?.into_iter().map(|y| y as usize));
        all.unimodal.resize(out.unimodal.len(), Vec::new());
        for (predicted, logits) in all.unimodal.iter_mut().zip(&out.unimodal) {
            predicted.extend(classes(logits)?);
        }
        Ok(Continue(()))
    })?;
    for losses in losses.chunks(BATCH) {
        all.loss += f64::from(Tensor::new(losses, device)?.sum_all()?.to_scalar::<f32>()?);
    }
    Ok(all)
}

impl Evaluation {
    /// Which predictions are right.
    pub fn correct(&self) -> Vec<bool> {
        self.labels.iter().zip(&self.predicted).map(|(y, p)| y == p).collect()
    }

    /// The class that every sample is taken for, if it is one for all although there are several.
    pub fn single_class(&self) -> Option<usize> {
        let same = |all: &[usize]| all.iter().all(|class| *class == all[0]);
        (same(&self.predicted) && !same(&self.labels)).then(|| self.predicted[0])
    }

    /// Mean cross-entropy of the fused logits, in nats.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.labels.len() as f64
    }

    /// Counts of true and predicted classes.
    ///
    /// # Errors
    /// If a class is out of range.
    pub fn confusion(&self, classes: usize) -> Result<Confusion> {
        Confusion::of(&self.labels, &self.predicted, classes).map_err(statistics)
    }

    /// The scores by these metrics; `modalities` are the network's names.
    ///
    /// # Errors
    /// If a prediction is not finite.
    pub fn scores(&self, modalities: &[String], classes: usize, metrics: &Metrics) -> Result<Scores> {
        if !self.loss.is_finite() {
            let hint = "lower the learning rate, or look for extreme inputs; the last good checkpoint is kept";
            return Err(Error::NonFinite {
                name: "loss of the evaluation".into(),
                value: self.loss,
                hint: hint.into(),
            });
        }
        let own = |(name, predicted): (&String, &Vec<usize>)| Ok((name.clone(), share_right(&self.labels, predicted)?));
        let score = |metric: &Metric| Ok((metric.name.to_owned(), storable(metric.name, (metric.of)(self, classes)?)?));
        Ok(Scores {
            values: metrics.iter().map(score).collect::<Result<_>>()?,
            modality: modalities.iter().zip(&self.unimodal).map(own).collect::<Result<_>>()?,
        })
    }
}

/// A score that results can hold, under a name that nothing else in them has.
fn storable(name: &str, value: f64) -> Result<f64> {
    if name == MODALITY {
        let problem = "is what results call the accuracies by modality";
        return Err(Error::invalid(format!("metric `{name}`"), problem, "give the metric another name"));
    }
    if value.is_finite() {
        return Ok(value);
    }
    let hint = "let the metric give a number also where it is not defined, or an error that says why there is none";
    Err(Error::NonFinite { name: format!("metric `{name}`"), value, hint: hint.into() })
}

/// Share of right predictions.
pub(super) fn share_right(labels: &[usize], predicted: &[usize]) -> Result<f64> {
    aim_stats::classification::accuracy(labels, predicted).map_err(statistics)
}

/// The class with the largest logit, row by row.
pub(crate) fn classes(logits: &Tensor) -> Result<Vec<usize>> {
    Ok(logits.argmax(D::Minus1)?.to_vec1::<u32>()?.into_iter().map(|c| c as usize).collect())
}
