//! Fusions that are heads alone: concat, sum, mean, separate and shared.

use aim_backbones::{Build, Linear};
use aim_config::settings;
use aim_core::{Capabilities, Capability, Error, Fusion, Joined, Part, Pass, Result, capability};
use candle_core::Tensor;

use crate::{
    FusionInfo,
    config::{ANY, fusion_settings},
};

const LINEAR: &[Capability] =
    &[capability::VIEWS, capability::UNIMODAL, capability::LINEAR_HEADS, capability::LINEAR_PARTS];
pub(crate) const LINEAR_EACH: &[Capability] = &[
    capability::VIEWS,
    capability::UNIMODAL,
    capability::LINEAR_HEADS,
    capability::LINEAR_PARTS,
    capability::DISJOINT_HEADS,
];
const SHARED: &[Capability] =
    &[capability::VIEWS, capability::UNIMODAL, capability::SHARED_HEAD, capability::COMMON_HEAD];

settings! {
    /// Settings of the fusion `concat`.
    pub struct ConcatConfig {}
}

fusion_settings!(
    ConcatConfig,
    FusionInfo {
        name: "concat",
        about: "one linear head over concatenated features",
        unimodal: "its columns of the head + b/M",
        modalities: ANY,
    },
    LINEAR,
    |_settings, build, on| Concat::new(build, on.widths, on.classes)?
);

settings! {
    /// Settings of the fusion `sum`.
    pub struct SumConfig {}
}

fusion_settings!(
    SumConfig,
    FusionInfo { name: "sum", about: "sum of one linear head a modality", unimodal: "its head", modalities: ANY },
    LINEAR_EACH,
    |_settings, build, on| Sum::new(build, on.names, on.widths, on.classes, false)?
);

settings! {
    /// Settings of the fusion `mean`.
    pub struct MeanConfig {}
}

fusion_settings!(
    MeanConfig,
    FusionInfo { name: "mean", about: "mean of one linear head a modality", unimodal: "its head", modalities: ANY },
    LINEAR_EACH,
    |_settings, build, on| Sum::new(build, on.names, on.widths, on.classes, true)?
);

settings! {
    /// Settings of the fusion `shared`.
    pub struct SharedConfig {}
}

fusion_settings!(
    SharedConfig: equal_widths,
    FusionInfo {
        name: "shared",
        about: "one head for any modality, mean of its logits (equal widths)",
        unimodal: "the head on its feature",
        modalities: ANY,
    },
    SHARED,
    |_settings, build, on| Shared::new(build, on.widths, on.classes)?
);

settings! {
    /// Settings of the fusion `separate`.
    pub struct SeparateConfig {}
}

fusion_settings!(
    SeparateConfig,
    FusionInfo {
        name: "separate",
        about: "networks that share nothing, mean of their logits",
        unimodal: "its head",
        modalities: ANY,
    },
    LINEAR_EACH,
    |_settings, build, on| Separate::new(build, on.names, on.widths, on.classes)?
);

/// One head over the concatenated features. A modality's logits are its columns of the head plus an equal share of the
/// bias.
pub struct Concat {
    head: Linear,
    widths: Vec<usize>,
}

impl Concat {
    /// `head.weight [classes, sum of widths]`, `head.bias`.
    ///
    /// # Errors
    /// If the names are taken.
    pub fn new(build: &mut Build, widths: &[usize], classes: usize) -> Result<Self> {
        let head = build.linear("head", Part::Head { modality: None }, widths.iter().sum(), classes, true)?;
        Ok(Self { head, widths: widths.to_vec() })
    }
}

impl Fusion for Concat {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(LINEAR)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let logits = self.head.forward(&Tensor::cat(features, 1)?, pass)?;
        let (weight, mut unimodal, mut start) = (self.head.weight(pass), Vec::new(), 0);
        let share = self.head.bias(pass).map(|b| b / features.len() as f64).transpose()?;
        for (x, width) in features.iter().zip(&self.widths) {
            let columns = weight.narrow(1, start, *width)?.contiguous()?;
            unimodal.push(aim_ops::linear(x, &columns, share.as_ref())?);
            start += width;
        }
        Ok((logits, unimodal).into())
    }
}

/// The width that all modalities share.
pub(crate) fn same_width(widths: &[usize]) -> Result<usize> {
    match widths {
        [width, rest @ ..] if rest.iter().all(|w| w == width) => Ok(*width),
        _ => Err(Error::shape("features of the fusion", widths, "the same width for every modality")),
    }
}

/// A head for each modality.
pub(crate) fn heads(build: &mut Build, names: &[String], widths: &[usize], classes: usize) -> Result<Vec<Linear>> {
    let head = |(m, (name, width)): (usize, (&String, &usize))| {
        build.linear(&format!("head.{name}"), Part::Head { modality: Some(m) }, *width, classes, true)
    };
    names.iter().zip(widths).enumerate().map(head).collect()
}

/// Logits of each modality's head.
pub(crate) fn apply(heads: &[Linear], features: &[Tensor], pass: &Pass<'_>) -> Result<Vec<Tensor>> {
    heads.iter().zip(features).map(|(head, x)| head.forward(x, pass)).collect()
}

/// Sum of the logits in which modalities take part; a modality taken out of the pass keeps only its head's bias.
pub(crate) fn total(logits: &[Tensor]) -> Result<Tensor> {
    let (first, rest) = logits.split_first().ok_or_else(|| Error::shape("features", &[0], "at least one modality"))?;
    rest.iter().try_fold(first.clone(), |sum, x| Ok((sum + x)?))
}

/// A head for each modality; fused logits are their sum, or their mean.
pub struct Sum {
    heads: Vec<Linear>,
    mean: bool,
}

impl Sum {
    /// `head.<modality>.weight` and `.bias` for each modality.
    ///
    /// # Errors
    /// If the names are taken.
    pub fn new(build: &mut Build, names: &[String], widths: &[usize], classes: usize, mean: bool) -> Result<Self> {
        Ok(Self { heads: heads(build, names, widths, classes)?, mean })
    }
}

impl Fusion for Sum {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(LINEAR_EACH)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let unimodal = apply(&self.heads, features, pass)?;
        let sum = total(&unimodal)?;
        Ok((if self.mean { (sum / unimodal.len() as f64)? } else { sum }, unimodal).into())
    }
}

/// Networks that share nothing: a head for each modality, and at inference the mean of the logits of the modalities
/// that take part.
pub struct Separate(Vec<Linear>);

impl Separate {
    /// `head.<modality>.weight` and `.bias` for each modality.
    ///
    /// # Errors
    /// If the names are taken.
    pub fn new(build: &mut Build, names: &[String], widths: &[usize], classes: usize) -> Result<Self> {
        Ok(Self(heads(build, names, widths, classes)?))
    }
}

impl Fusion for Separate {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(LINEAR_EACH)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let unimodal = apply(&self.0, features, pass)?;
        let taking_part = |(m, x): (usize, &Tensor)| pass.includes(m).then(|| x.clone());
        let present: Vec<_> = unimodal.iter().enumerate().filter_map(taking_part).collect();
        let present = if present.is_empty() { unimodal.clone() } else { present };
        Ok(((total(&present)? / present.len() as f64)?, unimodal).into())
    }
}

/// One head that reads any modality's feature; fused logits are the mean over modalities.
pub struct Shared(Linear);

impl Shared {
    /// `head.weight [classes, width]`, `head.bias`.
    ///
    /// # Errors
    /// If the widths differ.
    pub fn new(build: &mut Build, widths: &[usize], classes: usize) -> Result<Self> {
        Ok(Self(build.linear("head", Part::Head { modality: None }, same_width(widths)?, classes, true)?))
    }
}

impl Fusion for Shared {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(SHARED)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let unimodal: Vec<_> = features.iter().map(|x| self.0.forward(x, pass)).collect::<Result<_>>()?;
        Ok(((total(&unimodal)? / unimodal.len() as f64)?, unimodal).into())
    }
}
