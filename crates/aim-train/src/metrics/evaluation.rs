//! Predictions over a whole split: every sample, in order, none dropped.

use aim_core::{Error, Infer, Net, Result};
use aim_data::{Loader, Source};
use aim_ops::{Reduction, cross_entropy, softmax};
use aim_stats::classification::Confusion;
use candle_core::{D, Device, Tensor};

use super::{Metric, Metrics, Scores, scores::MODALITY, statistics};

/// Samples in a batch of an evaluation; it has no influence on the results beyond rounding.
pub(crate) const BATCH: usize = 256;

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
    let mut all = Evaluation::default();
    for batch in Loader::new(source, BATCH, device).in_order() {
        let batch = batch?;
        let out = method.infer(net, &batch)?;
        all.loss += scalar(&cross_entropy(&out.logits, &batch.labels, 0., Reduction::None)?.sum_all()?)?;
        all.confidence.extend(softmax(&out.logits)?.max(D::Minus1)?.to_vec1::<f32>()?.into_iter().map(f64::from));
        all.predicted.extend(classes(&out.logits)?);
        all.labels.extend(batch.labels.to_vec1::<u32>()?.into_iter().map(|y| y as usize));
        all.unimodal.resize(out.unimodal.len(), Vec::new());
        for (predicted, logits) in all.unimodal.iter_mut().zip(&out.unimodal) {
            predicted.extend(classes(logits)?);
        }
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

fn scalar(t: &Tensor) -> Result<f64> {
    Ok(f64::from(t.to_scalar::<f32>()?))
}
