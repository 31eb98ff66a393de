//! The configuration of one run.

use std::collections::BTreeMap;

use aim_backbones::{EncoderSpec, Weights};
use aim_balance::{
    MethodSpec,
    joint::{Joint, Unimodal},
};
use aim_config::{plain_words, yaml::from_yaml};
use aim_core::{Context, Error, Preparation, Result};
use aim_data::{DatasetSpec, WeightsFile};
use aim_fusion::{ConcatConfig, ModelConfig, check_modalities, fusion};
use aim_optim::{OptimizerSpec, ScheduleSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_yaml::Value as Yaml;

use super::{
    Protocol, Sampler, TrainConfig,
    groups::{expand, read_schedules},
    table::LONGEST,
};
use crate::{Registries, metrics};

/// Everything that decides a run but its seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunConfig {
    /// Name of the run in folders and tables.
    pub name: String,
    /// What the splits are used for.
    #[serde(skip_serializing_if = "Protocol::is_clean")]
    pub protocol: Protocol,
    /// The recipe that it follows, where its sections do not say otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// The data set.
    pub data: DatasetSpec,
    /// Encoders and fusion.
    pub model: ModelConfig,
    /// The optimizer.
    pub optimizer: OptimizerSpec,
    /// The learning-rate schedule.
    pub schedule: ScheduleSpec,
    /// Length of training, updates, the task's loss and choice of the checkpoint.
    pub train: TrainConfig,
    /// The balancing method.
    pub method: MethodSpec,
}

/// The sections of a run, each still to be understood.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sections {
    name: String,
    #[serde(default)]
    protocol: Protocol,
    recipe: Option<String>,
    data: Yaml,
    model: Model,
    #[serde(default = "adam")]
    optimizer: Yaml,
    #[serde(default = "constant")]
    schedule: Yaml,
    #[serde(default = "nothing")]
    train: Yaml,
    method: Yaml,
}

/// The model section: its keys, with encoders and fusion still to be understood.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    /// Modalities that the network reads; all that have an encoder, if left out.
    modalities: Option<Vec<String>>,
    /// An encoder for each modality.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    encoders: BTreeMap<String, Yaml>,
    /// How the features are joined; `concat` by default.
    #[serde(default = "concat")]
    #[schemars(with = "serde_json::Value")]
    fusion: Yaml,
    /// Whether each modality has an additional head of its own, whose output are then its unimodal logits.
    #[serde(default)]
    uni_heads: bool,
    /// Whether a layer norm ends each encoder.
    #[serde(default)]
    feature_norm: bool,
}

fn adam() -> Yaml {
    "adam".into()
}

fn constant() -> Yaml {
    "constant".into()
}

fn nothing() -> Yaml {
    Yaml::Mapping(serde_yaml::Mapping::new())
}

fn concat() -> Yaml {
    "concat".into()
}

impl Model {
    fn read(self, registries: &Registries) -> Result<ModelConfig> {
        let encoder = |(name, section): (String, Yaml)| {
            let place = format!("model.encoders.{name}");
            let encoder = registries.encoders.read(&from_yaml(&section, &place)?, &place)?;
            encoder.weights().map_or(Ok(()), |weights| check_weights(weights, &place))?;
            Ok((name, encoder))
        };
        Ok(ModelConfig {
            modalities: self.modalities,
            encoders: self.encoders.into_iter().map(encoder).collect::<Result<_>>()?,
            fusion: registries.fusions.read(&from_yaml(&self.fusion, "model.fusion")?, "model.fusion")?,
            uni_heads: self.uni_heads,
            feature_norm: self.feature_norm,
        })
    }
}

impl RunConfig {
    /// Understands a merged section and checks everything that needs no data.
    ///
    /// # Errors
    /// With the key as place.
    pub fn read(value: Yaml, registries: &Registries) -> Result<Self> {
        let Sections { name, protocol, recipe, data, model, optimizer, schedule, mut train, method } =
            typed(value, "")?;
        expand(&mut train)?;
        let schedules = read_schedules(&mut train, &registries.schedules)?;
        let mut train: TrainConfig = typed(train, "train")?;
        train.groups.iter_mut().zip(schedules).for_each(|(group, schedule)| group.schedule = schedule);
        let config = Self {
            name,
            protocol,
            recipe,
            optimizer: registries.optimizers.read(&from_yaml(&optimizer, "optimizer")?, "optimizer")?,
            schedule: registries.schedules.read(&from_yaml(&schedule, "schedule")?, "schedule")?,
            train: train.checked(protocol)?,
            data: registries.datasets.read(&from_yaml(&data, "data")?, "data")?,
            method: MethodSpec::read(&registries.methods, &from_yaml(&method, "method")?)?,
            model: model.read(registries)?,
        };
        config.checked(registries)
    }

    /// Checks that its parts go together, as far as that can be said without data. A method of one modality makes it
    /// the network's only one.
    ///
    /// # Errors
    /// With the key as place.
    pub fn checked(mut self, registries: &Registries) -> Result<Self> {
        if let [only] = self.method.methods()
            && let Some(modality) = only.only()
        {
            self.model.modalities = Some(vec![modality.to_owned()]);
        }
        self.check_model(registries)?;
        self.check_method()?;
        Ok(self)
    }

    /// Understands a model section.
    ///
    /// # Errors
    /// With the key as place.
    pub fn read_model(section: Yaml, registries: &Registries) -> Result<ModelConfig> {
        typed::<Model>(section, "model")?.read(registries)
    }

    /// Names of the modalities that the network reads; their order is the data set's.
    pub fn modalities(&self) -> Vec<String> {
        self.model.modalities.clone().unwrap_or_else(|| self.model.encoders.keys().cloned().collect())
    }

    /// The run that a preparation of this one is: everything the same but the network and the method. Its name does not
    /// depend on this run's, so that all runs that need it share it.
    #[must_use]
    pub fn preparation(&self, which: &Preparation) -> Self {
        let (name, model, method) = match which {
            Preparation::Alone { modality } => {
                let encoder = self.model.encoders.get_key_value(modality);
                let encoders = encoder.map(|(name, encoder)| (name.clone(), without_low_rank(encoder)));
                let concat = fusion(ConcatConfig {});
                let model = ModelConfig {
                    modalities: Some(vec![modality.clone()]),
                    feature_norm: self.model.feature_norm,
                    ..ModelConfig::new(encoders, concat)
                };
                // Names of runs are those of folders; a modality may be called anything.
                let fine = |c: char| if c.is_alphanumeric() { c } else { '_' };
                let name = modality.chars().map(fine).collect::<String>() + "-alone";
                (name, model, Unimodal { modality: modality.clone() }.into())
            }
            Preparation::Joint => {
                ("joint".into(), ModelConfig { uni_heads: false, ..self.model.clone() }, Joint {}.into())
            }
        };
        Self { name, model, method, ..self.clone() }
    }

    fn check_model(&self, registries: &Registries) -> Result<()> {
        let modalities = self.modalities();
        metrics::check_modalities(modalities.len()).at(|| "model".to_owned())?;
        for name in &modalities {
            if name.len() > LONGEST {
                let problem = format!("a modality's name has {} bytes", name.len());
                return Err(Error::invalid("model.encoders", problem, format!("use at most {LONGEST}")));
            }
            if !self.model.encoders.contains_key(name) {
                let known: Vec<_> = self.model.encoders.keys().map(String::as_str).collect();
                let problem = format!("there is no encoder for modality `{name}`, only for {}", known.join(", "));
                return Err(Error::invalid("model.encoders", problem, format!("add `{name}:` there")));
            }
        }
        for (number, group) in self.train.groups.iter().enumerate() {
            if let Some(name) = group.modality.as_ref().filter(|name| !self.model.encoders.contains_key(*name)) {
                let place = format!("train.groups[{number}].modality");
                return Err(Error::unknown(place, format!("is `{name}`"), self.model.encoders.keys()));
            }
        }
        self.model.check()?;
        check_modalities(&self.model.fusion, modalities.len(), &registries.fusions, "model.fusion")?;
        self.method.check(&modalities, &self.model.capabilities(), &|capability| registries.offers(capability))?;
        self.model.check_widths()?;
        self.method.check_widths(&self.model.widths())
    }
}

impl RunConfig {
    /// Checks that the method can be trained as the section `train` wants.
    fn check_method(&self) -> Result<()> {
        if self.train.accumulate > 1 && self.method.owns_step(&self.modalities(), &self.model.capabilities())? {
            let problem = format!("needs methods with one update a step, and `{}` owns its step", self.method.name());
            return Err(Error::invalid("train.accumulate", problem, "leave it out, or use a smaller train.batch"));
        }
        let methods = self.method.all();
        let alone = |which: &Preparation| matches!(which, Preparation::Alone { .. });
        if self.model.fusion.reads_tokens() && self.method.preparations(&self.modalities()).iter().any(alone) {
            let problem =
                format!("is tokens, and encoders trained alone for `{}` hand on features", self.method.name());
            return Err(Error::invalid("model.fusion.reads", problem, "leave it out, or use another method"));
        }
        if let Some(turns) = methods.iter().find(|method| self.train.accumulate > 1 && method.takes_turns()) {
            let name = turns.info().name;
            let problem =
                format!("needs methods with one update a step of any batches, and those of `{name}` take turns");
            return Err(Error::invalid("train.accumulate", problem, "leave it out, or use a larger train.batch"));
        }
        let samples = self.train.sampler != Sampler::Shuffled;
        if let Some(turns) = methods.iter().find(|method| samples && method.takes_turns()) {
            let problem = format!("chooses what an epoch shows, and so does `{}`", turns.info().name);
            return Err(Error::invalid("train.sampler", problem, "leave it out"));
        }
        let stops = self.train.patience.is_some_and(|patience| patience < self.train.epochs);
        if let Some(staged) = methods.iter().find(|method| stops && method.ends_in_a_stage()) {
            let problem = format!("may end the run before the last stage of `{}`", staged.info().name);
            return Err(Error::invalid("train.patience", problem, "leave it out, or use the number of epochs"));
        }
        let plain = self.method.all().into_iter().find(|method| !method.task_loss());
        let key = match &self.train {
            TrainConfig { class_weights: Some(_), .. } => "class_weights",
            TrainConfig { label_smoothing, .. } if *label_smoothing != 0. => "label_smoothing",
            _ => return Ok(()),
        };
        plain.map_or(Ok(()), |method| {
            let problem = format!("changes the cross-entropy of the task, and `{}` has none", method.info().name);
            Err(Error::invalid(format!("train.{key}"), problem, "leave it out"))
        })
    }
}

/// The file that weights are read from.
pub(crate) fn weights_file(weights: &Weights) -> WeightsFile<'_> {
    WeightsFile { file: &weights.file, hub: weights.hub.as_deref(), revision: weights.revision.as_deref() }
}

/// Checks what names a file of weights; `place` is that of the encoder.
fn check_weights(weights: &Weights, place: &str) -> Result<()> {
    weights_file(weights).check().map_err(|error| match error {
        Error::Invalid { place: own, problem, remedy } => {
            Error::invalid(format!("{place}.weights"), format!("{own} {problem}"), remedy)
        }
        other => other,
    })
}

fn without_low_rank(encoder: &EncoderSpec) -> EncoderSpec {
    encoder.without_low_rank().map_or_else(|| encoder.clone(), |settings| EncoderSpec::of(encoder.name(), settings))
}

/// Deserializes a section; the place of an error is the key's path below `prefix`.
pub(super) fn typed<T: DeserializeOwned>(value: Yaml, prefix: &str) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        let problem = plain_words(&e.into_inner().to_string());
        let unknown = problem.strip_prefix("unknown field `").and_then(|p| p.split_once('`')).map(|(key, _)| key);
        let mut place =
            [prefix, path.trim_matches('.')].into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(".");
        if let Some(key) = unknown.filter(|key| !place.ends_with(key)) {
            place = if place.is_empty() { key.into() } else { format!("{place}.{key}") };
        }
        let remedy = if problem.starts_with("missing field") { "add it" } else { "correct or remove it" };
        Error::invalid(place, problem, remedy)
    })
}
