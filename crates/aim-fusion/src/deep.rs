//! Fusions with heads of several layers: one for each modality (IGM), or one that all share (ReconBoost).

use aim_backbones::{Build, Init, Linear};
use aim_config::{at_least, settings};
use aim_core::{
    Capabilities, Capability, Fusion, Handle, Joined, Kind, Part, Pass, Pool, Result, Role, Site, capability,
};
use candle_core::Tensor;

use crate::heads::same_width;
use crate::{
    FusionInfo,
    config::{ANY, fusion_settings},
};

const DEEP: &[Capability] =
    &[capability::VIEWS, capability::UNIMODAL, capability::DISJOINT_HEADS, capability::DEEP_HEADS];
const BOOSTED: &[Capability] = &[capability::VIEWS, capability::UNIMODAL, capability::BOOSTED];

settings! {
    /// Settings of the fusion `deep`.
    pub struct DeepConfig {
        /// Widths of the two hidden layers.
        pub hidden: [usize; 2] = [0, 0] => at_least(1).required(), "ours";
    }
}

fusion_settings!(
    DeepConfig,
    FusionInfo {
        name: "deep",
        about: "a head of three layers for each modality, mean of their logits",
        unimodal: "its head",
        modalities: ANY,
    },
    DEEP,
    |settings, build, on| Deep::new(build, on.names, on.widths, settings.hidden, on.classes)?
);

settings! {
    /// Settings of the fusion `boosted`.
    pub struct BoostedConfig {
        /// Width of the hidden layer.
        pub hidden: usize = 0 => at_least(1).required(), "ours";
    }
}

fusion_settings!(
    BoostedConfig: equal_widths,
    FusionInfo {
        name: "boosted",
        about: "one head of two layers for any modality, sum of its logits times a learnt rate (equal widths)",
        unimodal: "the head on its feature",
        modalities: ANY,
    },
    BOOSTED,
    |settings, build, on| Boosted::new(build, on.widths, settings.hidden, on.classes)?
);

/// A head of three layers for each modality: linear, ReLU, linear, linear; fused logits are the mean. The input of each
/// layer can be kept at [`Site::HeadInput`].
pub struct Deep(Vec<Vec<Linear>>);

impl Deep {
    /// `igm_head.<modality>.0` to `.2` over hidden layers of the given widths.
    ///
    /// # Errors
    /// If the names are taken.
    pub fn new(build: &mut Build, names: &[String], widths: &[usize], hidden: [usize; 2], k: usize) -> Result<Self> {
        let mut heads = Vec::new();
        for (m, (name, width)) in names.iter().zip(widths).enumerate() {
            let sizes = [*width, hidden[0], hidden[1], k];
            let part = Part::Head { modality: Some(m) };
            let layer =
                |(i, io): (usize, &[usize])| build.linear(&format!("igm_head.{name}.{i}"), part, io[0], io[1], true);
            heads.push(sizes.windows(2).enumerate().map(layer).collect::<Result<_>>()?);
        }
        Ok(Self(heads))
    }
}

impl Fusion for Deep {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(DEEP)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let mut unimodal = Vec::new();
        for (modality, (head, x)) in self.0.iter().zip(features).enumerate() {
            let mut h = x.clone();
            for (layer, linear) in head.iter().enumerate() {
                h = pass.visit(Site::HeadInput { modality, layer }, h, Pool::None)?;
                h = linear.forward(&h, pass)?;
                if layer == 0 {
                    h = aim_ops::relu(&h)?;
                }
            }
            unimodal.push(h);
        }
        Ok((Tensor::stack(&unimodal, 0)?.mean(0)?, unimodal).into())
    }
}

/// One head (linear, ReLU, linear) that reads any modality; fused logits are `beta0` times the sum.
pub struct Boosted {
    first: Linear,
    second: Linear,
    rate: Handle,
}

impl Boosted {
    /// `head.0.*`, `head.1.*` over a hidden layer, and the learnt rate `beta0` (1 at first).
    ///
    /// # Errors
    /// If the widths differ.
    pub fn new(build: &mut Build, widths: &[usize], hidden: usize, classes: usize) -> Result<Self> {
        let (part, width) = (Part::Head { modality: None }, same_width(widths)?);
        let rate = build.param("beta0", Role { part, kind: Kind::Norm }, &[1], Init::Constant(1.), (1, 1))?;
        let first = build.linear("head.0", part, width, hidden, true)?;
        Ok(Self { first, second: build.linear("head.1", part, hidden, classes, true)?, rate })
    }
}

impl Fusion for Boosted {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(BOOSTED)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let own = |x: &Tensor| self.second.forward(&aim_ops::relu(&self.first.forward(x, pass)?)?, pass);
        let unimodal = features.iter().map(own).collect::<Result<Vec<_>>>()?;
        let sum = Tensor::stack(&unimodal, 0)?.sum(0)?;
        Ok((sum.broadcast_mul(&pass.weight(&self.rate))?, unimodal).into())
    }
}
