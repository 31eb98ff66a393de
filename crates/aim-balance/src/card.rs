//! Method cards: the static description that help texts, checks and tests are made from.

use aim_core::{Error, NetSpec, Preparation, Result, plain_words};
use serde::{Serialize, de::DeserializeOwned};
use serde_yaml::Value;

use crate::stack::Built;

/// One setting of a method.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Key in the config.
    pub name: &'static str,
    /// Default, as text.
    pub default: &'static str,
    /// Values allowed.
    pub range: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Where the default is from: paper, released code, a third party, or ours; with details where they matter.
    pub source: &'static str,
}

impl Setting {
    /// A row of a card: name, default, range, meaning, source of the default.
    pub const fn new(
        name: &'static str,
        default: &'static str,
        range: &'static str,
        meaning: &'static str,
        source: &'static str,
    ) -> Self {
        Self { name, default, range, meaning, source }
    }
}

/// What a method needs of the network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// Works on one modality alone: its setting `modality` names the network's only one.
    pub single: bool,
    /// Largest number of modalities, where the method's definition has one.
    pub at_most: Option<usize>,
    /// Unimodal logits, of the head or of additional heads.
    pub unimodal: bool,
    /// The unimodal logits are only read: additional heads would have to be trained by another method of the stack.
    pub reads: bool,
    /// Additional heads for each modality.
    pub uni_heads: bool,
    /// A head for each modality whose logits are summed or averaged.
    pub disjoint_heads: bool,
    /// One head that reads any modality's feature.
    pub shared_head: bool,
    /// Heads that are linear in each modality's feature.
    pub linear_heads: bool,
    /// A head of several layers for each modality.
    pub deep_heads: bool,
    /// One head of several layers with a learnt rate.
    pub boosted: bool,
    /// A head for each modality and a linear layer over the classes of their sum.
    pub class_layer: bool,
    /// A gate for each modality's feature that all features set together.
    pub gates: bool,
    /// Low-rank additions in the encoders.
    pub adapters: bool,
    /// Learnt weights of the modalities for each sample, and no other heads in place of those that they are made from.
    pub scheduled: bool,
    /// A memory that reads modalities in an order.
    pub memory: bool,
    /// A primary modality for each sample, and predictions from it.
    pub primary: bool,
}

impl Needs {
    /// Nothing beyond fused logits.
    pub const NONE: Self = Self {
        single: false,
        at_most: None,
        unimodal: false,
        reads: false,
        uni_heads: false,
        disjoint_heads: false,
        shared_head: false,
        linear_heads: false,
        deep_heads: false,
        boosted: false,
        class_layer: false,
        gates: false,
        adapters: false,
        scheduled: false,
        memory: false,
        primary: false,
    };
}

/// What a card says in words.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Name in a config.
    pub name: &'static str,
    /// Name in a table.
    pub title: &'static str,
    /// The idea in one sentence.
    pub idea: &'static str,
    /// Where it is published.
    pub paper: &'static str,
    /// What a step and an epoch cost, in units of joint training.
    pub cost: &'static str,
    /// Where it departs from the paper or from released code, and why; one sentence each.
    pub departs: &'static [&'static str],
    /// Its settings.
    pub settings: &'static [Setting],
    /// What it needs of the network.
    pub needs: Needs,
}

/// A method's settings, as a config writes them.
pub trait Settings: DeserializeOwned + Serialize + Default {
    /// Checks the values.
    ///
    /// # Errors
    /// If one is out of range; the place is `method.<key>`.
    fn check(&self) -> Result<()>;
    /// Makes the method, or the part of one that it is, for a network.
    ///
    /// # Errors
    /// If it cannot work on that network.
    fn build(self, net: &NetSpec) -> Result<Built>;
}

/// Settings of a method that needs networks to be trained before its run.
pub trait Prepares: Settings {
    /// Which; `modalities` are the run's.
    fn prepares(&self, modalities: &[String]) -> Vec<Preparation>;
}

/// A method: its description and how it is made.
pub struct Card {
    /// The description.
    pub about: &'static About,
    pub(crate) check: fn(&About, &Value) -> Result<()>,
    pub(crate) build: fn(&About, &Value, &NetSpec) -> Result<Built>,
    pub(crate) prepares: fn(&About, &Value, &[String]) -> Result<Vec<Preparation>>,
    defaults: fn() -> Result<Value>,
}

impl Card {
    /// The card of the method that `S` configures.
    pub const fn of<S: Settings>(about: &'static About) -> Self {
        Self {
            about,
            check: |about, v| parse::<S>(about, v)?.check(),
            build: |about, v, net| {
                let settings = parse::<S>(about, v)?;
                settings.check()?;
                settings.build(net)
            },
            prepares: |_, _, _| Ok(Vec::new()),
            defaults: || {
                serde_yaml::to_value(S::default()).map_err(|e| Error::invalid("method", e.to_string(), "report this"))
            },
        }
    }

    /// The same for a method that needs networks to be trained before.
    pub const fn preparing<S: Prepares>(about: &'static About) -> Self {
        Self { prepares: |about, v, modalities| Ok(parse::<S>(about, v)?.prepares(modalities)), ..Self::of::<S>(about) }
    }

    /// The settings with their defaults.
    ///
    /// # Errors
    /// If they cannot be written as YAML.
    pub fn defaults(&self) -> Result<Value> {
        (self.defaults)()
    }
}

/// The typed settings of a section.
fn parse<S: Settings>(about: &About, section: &Value) -> Result<S> {
    serde_path_to_error::deserialize(section.clone()).map_err(|e| {
        let path = e.path().to_string();
        let place = if path == "." { "method".into() } else { format!("method.{path}") };
        let key = path.split(['.', '[']).next();
        let remedy = about.settings.iter().find(|s| Some(s.name) == key).map(|s| format!("use {}", s.range));
        let remedy = remedy.unwrap_or_else(|| "see `list methods` for its settings".into());
        Error::invalid(place, plain_words(&e.into_inner().to_string()), remedy)
    })
}

/// Indices of modalities that a setting names; all of them, in the network's order, if it names none.
pub(crate) fn order(key: &str, names: Option<&[String]>, net: &NetSpec) -> Result<Vec<usize>> {
    let Some(names) = names.filter(|names| !names.is_empty()) else { return Ok((0..net.modalities.len()).collect()) };
    let index = |name: &String| {
        let problem = || format!("there is no modality `{name}`, only {}", net.modalities.join(", "));
        let unknown = || Error::invalid(format!("method.{key}"), problem(), "name the network's modalities");
        net.modalities.iter().position(|n| n == name).ok_or_else(unknown)
    };
    names.iter().map(index).collect()
}

/// Checks that a setting's names of modalities are the network's.
pub(crate) fn known<'a>(key: &str, names: impl Iterator<Item = &'a String>, net: &NetSpec) -> Result<()> {
    let names: Vec<String> = names.cloned().collect();
    order(key, Some(&names), net).map(drop)
}

/// Checks that a number lies in a range; `key` is the setting's. `f64::MIN_POSITIVE` stands for anything above 0, `f64::MAX`
/// for no upper end.
pub(crate) fn within(key: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if value.is_finite() && (low..=high).contains(&value) {
        return Ok(());
    }
    let lower = if low == f64::MIN_POSITIVE { "above 0".into() } else { format!("from {low}") };
    let range = if high == f64::MAX { lower.replace("from", "of at least") } else { format!("{lower} to {high}") };
    Err(Error::invalid(format!("method.{key}"), format!("is {value}"), format!("use a number {range}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn cards_say_everything_once() {
        let mut names = BTreeSet::new();
        for About { name, title, idea, paper, cost, departs, settings, .. } in crate::CARDS.iter().map(|c| c.about) {
            assert!(names.insert(name), "two methods are called `{name}`");
            let said = [name, title, idea, paper, cost].into_iter().chain(departs.iter());
            assert!(said.into_iter().all(|text| !text.trim().is_empty()), "the card of `{name}` has an empty text");
            assert!(departs.iter().all(|d| d.ends_with('.')), "`{name}`: departures are whole sentences");
            for s in *settings {
                let said = [s.name, s.default, s.range, s.meaning, s.source];
                assert!(said.iter().all(|text| !text.trim().is_empty()), "`{name}`: a row of `{}` is empty", s.name);
                let known = ["paper", "released code", "third party", "ours"].iter().any(|k| s.source.starts_with(k));
                assert!(
                    known,
                    "`{name}`: the source of `{}` is none of paper, released code, third party, ours",
                    s.name
                );
            }
        }
    }

    #[test]
    fn cards_name_every_setting_with_its_default() {
        for card in crate::CARDS {
            let name = card.about.name;
            let Value::Mapping(mut defaults) = card.defaults().unwrap() else { panic!("`{name}` has no settings map") };
            for setting in card.about.settings {
                let default = defaults.remove(setting.name);
                let default =
                    default.unwrap_or_else(|| panic!("`{name}` has no setting `{}`, or two rows", setting.name));
                assert!(
                    agrees(&default, setting.default),
                    "`{name}.{}` is {default:?}, not {}",
                    setting.name,
                    setting.default
                );
            }
            assert!(defaults.is_empty(), "the card of `{name}` lacks {defaults:?}");
        }
    }

    /// Whether a text is that value; what is no literal (nothing, an empty name or table) is described in words.
    fn agrees(value: &Value, text: &str) -> bool {
        match value {
            Value::Number(number) => text.parse().ok() == number.as_f64(),
            Value::Bool(flag) => text == flag.to_string(),
            Value::String(word) if !word.is_empty() => text == word,
            Value::Mapping(table) if !table.is_empty() => false,
            _ => text.parse::<f64>().is_err(),
        }
    }
}
