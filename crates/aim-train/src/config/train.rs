//! How long training goes on, what an update is made of, and which epoch is scored.

use aim_core::{Criterion, Error, Result};
use aim_data::Dataset;
use aim_optim::Clip;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{Group, Missing, Protocol};
use crate::metrics::{ACCURACY, BALANCED_ACCURACY, MACRO_F1};

/// Length of training, updates, the task's loss and the choice of the checkpoint.
// What is neutral is not written, so that runs of programs which did not know it are the same runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training split.
    pub epochs: usize,
    /// Samples in a batch.
    pub batch: usize,
    /// Batches whose gradients are averaged for one update, 1 or more; for methods with one update a step.
    #[serde(skip_serializing_if = "is_one")]
    pub accumulate: usize,
    /// Label smoothing of the task's cross-entropy, 0 to 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub label_smoothing: f64,
    /// Weights of the classes in the task's cross-entropy: `balanced`, or a list with one a class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
    /// Which samples an epoch shows.
    #[serde(skip_serializing_if = "Sampler::is_neutral")]
    pub sampler: Sampler,
    /// Which epoch's weights are scored on the test split.
    pub select: Select,
    /// Epochs without a better value of what `select` names, after which training stops; never, if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Splits whose last batch is left out where it is smaller.
    #[serde(skip_serializing_if = "DropLast::is_none")]
    pub drop_last: DropLast,
    /// Modalities that samples are made to lack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// Bound on the norm over all gradients of an update, above which they are scaled down; above 0, up to 1e6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Bound on each value of the gradients of an update, in place of one on the norm; above 0, up to 1e6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<f64>,
    /// Parameters with a learning rate, a decay and a schedule of their own; `no-decay` names a group of all norms and
    /// biases, which then do not decay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

/// Splits whose last batch is left out where it is smaller than the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DropLast {
    /// None.
    #[default]
    None,
    /// Training, in every epoch.
    Train,
    /// The test split, whose remaining samples are never scored; not under the clean protocol.
    Test,
    /// Both.
    Both,
}

impl DropLast {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// Which samples of the training split an epoch shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sampler {
    /// Each once.
    #[default]
    Shuffled,
    /// As many as there are, so that every class is shown equally often.
    Balanced,
    /// As many as there are, so that every group is shown equally often.
    Groups,
}

impl Sampler {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_neutral(&self) -> bool {
        *self == Self::Shuffled
    }

    /// What is to be shown equally often: the class or group of each training sample; nothing if that is each sample.
    ///
    /// # Errors
    /// If the data set has no groups.
    pub fn strata(self, data: &Dataset) -> Result<&[u32]> {
        match self {
            Self::Shuffled => Ok(&[]),
            Self::Balanced => Ok(data.train.labels()),
            Self::Groups if data.train.groups().is_empty() => {
                let problem = format!("shows groups equally often, data set `{}` has none", data.name);
                let remedy =
                    "give its manifest a column of groups (`columns: {group: ...}`), or use shuffled or balanced";
                Err(Error::invalid("train.sampler", problem, remedy))
            }
            Self::Groups => Ok(data.train.groups()),
        }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 64,
            accumulate: 1,
            label_smoothing: 0.,
            class_weights: None,
            sampler: Sampler::Shuffled,
            select: Select::Best,
            patience: None,
            drop_last: DropLast::None,
            missing: None,
            clip_norm: None,
            clip_value: None,
            groups: Vec::new(),
        }
    }
}

/// What a key of the section stands for where it is not written.
pub(super) fn neutral(key: &str, value: &serde_yaml::Value) -> Option<&'static str> {
    match key.strip_prefix("train.").filter(|_| value.is_null())? {
        "accumulate" => Some("1"),
        "label_smoothing" => Some("0"),
        "sampler" => Some("shuffled"),
        _ => Some("none"),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_one(value: &usize) -> bool {
    *value == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(value: &f64) -> bool {
    *value == 0.
}

/// Which epoch's weights are scored on the test split. The earlier epoch counts on a tie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// The one with the highest validation accuracy.
    #[default]
    Best,
    /// The one with the highest macro-F1 on validation.
    MacroF1,
    /// The one with the highest balanced accuracy on validation.
    BalancedAccuracy,
    /// The last.
    Last,
}

impl Select {
    /// The metric that is the higher the better; the accuracy for the last epoch, which is kept beside.
    pub fn metric(self) -> &'static str {
        match self {
            Self::Best | Self::Last => ACCURACY,
            Self::MacroF1 => MACRO_F1,
            Self::BalancedAccuracy => BALANCED_ACCURACY,
        }
    }
}

/// Weights of the classes in the task's cross-entropy.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// `N / (C n_c)` for the `n_c` of `N` training samples that are of class c of C.
    Balanced,
    /// One a class, in the order of the labels, each above 0.
    #[serde(untagged)]
    Each(Vec<f64>),
}

impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match serde_yaml::Value::deserialize(deserializer)? {
            serde_yaml::Value::String(word) if word == "balanced" => Ok(Self::Balanced),
            value => serde_yaml::from_value(value)
                .map(Self::Each)
                .map_err(|_| D::Error::custom("is neither `balanced` nor a list of numbers, one a class")),
        }
    }
}

impl TrainConfig {
    /// Checks what needs no data.
    pub(super) fn checked(self, protocol: Protocol) -> Result<Self> {
        let wrong =
            |key: &str, problem: String, remedy: &str| Err(Error::invalid(format!("train.{key}"), problem, remedy));
        if protocol.is_clean() && matches!(self.drop_last, DropLast::Test | DropLast::Both) {
            let problem = "leaves out test samples, which a clean table scores whole";
            return wrong("drop_last", problem.into(), "use none or train, or a protocol that does so");
        }
        self.groups.iter().enumerate().try_for_each(|(number, group)| group.check(number))?;
        let counts = [("epochs", self.epochs), ("batch", self.batch), ("accumulate", self.accumulate)];
        for (key, value) in counts.into_iter().chain(self.patience.map(|epochs| ("patience", epochs))) {
            if value == 0 {
                return wrong(key, "is 0".into(), "use a number of at least 1");
            }
            if u32::try_from(value).is_err() {
                return wrong(key, format!("is {value}"), "use a smaller number, below 2^32");
            }
        }
        if !(0. ..=1.).contains(&self.label_smoothing) {
            return wrong("label_smoothing", format!("is {}", self.label_smoothing), "use a number from 0 to 1");
        }
        if let Some(ClassWeights::Each(weights)) = &self.class_weights
            && let Some(weight) = weights.iter().find(|w| !(w.is_finite() && **w > 0.))
        {
            return wrong("class_weights", format!("has a weight {weight}"), "use numbers above 0");
        }
        if self.patience.is_some() && self.select == Select::Last {
            let problem = "waits for a better epoch on validation, but `train.select` is `last`";
            return wrong("patience", problem.into(), "choose train.select: best, or leave one of them out");
        }
        let bounds = [("clip_norm", self.clip_norm), ("clip_value", self.clip_value)];
        for (key, bound) in bounds.into_iter().filter_map(|(key, bound)| Some((key, bound?))) {
            if !(bound > 0. && bound <= 1e6) {
                return wrong(key, format!("is {bound}"), "use a number above 0, up to 1e6");
            }
        }
        if self.clip_norm.is_some() && self.clip_value.is_some() {
            return wrong(
                "clip_value",
                "bounds gradients that `train.clip_norm` bounds".into(),
                "leave one of them out",
            );
        }
        self.missing.as_ref().map_or(Ok(()), Missing::check)?;
        Ok(self)
    }

    /// How gradients are clipped, if they are.
    pub fn clip(&self) -> Option<Clip> {
        self.clip_norm.map(Clip::Norm).or(self.clip_value.map(Clip::Value))
    }

    /// How the task's loss counts labels of a data set.
    ///
    /// # Errors
    /// If there is not one weight a class.
    pub fn criterion(&self, data: &Dataset) -> Result<Criterion> {
        let weights = match &self.class_weights {
            None => None,
            Some(ClassWeights::Balanced) => Some(balanced(data.train.labels(), data.classes())),
            Some(ClassWeights::Each(weights)) if weights.len() == data.classes() => {
                Some(weights.iter().map(|w| *w as f32).collect())
            }
            Some(ClassWeights::Each(weights)) => {
                let (found, classes) = (weights.len(), data.classes());
                let problem = format!("has {found} weights, data set `{}` has {classes} classes", data.name);
                return Err(Error::invalid("train.class_weights", problem, "give one weight a class, or `balanced`"));
            }
        };
        Ok(Criterion { smoothing: self.label_smoothing, weights })
    }
}

/// Weights under which every class of the training split counts alike; 0 for a class without samples.
fn balanced(labels: &[u32], classes: usize) -> std::sync::Arc<[f32]> {
    let mut counts = vec![0_usize; classes];
    labels.iter().for_each(|label| counts[*label as usize] += 1);
    let weight = |count| if count == 0 { 0. } else { labels.len() as f32 / (classes * count) as f32 };
    counts.into_iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_weights_by_hand() {
        // 6 samples of 3 classes: 6 / (3 * 3), 6 / (3 * 2), 6 / (3 * 1).
        assert_eq!(*balanced(&[0, 0, 1, 0, 1, 2], 3), [2. / 3., 1., 2.]);
        assert_eq!(*balanced(&[0, 2], 3), [2. / 3., 0., 2. / 3.]);
    }

    #[test]
    fn what_is_neutral_is_not_written() {
        let text = |config: &TrainConfig| serde_yaml::to_string(config).unwrap();
        assert_eq!(text(&TrainConfig::default()), "epochs: 10\nbatch: 64\nselect: best\n");
        for section in
            ["class_weights: balanced\npatience: 3", "class_weights: [1.0, 2.0]", "sampler: groups", "select: macro_f1"]
        {
            let config: TrainConfig = serde_yaml::from_str(section).unwrap();
            assert_eq!(serde_yaml::from_str::<TrainConfig>(&text(&config)).unwrap(), config, "{section}");
            assert_ne!(config, TrainConfig::default());
        }
    }
}
