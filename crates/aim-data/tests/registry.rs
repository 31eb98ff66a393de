//! Sets by name: what a section becomes, what is refused, and that anyone can add a set.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use aim_config::{Value, by_type, settings};
use aim_core::Result;
use aim_data::{Bundle, Dataset, DatasetInfo, DatasetSettings, Grid, Slot, Synth, builtin, card, dataset, load};
use serde_json::json;

fn small() -> Synth {
    Synth { train: 20, validation: 10, test: 10, ..Synth::default() }
}

/// Why a section is refused.
fn refused(section: &Value) -> String {
    builtin().read(section, "data").unwrap_err().to_string()
}

settings! {
    /// Settings of `own`.
    struct Own {
        /// Whether it has fewer classes than labels.
        few: bool = false => by_type(), "ours";
    }
}

static OWN: DatasetInfo = DatasetInfo { name: "own", about: "ten digits", modalities: "two", needs_root: false };

impl DatasetSettings for Own {
    fn info(&self) -> &'static DatasetInfo {
        &OWN
    }
    fn load(&self, root: Option<&Path>) -> Result<Dataset> {
        let mut set = small().load(root)?;
        set.class_names.truncate(if self.few { 9 } else { 10 });
        Ok(set)
    }
}

#[test]
fn every_set_has_a_name_of_its_own() {
    assert_eq!(
        builtin().names(),
        "synth-av, grid, avmnist, lis, geotec, mosi, mfeat, bundle, manifest, corpus, hub, halves"
    );
}

#[test]
fn a_section_leaves_out_what_has_a_default_and_is_written_out_in_full() {
    for card in builtin().iter().filter(|card| card.settings().iter().all(|setting| !setting.rule.required)) {
        let spec = builtin().read(&json!(card.name()), "data").unwrap();
        assert_eq!(spec, builtin().read(&spec.section(), "data").unwrap());
        assert_eq!(spec.section().as_object().unwrap().len(), 1 + card.settings().len(), "{}", card.name());
    }
}

#[test]
fn typed_settings_are_those_of_the_section() {
    let section = json!({"name": "grid", "noise": 1.5, "slot": "colour"});
    let typed = dataset(Grid { noise: 1.5, slot: Some(Slot::Colour) });
    assert_eq!(builtin().read(&section, "data").unwrap(), typed);
    assert_eq!(typed.section(), section);
}

#[test]
fn cards_say_in_words_what_a_value_does_not() {
    let rows = builtin().get("bundle", "data").unwrap().rows();
    let defaults: Vec<(&str, &str)> = rows.iter().map(|(s, default)| (s.name, default.as_str())).collect();
    let (files, lists) = defaults.split_at(3);
    assert_eq!(files, [("train", "required"), ("validation", "required"), ("test", "required")]);
    assert_eq!(lists, [("modalities", "all, sorted"), ("class_names", "0, 1, ... up to the largest training label")]);
    let rows = builtin().get("grid", "data").unwrap().rows();
    assert_eq!((rows[0].1.as_str(), rows[0].0.range()), ("0", "0 to 100".into()));
    assert_eq!(rows[1].1, "all");
    assert_eq!(rows[1].0.range(), "command | colour | preposition | letter | digit | adverb");
}

#[test]
fn errors_name_the_key() {
    let cases = [
        (json!({"name": "synthav"}), "data.name: unknown data set `synthav`"),
        (json!(["grid"]), "data: names no data set"),
        (json!({"name": "synth-av", "clutter": 1}), "data.clutter: unknown field"),
        (json!({"name": "synth-av", "train": 9}), "data.train: is 9; use a whole number from 10 to 1000000 samples"),
        (json!({"name": "synth-av", "train": 1_000_001}), "data.train: is 1000001"),
        (json!({"name": "synth-av", "image_clutter": -1}), "data.image_clutter: is -1; use a number from 0 to 100"),
        (json!({"name": "avmnist", "low": 257}), "data.low: is 257; use a whole number from 0 to 256"),
        (json!({"name": "avmnist", "noise": 101}), "data.noise: is 101; use a number from 0 to 100"),
        (json!({"name": "grid", "noise": -0.5}), "data.noise: is -0.5; use a number from 0 to 100"),
        (json!({"name": "grid", "slot": "noun"}), "data.slot: unknown variant `noun`"),
        (json!({"name": "lis", "orientation": 1}), "data.orientation: invalid type"),
        (json!({"name": "mfeat", "noise": 1}), "data.noise: unknown field"),
        (json!({"name": "bundle", "train": "a", "validation": "b"}), "data.test: is missing; add it"),
        (
            json!({"name": "hub", "dataset": "zoo", "text": {}}),
            "data.dataset: `zoo` names no data set; write OWNER/NAME",
        ),
        (json!({"name": "hub", "dataset": "me/zoo"}), "data: names no modality; name the column"),
        (json!({"name": "hub", "dataset": "me/zoo", "text": {"image": {}}}), "data.text: names 2 decoders"),
        (json!({"name": "hub", "dataset": "me/zoo", "text": {}, "test": "train"}), "data: names one split twice"),
        (json!({"name": "halves", "of": "cifar"}), "data.of: unknown variant `cifar`"),
        (json!({"name": "bundle", "train": "hf://a", "validation": "b", "test": "c"}), "data.train: hf://a names no"),
    ];
    for (section, start) in cases {
        let error = refused(&section);
        assert!(error.starts_with(start), "{section}: {error}");
    }
}

#[test]
fn typed_settings_are_checked_before_anything_is_read() {
    let error = |spec| load(&spec, None).unwrap_err().to_string();
    assert!(error(dataset(Synth { train: 3, ..small() })).starts_with("data.train: is 3;"));
    assert!(error(dataset(Bundle::default())).starts_with("data.train: is missing"));
    let hub = || "hf://me".into();
    let files = Bundle { train: hub(), validation: hub(), test: hub(), ..Bundle::default() };
    assert!(error(dataset(files)).starts_with("data.train: hf://me names no file"));
}

#[test]
fn a_set_of_ones_own_joins_and_its_samples_are_checked() {
    let sets = builtin().clone().with(card::<Own>()).unwrap();
    let own = |few| load(&sets.read(&json!({"own": {"few": few}}), "data").unwrap(), None);
    assert_eq!(own(false).unwrap().classes(), 10);
    // Label 9 is the tenth class.
    let error = own(true).unwrap_err().to_string();
    assert!(error.contains("label 9 of sample `train.9` is out of range"), "{error}");
}
