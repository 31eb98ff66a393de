//! Settings of fusions, and the registry of those that a configuration can name.

use std::sync::{Arc, LazyLock};

use aim_backbones::Build;
use aim_config::{AnySettings, Card, Registry, Settings, Spec, Value};
use aim_core::{Capabilities, Capability, Error, Fusion, Result};

/// Description of a fusion.
#[derive(Clone, Copy, Debug)]
pub struct FusionInfo {
    /// Name in a configuration.
    pub name: &'static str,
    /// How features become logits.
    pub about: &'static str,
    /// Definition of a modality's own logits.
    pub unimodal: &'static str,
    /// Smallest and largest number of modalities that it joins.
    pub modalities: (usize, usize),
}

/// Any number of modalities.
pub(crate) const ANY: (usize, usize) = (1, usize::MAX);
/// Exactly two modalities.
pub(crate) const PAIR: (usize, usize) = (2, 2);

/// The features that a fusion joins.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    /// Names of the modalities.
    pub names: &'a [String],
    /// Width of each feature.
    pub widths: &'a [usize],
    /// Number of frames or tokens that stand side by side in each feature.
    pub frames: &'a [usize],
    /// Width of the map behind each block of each encoder; none of one that does not run block by block.
    pub stages: &'a [Vec<usize>],
    /// Number of classes.
    pub classes: usize,
}

/// Settings of a fusion, and how it is made.
pub trait FusionSettings: AnySettings {
    /// The fusion's description.
    fn info(&self) -> &'static FusionInfo;

    /// Capabilities that it gives a network.
    fn capabilities(&self) -> Capabilities;

    /// What every encoder must have, if it acts between their blocks and gives a network
    /// [`capability::INNER`](aim_core::capability::INNER).
    fn of_encoders(&self) -> Option<Capability> {
        None
    }

    /// Whether it joins features of equal widths alone, which its description says, too.
    fn equal_widths(&self) -> bool {
        false
    }

    /// Whether it takes a frame of zeros for padding.
    fn skips_zero_frames(&self) -> bool {
        false
    }

    /// Whether encoders that can are to hand on the tokens that their features are made of
    /// ([`capability::UNPOOLED`](aim_core::capability::UNPOOLED)).
    fn reads_tokens(&self) -> bool {
        false
    }

    /// Makes the fusion with its heads.
    ///
    /// # Errors
    /// If it cannot join the features.
    fn build(&self, build: &mut Build, features: &Features<'_>) -> Result<Box<dyn Fusion>>;

    /// Checks what single declarations cannot say; `place` names the section in messages.
    ///
    /// # Errors
    /// If settings do not go together.
    fn check(&self, _place: &str) -> Result<()> {
        Ok(())
    }
}

/// The card of a fusion.
pub type FusionCard = Card<dyn FusionSettings>;

/// Fusions by name.
pub type Fusions = Registry<FusionCard>;

/// A fusion with its settings, as a configuration names it.
pub type FusionSpec = Spec<dyn FusionSettings>;

/// The card of the fusion that `S` configures, for a registry.
pub fn card<S: Settings + FusionSettings>() -> FusionCard {
    let read: fn(&Value, &str) -> Result<Arc<dyn FusionSettings>> = |section, place| {
        let settings: S = FusionCard::read_as(section, place)?;
        FusionSettings::check(&settings, place)?;
        Ok(Arc::new(settings))
    };
    let defaults = S::default();
    FusionCard::new(defaults.info().name, Arc::new(defaults), read)
}

/// A fusion with settings that were made in Rust.
pub fn fusion<S: Settings + FusionSettings>(settings: S) -> FusionSpec {
    Spec::of(settings.info().name, Arc::new(settings))
}

/// The fusions of this crate.
pub fn builtin() -> &'static Fusions {
    &FUSIONS
}

/// Checks that a fusion can join that many modalities.
///
/// # Errors
/// If it cannot.
pub fn check_modalities(fusion: &FusionSpec, modalities: usize, known: &Fusions, place: &str) -> Result<()> {
    let (least, most) = fusion.info().modalities;
    if (least..=most).contains(&modalities) {
        return Ok(());
    }
    let joins = |card: &&FusionCard| {
        let (least, most) = card.defaults().info().modalities;
        (least..=most).contains(&modalities)
    };
    let others = known.iter().filter(joins).map(FusionCard::name);
    let number = match most {
        usize::MAX => format!("{least} or more"),
        _ if least == most => format!("exactly {least}"),
        _ => format!("{least} to {most}"),
    };
    let problem = format!("`{}` joins {number} modalities, the network has {modalities}", fusion.name());
    Err(Error::unknown(place, problem, others))
}

/// Checks that a fusion can join features of these widths.
///
/// # Errors
/// If they must be equal and are not; the message names the width of each modality.
pub fn check_widths(fusion: &FusionSpec, on: &Features<'_>, place: &str) -> Result<()> {
    if !fusion.equal_widths() || on.widths.windows(2).all(|pair| pair[0] == pair[1]) {
        return Ok(());
    }
    let width = |((name, width), frames): ((&String, &usize), &usize)| match frames {
        1 => format!("`{name}` has {width}"),
        _ => format!("`{name}` has {width} ({frames} frames of {})", width / frames),
    };
    let widths: Vec<String> = on.names.iter().zip(on.widths).zip(on.frames).map(width).collect();
    let problem = format!("`{}` joins features of equal widths, and {}", fusion.name(), widths.join(", "));
    Err(Error::invalid(place, problem, "give the encoders the same last width, or use concat"))
}

/// Implements [`FusionSettings`] for settings: description, capabilities, and a function that builds it. Behind the
/// settings stands `equal_widths` where features must have the same width.
macro_rules! fusion_settings {
    (
        $settings:ident $(: $equal:ident)?,
        $info:expr, $offers:expr, |$self:ident, $build:ident, $features:ident| $made:expr
    ) => {
        impl crate::FusionSettings for $settings {
            fn info(&self) -> &'static crate::FusionInfo {
                static INFO: crate::FusionInfo = $info;
                &INFO
            }

            fn capabilities(&self) -> aim_core::Capabilities {
                aim_core::Capabilities::of($offers)
            }

            $(fn $equal(&self) -> bool {
                true
            })?

            fn build(
                &self,
                $build: &mut aim_backbones::Build,
                $features: &crate::Features<'_>,
            ) -> aim_core::Result<Box<dyn aim_core::Fusion>> {
                let $self = self;
                Ok(Box::new($made))
            }
        }
    };
}
pub(crate) use fusion_settings;

static FUSIONS: LazyLock<Fusions> = LazyLock::new(crate::all);

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use serde_json::json;

    use super::*;
    use crate::{BottleneckConfig, FilmConfig};

    #[test]
    fn a_number_of_modalities_that_a_fusion_cannot_join_is_told() {
        let told = |fusion, modalities| {
            check_modalities(&fusion, modalities, builtin(), "model.fusion").unwrap_err().to_string()
        };
        let one = told(fusion(BottleneckConfig::default()), 1);
        assert!(one.contains("`bottleneck` joins 2 or more modalities, the network has 1; use one of concat"), "{one}");
        let three = told(fusion(FilmConfig::default()), 3);
        assert!(three.contains("`film` joins exactly 2 modalities, the network has 3"), "{three}");
    }

    /// Every fusion, with some value for what it requires.
    fn every() -> Vec<FusionSpec> {
        let required = |card: &FusionCard| {
            let mut section = json!({"name": card.name()});
            for setting in card.settings().iter().filter(|setting| setting.rule.required) {
                section[setting.name] = if card.name() == "deep" { json!([2, 2]) } else { json!(2) };
            }
            builtin().read(&section, "model.fusion").unwrap()
        };
        builtin().iter().map(required).collect()
    }

    #[test]
    fn a_fusion_says_whether_widths_must_be_equal() {
        let names = ["a", "b"].map(str::to_owned);
        for fusion in every() {
            let built = |widths: &[usize]| {
                let stages = [vec![4; 3], vec![4; 3]];
                let on = Features { names: &names, widths, frames: &[1, 1], stages: &stages, classes: 3 };
                let checked = check_widths(&fusion, &on, "model.fusion").map_err(|e| e.to_string());
                (fusion.build(&mut Build::new(0, &Device::Cpu), &on).is_ok(), checked)
            };
            let (name, equal) = (fusion.name(), fusion.equal_widths());
            assert_eq!(built(&[4, 4]), (true, Ok(())), "{name}");
            let (builds, checked) = built(&[4, 6]);
            assert_eq!((builds, checked.is_ok()), (!equal, !equal), "{name}");
            assert_eq!(fusion.info().about.ends_with(" (equal widths)"), equal, "{name}");
        }
    }

    #[test]
    fn widths_that_differ_are_told_by_modality() {
        let names = ["sound", "image"].map(str::to_owned);
        let on = Features { names: &names, widths: &[12, 6], frames: &[3, 1], stages: &[], classes: 3 };
        let told = check_widths(&fusion(crate::SharedConfig {}), &on, "model.fusion").unwrap_err().to_string();
        let want = "model.fusion: `shared` joins features of equal widths, and `sound` has 12 (3 frames of 4), `image` \
                    has 6; give the encoders the same last width, or use concat";
        assert_eq!(told, want);
    }
}
