//! Data in memory, and configurations that give every method what it needs.

use aim_balance::{MethodCard, Requirements};
use aim_config::yaml::parse;
use aim_core::{Result, capability};
use aim_data::Dataset;
use aim_train::{config::RunConfig, standard};
use serde_yaml::Value;

use crate::write_bundle;

/// A data set with the encoder of each modality.
pub struct World {
    /// The data.
    pub data: Dataset,
    section: String,
    encoder: String,
    optimizer: String,
    train: String,
    /// Holds the files for as long as the world.
    _folder: tempfile::TempDir,
}

impl World {
    /// Two modalities, sound and image.
    ///
    /// # Panics
    /// If the data cannot be made.
    pub fn two(samples: usize, encoder: &str, train: &str) -> Self {
        let section = format!("{{name: synth-av, train: {samples}, validation: 20, test: 20}}");
        Self::of(tempfile::tempdir().unwrap(), section, encoder, train)
    }

    /// The three modalities of [`write_bundle`].
    ///
    /// # Panics
    /// If the data cannot be made.
    pub fn three(train: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_bundle(folder.path());
        let file = |split: &str| format!("{split}: '{}'", folder.path().join(format!("{split}.safetensors")).display());
        let section = format!("{{name: bundle, {}}}", ["train", "validation", "test"].map(file).join(", "));
        Self::of(folder, section, "name: mlp, widths: [8, 8]", train)
    }

    fn of(folder: tempfile::TempDir, section: String, encoder: &str, train: &str) -> Self {
        let data = aim_data::load(&aim_data::builtin().read(&parse(&section).unwrap(), "data").unwrap(), None).unwrap();
        let optimizer = "{name: adam, lr: 0.005}".into();
        Self { data, section, encoder: encoder.into(), optimizer, train: train.into(), _folder: folder }
    }

    /// The same with another optimizer.
    #[must_use]
    pub fn optimizer(mut self, optimizer: &str) -> Self {
        self.optimizer = optimizer.into();
        self
    }

    /// A configuration of `method`, a section as YAML in which `FIRST`, `SECOND` and so on stand for modalities. The
    /// network gives what `requires` asks for, where `fusion` can.
    ///
    /// # Errors
    /// If the method and the network do not go together.
    ///
    /// # Panics
    /// If the YAML is wrong.
    pub fn config(&self, method: &str, requires: Requirements, fusion: &str) -> Result<RunConfig> {
        let lora = if requires.wants(capability::ADAPTERS) { ", lora: {rank: 2}" } else { "" };
        let encoders = self.data.modalities.iter().map(|m| format!("{m}: {{{}{lora}}}", self.encoder));
        let text = format!(
            "name: course\ndata: {}\nmodel: {{encoders: {{{}}}, fusion: {fusion}, uni_heads: {}}}\noptimizer: {}\n\
             train: {}\nmethod: {}\n",
            self.section,
            encoders.collect::<Vec<_>>().join(", "),
            requires.wants(capability::UNI_HEADS),
            self.optimizer,
            self.train,
            self.named(method)
        );
        let value: Value = serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{text}\n{e}"));
        RunConfig::read(value, standard())
    }

    /// A method section with the modalities' names in place of `FIRST` and so on.
    pub fn named(&self, method: &str) -> String {
        let places = ["FIRST", "SECOND", "THIRD"].iter().zip(&self.data.modalities);
        places.fold(method.to_owned(), |text, (place, name)| text.replace(place, name))
    }
}

/// The fusion that a method asks for.
pub fn fusion(requires: Requirements) -> &'static str {
    let fusions = [
        (capability::CLASS_LAYER, "sum-linear"),
        (capability::GATES, "{mmtm: {squeeze: 4}}"),
        (capability::SCHEDULED, "{scheduled: {hidden: 8}}"),
        (capability::MEMORY, "{memory: {hidden: 8}}"),
        (capability::PRIMARY, "{mods: {width: 16, tokens: 3, layers: 2, heads: 2}}"),
        (capability::ALIGNMENT, "detached"),
        (capability::GROWING, "{growing: {hidden: 8, most: 3}}"),
        (capability::BOOSTED, "{boosted: {hidden: 8}}"),
        (capability::DEEP_HEADS, "{deep: {hidden: [8, 8]}}"),
        (capability::SHARED_HEAD, "shared"),
        (capability::COMMON_HEAD, "shared"),
        (capability::DISJOINT_HEADS, "sum"),
    ];
    fusions.into_iter().find(|(capability, _)| requires.wants(*capability)).map_or("concat", |(_, fusion)| fusion)
}

/// What the method of a card requires.
pub fn requires(card: &MethodCard) -> Requirements {
    card.defaults().info().requires
}

/// Whether a method works on two modalities at most.
pub fn at_most_two(card: &MethodCard) -> bool {
    requires(card).modalities.1 == 2
}
