//! Method cards: the static description that help texts, checks and tests are made from, and the way from a config section
//! to a method.

use aim_core::{Error, Method, NetSpec, Offers, Result};
use serde::{Serialize, de::DeserializeOwned};
use serde_yaml::Value;

/// One setting of a method.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Key in the config.
    pub name: &'static str,
    /// Default, as text.
    pub default: &'static str,
    /// Values allowed.
    pub range: &'static str,
    /// What it means, with its source.
    pub meaning: &'static str,
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
    /// Additional heads for each modality.
    pub uni_heads: bool,
    /// A head for each modality whose logits are summed or averaged.
    pub disjoint_heads: bool,
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
    /// Makes the method for a network.
    ///
    /// # Errors
    /// If it cannot work on that network.
    fn build(self, net: &NetSpec) -> Result<Box<dyn Method>>;
}

/// A method: its description and how it is made.
pub struct Card {
    /// The description.
    pub about: &'static About,
    check: fn(&Value) -> Result<()>,
    build: fn(&Value, &NetSpec) -> Result<Box<dyn Method>>,
    defaults: fn() -> Result<Value>,
}

impl Card {
    /// The card of the method that `S` configures.
    pub const fn of<S: Settings>(about: &'static About) -> Self {
        Self {
            about,
            check: |v| parse::<S>(v)?.check(),
            build: |v, net| {
                let settings = parse::<S>(v)?;
                settings.check()?;
                settings.build(net)
            },
            defaults: || {
                serde_yaml::to_value(S::default()).map_err(|e| Error::invalid("method", e.to_string(), "report this"))
            },
        }
    }

    /// The settings with their defaults.
    ///
    /// # Errors
    /// If they cannot be written as YAML.
    pub fn defaults(&self) -> Result<Value> {
        (self.defaults)()
    }
}

/// The card of that name.
///
/// # Errors
/// If there is none; the message lists those that exist.
pub fn card(name: &str) -> Result<&'static Card> {
    let known = || crate::CARDS.iter().map(|c| c.about.name).collect::<Vec<_>>().join(", ");
    crate::CARDS.iter().find(|c| c.about.name == name).ok_or_else(|| {
        Error::invalid("method.name", format!("unknown method `{name}`"), format!("use one of {}", known()))
    })
}

/// The card that a config section `{name: …, settings…}` names.
fn named(section: &Value) -> Result<&'static Card> {
    let name = section.get("name").and_then(Value::as_str);
    card(name.ok_or_else(|| Error::invalid("method", "has no `name`", "write `method: {name: joint}` or the like"))?)
}

/// Checks a config section and the pair of method and network, before anything is built.
///
/// # Errors
/// Unknown keys, values out of range, or a network that cannot give what the method needs.
pub fn check(section: &Value, modalities: usize, offers: Offers) -> Result<()> {
    let card = named(section)?;
    (card.check)(section)?;
    fits(card.about, modalities, offers)
}

/// Makes the method that a config section describes.
///
/// # Errors
/// Those of [`check`].
pub fn build(section: &Value, net: &NetSpec) -> Result<Box<dyn Method>> {
    let card = named(section)?;
    fits(card.about, net.modalities.len(), net.offers)?;
    (card.build)(section, net)
}

fn fits(about: &About, modalities: usize, offers: Offers) -> Result<()> {
    let fail = |problem: String, remedy: &str| Err(Error::invalid("method.name", problem, remedy));
    let (name, needs) = (about.name, about.needs);
    let least = if needs.single { 1 } else { 2 };
    let most = if needs.single { Some(1) } else { needs.at_most };
    if modalities < least || most.is_some_and(|m| modalities > m) {
        let wanted = most.map_or(format!("at least {least}"), |m| {
            if m == least { m.to_string() } else { format!("{least} to {m}") }
        });
        return fail(
            format!("`{name}` works on {wanted} modalities, the network has {modalities}"),
            "change model.modalities",
        );
    }
    if needs.uni_heads && !offers.uni_heads {
        return fail(format!("`{name}` needs a head of its own for each modality"), "set model.uni_heads: true");
    }
    if needs.unimodal && !offers.unimodal {
        return fail(
            format!("`{name}` needs unimodal logits, which the fusion cannot give"),
            "set model.uni_heads: true",
        );
    }
    if needs.disjoint_heads && !offers.disjoint_heads {
        return fail(format!("`{name}` needs a head for each modality"), "set model.fusion to separate, sum or mean");
    }
    Ok(())
}

/// The typed settings of a section; `name` is the section's own key.
fn parse<S: Settings>(section: &Value) -> Result<S> {
    let mut section = section.clone();
    if let Value::Mapping(map) = &mut section {
        map.remove("name");
    }
    serde_path_to_error::deserialize(section).map_err(|e| {
        let path = e.path().to_string();
        let place = if path == "." { "method".into() } else { format!("method.{path}") };
        Error::invalid(place, e.into_inner().to_string(), "see `list methods` for its settings")
    })
}

/// Checks that a number lies in a range; `key` is the setting's.
pub(crate) fn within(key: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if value.is_finite() && (low..=high).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(format!("method.{key}"), format!("is {value}"), format!("use a number from {low} to {high}")))
}
