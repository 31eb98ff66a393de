//! From a config's method section to a method: what it names, whether it fits a network, and how several become one.

use std::collections::BTreeSet;

use aim_core::{Error, GradFn, Method, NetSpec, Offers, Preparation, Result};
use serde_yaml::Value;

use crate::card::Card;
use crate::needs::{fits, heads_learn};
use crate::stack::Built;

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

/// Checks a method section and its fit with the network, before anything is built. A section is a name, `{name: …,
/// settings…}`, `{<name>: {settings…}}`, or a list of those: a stack.
///
/// # Errors
/// Unknown keys, values out of range, a network that cannot give what the method needs, or an impossible stack.
pub fn check(section: &Value, modalities: &[String], offers: Offers) -> Result<()> {
    for (card, settings) in sections(section)? {
        (card.check)(card.about, &settings)?;
        fits(card.about, modalities.len(), offers)?;
        if let Some(inner) = settings.get("inner") {
            check(inner, modalities, offers)?;
        }
    }
    heads_learn(sections(section)?.iter().map(|(card, _)| card.about), offers)?;
    // Sizes do not decide whether methods stack or know a modality's name: the smallest network shows it.
    let ones = vec![1; modalities.len()];
    let (inputs, widths, frames) = (vec![vec![1]; modalities.len()], ones.clone(), ones.clone());
    let net = NetSpec { modalities: modalities.to_vec(), inputs, depths: ones, widths, frames, classes: 2, offers };
    stack(section, &net).map(drop)
}

/// Makes the method that a section describes.
///
/// # Errors
/// Those of [`check`].
pub fn build(section: &Value, net: &NetSpec) -> Result<Box<dyn Method>> {
    check(section, &net.modalities, net.offers)?;
    stack(section, net)?.method()
}

/// What must be trained before a run with this method section.
///
/// # Errors
/// Those of [`check`].
pub fn preparations(section: &Value, modalities: &[String]) -> Result<BTreeSet<Preparation>> {
    let mut all = BTreeSet::new();
    for (card, settings) in sections(section)? {
        all.extend((card.prepares)(card.about, &settings, modalities)?);
        if let Some(inner) = settings.get("inner") {
            all.extend(preparations(inner, modalities)?);
        }
    }
    Ok(all)
}

/// Whether a method of this section does as released code does where that is a fault (`compat: true`).
///
/// # Errors
/// If the section names no method.
pub fn compat(section: &Value) -> Result<bool> {
    for (_, settings) in sections(section)? {
        let inner = settings.get("inner").map_or(Ok(false), compat)?;
        if inner || settings.get("compat").and_then(Value::as_bool) == Some(true) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The gradient function that a section describes, for a method that wraps it.
pub(crate) fn inner(section: &Value, net: &NetSpec) -> Result<Box<dyn GradFn>> {
    stack(section, net)?.gradient()
}

/// The method that a section describes, for one that wraps whole methods.
pub(crate) fn inner_method(section: &Value, net: &NetSpec) -> Result<Box<dyn Method>> {
    stack(section, net)?.method()
}

/// The methods that a section names, each with its settings.
pub(crate) fn sections(section: &Value) -> Result<Vec<(&'static Card, Value)>> {
    let empty = || Value::Mapping(serde_yaml::Mapping::new());
    match section {
        Value::String(name) => Ok(vec![(card(name)?, empty())]),
        Value::Sequence(list) if !list.is_empty() => {
            Ok(list.iter().map(sections).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
        }
        Value::Mapping(map) => match (map.get("name").and_then(Value::as_str), map.iter().next()) {
            (Some(name), _) => {
                let mut settings = map.clone();
                settings.remove("name");
                Ok(vec![(card(name)?, Value::Mapping(settings))])
            }
            (None, Some((Value::String(name), settings))) if map.len() == 1 => {
                let settings = if settings.is_null() { empty() } else { settings.clone() };
                Ok(vec![(card(name)?, settings)])
            }
            _ => Err(unnamed()),
        },
        _ => Err(unnamed()),
    }
}

fn unnamed() -> Error {
    Error::invalid("method", "names no method", "write `method: joint`, `method: {name: joint}` or a list of methods")
}

/// Makes every method of a section and joins them.
fn stack(section: &Value, net: &NetSpec) -> Result<Built> {
    let built = |(card, settings): (&'static Card, Value)| -> Result<_> {
        Ok((card.about.name, (card.build)(card.about, &settings, net)?))
    };
    let mut built = sections(section)?.into_iter().map(built);
    let (mut name, mut whole) = built.next().ok_or_else(unnamed)??;
    for next in built {
        let (next_name, next) = next?;
        whole = whole.join(next).map_err(|problem| {
            let place = format!("method: [{name}, {next_name}]");
            Error::invalid(place, problem, "stack methods that change different parts of a step")
        })?;
        name = next_name;
    }
    Ok(whole)
}
