//! The configuration of one run.

use aim_core::{Error, Preparation, Result, plain_words};
use aim_fusion::{FusionConfig, ModelConfig};
use aim_optim::{OptimConfig, ScheduleConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_yaml::{Mapping, Value};

use super::Protocol;

/// Everything that decides a run but its seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Name of the run in folders and tables.
    pub name: String,
    /// What the splits are used for.
    #[serde(default, skip_serializing_if = "Protocol::is_clean")]
    pub protocol: Protocol,
    /// The data set and its settings.
    pub data: Value,
    /// Encoders and fusion.
    pub model: ModelConfig,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: OptimConfig,
    /// The learning-rate schedule.
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// Length of training and choice of the checkpoint.
    #[serde(default)]
    pub train: TrainConfig,
    /// The balancing method and its settings.
    pub method: Value,
}

/// Length of training and choice of the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training split.
    pub epochs: usize,
    /// Samples in a batch.
    pub batch: usize,
    /// Which epoch's weights are scored on the test split.
    pub select: Select,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self { epochs: 10, batch: 64, select: Select::Best }
    }
}

/// Which epoch's weights are scored on the test split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Select {
    /// The one with the highest validation accuracy, the earlier on a tie.
    #[default]
    Best,
    /// The last.
    Last,
}

impl RunConfig {
    /// Understands a merged section and checks everything that needs no data.
    ///
    /// # Errors
    /// With the key as place.
    pub fn from_value(value: Value) -> Result<Self> {
        let mut config: Self = typed(value, "")?;
        config.optimizer.check("optimizer")?;
        config.schedule.check("schedule")?;
        config.check_train()?;
        aim_data::check_settings(&config.data)?;
        config.restrict_to_method()?;
        config.check_model()?;
        Ok(config)
    }

    /// Names of the modalities that the network reads; their order is the data set's.
    pub fn modalities(&self) -> Vec<String> {
        self.model.modalities.clone().unwrap_or_else(|| self.model.encoders.keys().cloned().collect())
    }

    /// Name of the method; of a stack, those of its parts.
    pub fn method_name(&self) -> String {
        name_of(&self.method)
    }

    /// The run that a preparation of this one is: everything the same but the network and the method. Its name does not
    /// depend on this run's, so that all runs that need it share it.
    #[must_use]
    pub fn preparation(&self, which: &Preparation) -> Self {
        let method = |pairs: &[(&str, &str)]| {
            let pair = |(key, value): &(&str, &str)| (Value::from(*key), Value::from(*value));
            Value::Mapping(pairs.iter().map(pair).collect::<Mapping>())
        };
        let (name, model, method) = match which {
            Preparation::Alone { modality } => {
                let encoder = self.model.encoders.get_key_value(modality);
                let model = ModelConfig {
                    modalities: Some(vec![modality.clone()]),
                    encoders: encoder.map(|(k, e)| (k.clone(), e.clone().without_low_rank())).into_iter().collect(),
                    fusion: FusionConfig::Concat,
                    uni_heads: false,
                    feature_norm: self.model.feature_norm,
                };
                // Names of runs are those of folders; a modality may be called anything.
                let fine = |c: char| if c.is_alphanumeric() { c } else { '_' };
                let name = modality.chars().map(fine).collect::<String>() + "-alone";
                (name, model, method(&[("name", "unimodal"), ("modality", modality)]))
            }
            Preparation::Joint => {
                let model = ModelConfig { uni_heads: false, ..self.model.clone() };
                ("joint".into(), model, method(&[("name", "joint")]))
            }
        };
        Self { name, model, method, ..self.clone() }
    }

    fn check_train(&self) -> Result<()> {
        let TrainConfig { epochs, batch, .. } = self.train;
        for (key, value) in [("epochs", epochs), ("batch", batch)] {
            if value == 0 {
                return Err(Error::invalid(format!("train.{key}"), "is 0", "use a number of at least 1"));
            }
        }
        Ok(())
    }

    /// A method of one modality makes it the network's only one.
    fn restrict_to_method(&mut self) -> Result<()> {
        let Some(name) = self.method.get("name").and_then(Value::as_str) else { return Ok(()) };
        if aim_balance::card(name)?.about.needs.single {
            let modality = self.method.get("modality").and_then(Value::as_str);
            let missing = || Error::invalid("method.modality", "is missing", "name the modality to train");
            self.model.modalities = Some(vec![modality.ok_or_else(missing)?.to_owned()]);
        }
        Ok(())
    }

    fn check_model(&self) -> Result<()> {
        let modalities = self.modalities();
        for name in &modalities {
            let encoder = self.model.encoders.get(name).ok_or_else(|| {
                let known: Vec<_> = self.model.encoders.keys().map(String::as_str).collect();
                let problem = format!("there is no encoder for modality `{name}`, only for {}", known.join(", "));
                Error::invalid("model.encoders", problem, format!("add `{name}:` there"))
            })?;
            encoder.check(&format!("model.encoders.{name}"))?;
        }
        self.model.fusion.check(modalities.len(), "model.fusion")?;
        let offers = self.model.offers();
        aim_balance::check(&self.method, &modalities, offers)
    }
}

/// `a` of `a` and of `{name: a}`, `a+b` of `[a, b]`, `a(b)` of `{a: {inner: b}}`.
fn name_of(method: &Value) -> String {
    match method {
        Value::String(name) => name.clone(),
        Value::Sequence(parts) => parts.iter().map(name_of).collect::<Vec<_>>().join("+"),
        Value::Mapping(map) => match (map.get("name"), map.iter().next()) {
            (Some(name), _) => name_of(name),
            (None, Some((outer, settings))) => {
                format!("{}({})", name_of(outer), settings.get("inner").map(name_of).unwrap_or_default())
            }
            _ => String::new(),
        },
        _ => String::new(),
    }
}

/// Deserializes a section; the place of an error is the key's path below `prefix`.
pub(super) fn typed<T: DeserializeOwned>(value: Value, prefix: &str) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        let problem = plain_words(&e.into_inner().to_string());
        let unknown = problem.strip_prefix("unknown field `").and_then(|p| p.split_once('`')).map(|(key, _)| key);
        let mut place =
            [prefix, path.trim_matches('.')].into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(".");
        if let Some(key) = unknown.filter(|key| !place.ends_with(key)) {
            place = if place.is_empty() { key.into() } else { format!("{place}.{key}") };
        }
        let remedy = if problem.starts_with("missing field") { "add it" } else { "mend or remove it" };
        Error::invalid(place, problem, remedy)
    })
}
