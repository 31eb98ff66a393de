//! Two heads side by side: one that any single feature is read by, and one on all of them (DI-MML).

use aim_backbones::{Build, Linear};
use aim_config::settings;
use aim_core::{ALIGNED, Capabilities, Capability, Fusion, Joined, Part, Pass, Result, capability};
use candle_core::Tensor;

use crate::{
    FusionInfo,
    config::{ANY, fusion_settings},
    heads::same_width,
};

const OFFERS: &[Capability] = &[capability::VIEWS, capability::UNIMODAL, capability::ALIGNMENT];

settings! {
    /// Settings of the fusion `detached`.
    pub struct DetachedConfig {}
}

fusion_settings!(
    DetachedConfig: equal_widths,
    FusionInfo {
        name: "detached",
        about: "one linear head over concatenated features, and one that reads any modality alone beside it (equal \
            widths)",
        unimodal: "the head that reads any modality on its feature",
        modalities: ANY,
    },
    OFFERS,
    |_settings, build, on| Detached::new(build, on.widths, on.classes)?
);

/// One head over the concatenated features, and one that reads any modality's feature: the extra [`ALIGNED`].
pub struct Detached {
    common: Linear,
    fused: Linear,
}

impl Detached {
    /// `head.*` for any one feature, `fused_head.*` for all.
    ///
    /// # Errors
    /// If the widths differ.
    pub fn new(build: &mut Build, widths: &[usize], classes: usize) -> Result<Self> {
        let (part, width) = (Part::Head { modality: None }, same_width(widths)?);
        let common = build.linear("head", part, width, classes, true)?;
        Ok(Self { common, fused: build.linear("fused_head", part, widths.iter().sum(), classes, true)? })
    }
}

impl Fusion for Detached {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let aligned = features.iter().map(|x| self.common.forward(x, pass)).collect::<Result<Vec<_>>>()?;
        let logits = self.fused.forward(&Tensor::cat(features, 1)?, pass)?;
        let extras = [(ALIGNED, Tensor::stack(&aligned, 1)?)].into();
        Ok(Joined { logits, unimodal: aligned, extras })
    }
}
