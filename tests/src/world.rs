//! Data in memory, and configurations that give every method what it needs.

use aim_balance::Needs;
use aim_core::Result;
use aim_data::Dataset;
use aim_train::config::RunConfig;
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
        let data = aim_data::load(&serde_yaml::from_str(&section).unwrap(), None).unwrap();
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
    /// network gives what `needs` asks for, where `fusion` can.
    ///
    /// # Errors
    /// If the method and the network do not go together.
    ///
    /// # Panics
    /// If the YAML is wrong.
    pub fn config(&self, method: &str, needs: Needs, fusion: &str) -> Result<RunConfig> {
        let lora = if needs.adapters { ", lora: {rank: 2}" } else { "" };
        let encoders = self.data.modalities.iter().map(|m| format!("{m}: {{{}{lora}}}", self.encoder));
        let text = format!(
            "name: course\ndata: {}\nmodel: {{encoders: {{{}}}, fusion: {fusion}, uni_heads: {}}}\noptimizer: {}\n\
             train: {}\nmethod: {}\n",
            self.section,
            encoders.collect::<Vec<_>>().join(", "),
            needs.uni_heads,
            self.optimizer,
            self.train,
            self.named(method)
        );
        let value: Value = serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{text}\n{e}"));
        RunConfig::from_value(value)
    }

    /// A method section with the modalities' names in place of `FIRST` and so on.
    pub fn named(&self, method: &str) -> String {
        let places = ["FIRST", "SECOND", "THIRD"].iter().zip(&self.data.modalities);
        places.fold(method.to_owned(), |text, (place, name)| text.replace(place, name))
    }
}

/// The fusion that a method asks for.
pub fn fusion(needs: Needs) -> &'static str {
    match needs {
        Needs { class_layer: true, .. } => "sum-linear",
        Needs { gates: true, .. } => "{mmtm: {squeeze: 4}}",
        Needs { scheduled: true, .. } => "{scheduled: {hidden: 8}}",
        Needs { memory: true, .. } => "{memory: {hidden: 8}}",
        Needs { primary: true, .. } => "{mods: {width: 16, tokens: 3, layers: 2, heads: 2}}",
        Needs { boosted: true, .. } => "{boosted: {hidden: 8}}",
        Needs { deep_heads: true, .. } => "{deep: {hidden: [8, 8]}}",
        Needs { shared_head: true, .. } => "shared",
        Needs { disjoint_heads: true, .. } => "sum",
        _ => "concat",
    }
}
