//! The static table of sets: what feeds the command line's help, the checks of a config and the loading itself.

use std::path::Path;

use aim_core::{Error, Result};
use serde_yaml::Value;

use crate::{Dataset, sets};

/// One setting of a set.
#[derive(Clone, Copy, Debug)]
pub struct SettingCard {
    /// Its key.
    pub name: &'static str,
    /// Its default.
    pub default: &'static str,
    /// The values it takes.
    pub range: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

/// Noise that makes a strong modality weaker.
pub(crate) const AUDIO_NOISE: SettingCard = SettingCard {
    name: "noise",
    default: "0",
    range: "0 to 100",
    meaning: "standard deviation of the noise on the standardised audio, the same in every run",
};

/// One set.
#[derive(Clone, Copy, Debug)]
pub struct Card {
    /// Its name in a config.
    pub name: &'static str,
    /// What it holds, where it is from and how it is split.
    pub about: &'static str,
    /// Modalities with the shape of one sample.
    pub modalities: &'static str,
    /// Its settings.
    pub settings: &'static [SettingCard],
    /// Whether it is read from the folder of the data (`--data-root` or `AIM_DATA`).
    pub needs_root: bool,
    /// Checks settings without touching any file.
    pub check: fn(&Value) -> Result<()>,
    /// Reads or generates it.
    pub load: fn(&Value, Option<&Path>) -> Result<Dataset>,
}

/// Every set there is.
pub static CARDS: &[Card] = &[
    sets::synth::CARD,
    sets::grid::CARD,
    sets::avmnist::CARD,
    sets::lis::CARD,
    sets::geotec::CARD,
    sets::mosi::CARD,
    sets::mfeat::CARD,
    sets::bundle::CARD,
];

/// The card of that name.
pub fn card(name: &str) -> Option<&'static Card> {
    CARDS.iter().find(|card| card.name == name)
}

/// Loads the set that `settings` describe: a mapping with `name` and the set's own settings.
///
/// # Errors
/// Unknown names, keys and values (with the key's path), files that are missing or broken, and data that
/// [`Dataset::check`] refuses.
pub fn load(settings: &Value, root: Option<&Path>) -> Result<Dataset> {
    (named(settings)?.load)(settings, root)
}

/// Checks `settings` as [`load`] does, without touching any file.
///
/// # Errors
/// Unknown names, keys and values, with the key's path.
pub fn check_settings(settings: &Value) -> Result<()> {
    (named(settings)?.check)(settings)
}

fn named(settings: &Value) -> Result<&'static Card> {
    let known = || format!("choose one of {}", CARDS.iter().map(|c| c.name).collect::<Vec<_>>().join(", "));
    let Value::Mapping(map) = settings else {
        return Err(Error::invalid("data", "is not a mapping", "write `name:` and the set's settings below it"));
    };
    let name = map.get("name").ok_or_else(|| Error::invalid("data.name", "is missing", known()))?;
    let name = name.as_str().ok_or_else(|| Error::invalid("data.name", "is not a text", known()))?;
    card(name).ok_or_else(|| Error::invalid("data.name", format!("there is no data set `{name}`"), known()))
}
