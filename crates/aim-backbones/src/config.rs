//! Settings of encoders, and the registry of those that a configuration can name.

use std::sync::{Arc, LazyLock};

use aim_config::{AnySettings, Card, Registry, Settings, Spec, Value};
use aim_core::{Capabilities, Encoder, Error, Result, capability};

use crate::{Build, Freeze, LowRank, Tensors, Weights};

/// Description of an encoder.
#[derive(Clone, Copy, Debug)]
pub struct EncoderInfo {
    /// Name in a configuration.
    pub name: &'static str,
    /// Layers and blocks.
    pub about: &'static str,
    /// Shapes of a sample that it takes.
    pub input: &'static str,
}

/// Settings of an encoder, and how it is made.
pub trait EncoderSettings: AnySettings {
    /// The encoder's description.
    fn info(&self) -> &'static EncoderInfo;

    /// Makes the encoder for samples of shape `input`; its parameters are named `encoders.<name>.…`, and `modality` is
    /// the index in their roles. Low-rank additions have been asked for already, and [`Build::with_additions`] refuses
    /// those that reach no layer.
    ///
    /// # Errors
    /// If the input does not fit the encoder.
    fn build(&self, build: &mut Build, name: &str, modality: usize, input: &[usize]) -> Result<Box<dyn Encoder>>;

    /// Checks what single declarations cannot say; `place` names the section in messages.
    ///
    /// # Errors
    /// If settings do not go together.
    fn check(&self, _place: &str) -> Result<()> {
        Ok(())
    }

    /// Capabilities that it gives a network.
    fn capabilities(&self) -> Capabilities {
        given(Capabilities::of(&[capability::VIEWS, capability::SITES]), self.low_rank())
    }

    /// Whether it keeps the time axis, so that frames stand side by side in its feature.
    fn keeps_time(&self) -> bool {
        false
    }

    /// Number of frames that stand side by side in the feature of samples of shape `input`: 1 unless it keeps the time
    /// axis.
    fn frames(&self, _input: &[usize]) -> usize {
        1
    }

    /// Width of the feature where the settings alone say it; `None` where the shape of a sample decides. Widths that
    /// must be equal are checked before data are read as far as they are told here, and those of the encoders
    /// themselves when the network is built.
    fn feature_width(&self) -> Option<usize> {
        None
    }

    /// Low-rank additions to its layers.
    fn low_rank(&self) -> Option<&LowRank> {
        None
    }

    /// Public weights that it starts from.
    fn weights(&self) -> Option<&Weights> {
        None
    }

    /// Blocks that are not trained.
    fn freeze(&self) -> Option<&Freeze> {
        None
    }

    /// The tensors of a public checkpoint under the encoder's own names, for samples of shape `input`. Names and
    /// tensors that it does not know stay as they are.
    ///
    /// # Errors
    /// If a tensor has another shape than its name promises.
    fn translate(&self, tensors: Tensors, _input: &[usize]) -> Result<Tensors> {
        Ok(tensors)
    }

    /// Weight of the convolution over pictures that reads the input, by its own name, which is adapted to the channels
    /// where a public checkpoint's reads others.
    fn first_conv(&self) -> Option<&'static str> {
        None
    }

    /// The same encoder without low-rank additions; `None` if it never has any.
    fn without_low_rank(&self) -> Option<Arc<dyn EncoderSettings>> {
        None
    }
}

/// The card of an encoder.
pub type EncoderCard = Card<dyn EncoderSettings>;

/// Encoders by name.
pub type Encoders = Registry<EncoderCard>;

/// An encoder with its settings, as a configuration names it.
pub type EncoderSpec = Spec<dyn EncoderSettings>;

/// The card of the encoder that `S` configures, for a registry.
pub fn card<S: Settings + EncoderSettings>() -> EncoderCard {
    let read: fn(&Value, &str) -> Result<Arc<dyn EncoderSettings>> = |section, place| {
        let settings: S = EncoderCard::read_as(section, place)?;
        EncoderSettings::check(&settings, place)?;
        Ok(Arc::new(settings))
    };
    let defaults = S::default();
    EncoderCard::new(defaults.info().name, Arc::new(defaults), read)
}

/// The settings of a section that changes some of `base`.
pub(crate) fn changed<S: Settings + EncoderSettings>(
    base: &S,
    section: &Value,
    place: &str,
) -> Result<Arc<dyn EncoderSettings>> {
    let mut whole = base.values();
    if let (Value::Object(whole), Value::Object(section)) = (&mut whole, section) {
        whole.extend(section.clone());
    }
    let settings: S = EncoderCard::read_as(&whole, place)?;
    EncoderSettings::check(&settings, place)?;
    Ok(Arc::new(settings))
}

/// An encoder with settings that were made in Rust.
pub fn encoder<S: Settings + EncoderSettings>(settings: S) -> EncoderSpec {
    Spec::of(settings.info().name, Arc::new(settings))
}

/// The encoders of this crate.
pub fn builtin() -> &'static Encoders {
    &ENCODERS
}

/// Capabilities of every encoder that is made of the layers here, block by block.
pub(crate) fn own_capabilities() -> Capabilities {
    Capabilities::of(&[capability::VIEWS, capability::SITES, capability::STAGED])
}

/// The same of one whose blocks are layers over tokens.
pub(crate) fn token_capabilities() -> Capabilities {
    own_capabilities().with(&[capability::TOKENS])
}

/// An encoder's own capabilities, and those of its low-rank additions.
pub(crate) fn given(own: Capabilities, low_rank: Option<&LowRank>) -> Capabilities {
    if low_rank.is_some() { own.with(&[capability::ADAPTERS]) } else { own }
}

/// Checks where low-rank additions are wanted in an encoder of so many blocks, with or without attention.
pub(crate) fn check_low_rank(low_rank: Option<&LowRank>, depth: usize, attention: bool, place: &str) -> Result<()> {
    let Some(LowRank { targets, first_block, .. }) = low_rank else { return Ok(()) };
    if !targets.are_all() && !attention {
        let problem = "is attention, which this encoder has not";
        return Err(Error::invalid(format!("{place}.lora.targets"), problem, "use all"));
    }
    if *first_block > 0 && *first_block >= depth {
        let (problem, last) = (format!("is {first_block}"), depth.saturating_sub(1));
        return Err(Error::invalid(
            format!("{place}.lora.first_block"),
            problem,
            format!("use a block from 0 to {last}"),
        ));
    }
    Ok(())
}

/// Checks which blocks of an encoder of so many are frozen.
pub(crate) fn check_frozen(freeze: Option<&Freeze>, depth: usize, place: &str) -> Result<()> {
    let Some(wrong) = freeze.and_then(|freeze| freeze.depth.iter().find(|block| **block >= depth)) else {
        return Ok(());
    };
    let remedy = format!("use blocks from 0 to {}", depth.saturating_sub(1));
    Err(Error::invalid(format!("{place}.freeze.depth"), format!("names block {wrong}"), remedy))
}

/// The methods that all encoders with a setting `lora` share.
macro_rules! with_lora {
    ($config:ident) => {
        fn low_rank(&self) -> Option<&crate::LowRank> {
            self.lora.as_ref()
        }

        fn without_low_rank(&self) -> Option<std::sync::Arc<dyn crate::EncoderSettings>> {
            Some(std::sync::Arc::new($config { lora: None, ..self.clone() }))
        }
    };
}
pub(crate) use with_lora;

/// The method that all encoders with a setting `freeze` share.
macro_rules! with_freeze {
    () => {
        fn freeze(&self) -> Option<&crate::Freeze> {
            self.freeze.as_ref()
        }
    };
}
pub(crate) use with_freeze;

/// The methods that all encoders with the settings `weights` and `freeze` share.
macro_rules! with_weights {
    () => {
        fn weights(&self) -> Option<&crate::Weights> {
            self.weights.as_ref()
        }

        crate::config::with_freeze!();
    };
}
pub(crate) use with_weights;

static ENCODERS: LazyLock<Encoders> = LazyLock::new(crate::all);

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use serde_json::json;

    use super::*;

    /// Every encoder with small sizes, the shape of a sample, and the width that its settings say.
    fn every() -> Vec<(&'static str, Value, &'static [usize], Option<usize>)> {
        let (image, residual) = (&[3, 8, 8][..], json!({"layers": [1, 1, 1], "base_width": 2}));
        let patches = json!({"patch": 4, "width": 8, "heads": 2, "layers": 1, "blocks": 1});
        let layers = json!({"vocabulary": 9, "width": 8, "heads": 2, "layers": 1, "blocks": 1});
        let mut all = vec![
            ("mlp", json!({"widths": [3, 5]}), &[2, 4][..], Some(5)),
            ("cnn", json!({"widths": [3, 5]}), image, Some(5)),
            ("cnn", json!({"widths": [5, 4]}), &[7], Some(4)),
            ("sequence", json!({"widths": [3, 5]}), &[2, 4], None),
            ("tcn", json!({"widths": [3, 5]}), &[2, 4], Some(5)),
            ("statistics", json!({}), &[2, 4], None),
            ("statistics", json!({"vocabulary": 9}), &[4], Some(9)),
            ("transformer", json!({"layout": "time-first", "width": 6, "heads": 2}), &[4, 3], Some(6)),
            ("resnet18", residual.clone(), &[3, 2, 8, 8], Some(8)),
        ];
        all.extend(["resnet18", "resnet34"].map(|name| (name, residual.clone(), image, Some(8))));
        all.push(("resnet50", residual, image, Some(32)));
        all.extend(["vit", "vit-tiny", "vit-small", "vit-base"].map(|name| (name, patches.clone(), image, Some(8))));
        let words =
            ["transformer", "bert-tiny", "bert-mini", "bert-base", "minilm-l6", "distilbert-base", "roberta-base"];
        all.extend(words.map(|name| (name, layers.clone(), &[4][..], Some(8))));
        all
    }

    #[test]
    fn the_width_that_settings_say_is_that_of_the_encoder() {
        let (encoders, mut seen) = (builtin(), Vec::new());
        for (name, mut section, input, want) in every() {
            section["name"] = name.into();
            let spec = encoders.read(&section, "model.encoders.m").unwrap();
            assert_eq!(spec.feature_width(), want, "{section}");
            let built = spec.build(&mut Build::new(0, &Device::Cpu), "m", 0, input).unwrap();
            assert!(want.is_none_or(|want| built.width() == want), "{section}: {}", built.width());
            seen.push(name);
        }
        let missing: Vec<_> = encoders.iter().map(Card::name).filter(|name| !seen.contains(name)).collect();
        assert!(missing.is_empty(), "no width is known of {missing:?}");
    }

    #[test]
    fn widths_that_no_number_holds_are_not_told() {
        let wide = crate::ResNetConfig { base_width: usize::MAX / 2, ..crate::ResNetConfig::default() };
        assert_eq!(wide.feature_width(), None);
        assert_eq!(crate::ResNetConfig::default().feature_width(), Some(512));
    }
}
