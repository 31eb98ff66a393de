//! A head for each modality, and a linear layer over the classes of their sum (the head of AMCo).

use aim_backbones::{Build, Linear};
use aim_config::settings;
use aim_core::{Capabilities, Capability, Fusion, Joined, Part, Pass, Pool, Result, Site, capability};
use candle_core::Tensor;

use crate::heads::{apply, heads, total};
use crate::{
    FusionInfo,
    config::{ANY, fusion_settings},
};

const OFFERS: &[Capability] = &[capability::VIEWS, capability::UNIMODAL, capability::CLASS_LAYER];

settings! {
    /// Settings of the fusion `sum-linear`.
    pub struct SumLinearConfig {}
}

fusion_settings!(
    SumLinearConfig,
    FusionInfo {
        name: "sum-linear",
        about: "sum of one linear head a modality, then a linear layer over the classes",
        unimodal: "its head",
        modalities: ANY,
    },
    OFFERS,
    |_settings, build, on| SumLinear::new(build, on.names, on.widths, on.classes)?
);

/// `out(sum of head_m(feature_m))`. The logits that are summed can be changed at [`Site::Logits`]; a modality's own
/// logits are its head's, unchanged.
pub struct SumLinear {
    heads: Vec<Linear>,
    out: Linear,
}

impl SumLinear {
    /// `head.<modality>.*` for each modality, and `out.*` `[classes, classes]`.
    ///
    /// # Errors
    /// If the names are taken.
    pub fn new(build: &mut Build, names: &[String], widths: &[usize], classes: usize) -> Result<Self> {
        let heads = heads(build, names, widths, classes)?;
        Ok(Self { heads, out: build.linear("out", Part::Head { modality: None }, classes, classes, true)? })
    }
}

impl Fusion for SumLinear {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let unimodal = apply(&self.heads, features, pass)?;
        let visit = |(modality, x): (usize, &Tensor)| pass.visit(Site::Logits { modality }, x.clone(), Pool::None);
        let summed = unimodal.iter().enumerate().map(visit).collect::<Result<Vec<_>>>()?;
        Ok((self.out.forward(&total(&summed)?, pass)?, unimodal).into())
    }
}
