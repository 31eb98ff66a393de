//! Fusions in which one modality conditions another: FiLM (Perez et al. 2018) and a sigmoid gate. Both join exactly two
//! modalities, in the config's order; a modality's own logits are those with the other's feature replaced by zeros.

use aim_backbones::{Build, Linear};
use aim_config::{at_least, settings};
use aim_core::{Capabilities, Capability, Error, Fusion, Joined, Part, Pass, Result, capability};
use candle_core::Tensor;

use crate::{
    FusionInfo,
    config::{PAIR, fusion_settings},
};

const OFFERS: &[Capability] = &[capability::VIEWS, capability::UNIMODAL];

settings! {
    /// Settings of the fusion `film`.
    pub struct FilmConfig {}
}

fusion_settings!(
    FilmConfig,
    FusionInfo {
        name: "film",
        about: "the first modality scales and shifts the second",
        unimodal: "the other zeroed",
        modalities: PAIR,
    },
    OFFERS,
    |_settings, build, on| Film::new(build, on.widths, on.classes)?
);

settings! {
    /// Settings of the fusion `gated`.
    pub struct GatedConfig {}
}

fusion_settings!(
    GatedConfig,
    FusionInfo {
        name: "gated",
        about: "the first modality gates the second",
        unimodal: "the other zeroed",
        modalities: PAIR,
    },
    OFFERS,
    |_settings, build, on| Gated::new(build, on.names, on.widths, None, on.classes)?
);

settings! {
    /// Settings of the fusion `gated-to`.
    pub struct GatedToConfig {
        /// Width that both are brought to.
        pub width: usize = 0 => at_least(1).required(), "ours";
    }
}

fusion_settings!(
    GatedToConfig,
    FusionInfo {
        name: "gated-to",
        about: "as gated, both brought to a width of their own",
        unimodal: "the other zeroed",
        modalities: PAIR,
    },
    OFFERS,
    |settings, build, on| Gated::new(build, on.names, on.widths, Some(settings.width), on.classes)?
);

pub(crate) fn pair<'a, T>(what: &str, items: &'a [T]) -> Result<(&'a T, &'a T)> {
    match items {
        [a, b] => Ok((a, b)),
        _ => Err(Error::invalid(
            format!("fusion `{what}`"),
            format!("joins two modalities, not {}", items.len()),
            "choose a fusion for any number of modalities; `list fusions` says which those are",
        )),
    }
}

/// `(1 + tanh(x / 2)) / 2`, which has no overflow in value or gradient.
pub(crate) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    Ok((((x * 0.5)?.tanh()? + 1.)? * 0.5)?)
}

/// Logits of each modality with the other's feature zeroed.
pub(crate) fn zero_out(
    a: &Tensor,
    b: &Tensor,
    logits: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    Ok(vec![logits(a, &b.zeros_like()?)?, logits(&a.zeros_like()?, b)?])
}

/// `h = gamma * second + beta` with `[gamma; beta] = fc(first)`, then a head.
pub struct Film {
    fc: Linear,
    head: Linear,
    width: usize,
}

impl Film {
    /// `film.fc.*` `[2 d, width of the first]` and `head.*` `[classes, d]`, d the second's width.
    ///
    /// # Errors
    /// If there are not two modalities.
    pub fn new(build: &mut Build, widths: &[usize], classes: usize) -> Result<Self> {
        let (&first, &width) = pair("film", widths)?;
        let fc = build.linear("film.fc", Part::Fusion, first, 2 * width, true)?;
        let head = build.linear("head", Part::Head { modality: None }, width, classes, true)?;
        Ok(Self { fc, head, width })
    }

    fn logits(&self, first: &Tensor, second: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let film = self.fc.forward(first, pass)?;
        let (gamma, beta) = (film.narrow(1, 0, self.width)?, film.narrow(1, self.width, self.width)?);
        self.head.forward(&((gamma * second)? + beta)?, pass)
    }
}

impl Fusion for Film {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let (a, b) = pair("film", features)?;
        Ok((self.logits(a, b, pass)?, zero_out(a, b, |a, b| self.logits(a, b, pass))?).into())
    }
}

/// `h = sigmoid(gate.first(first)) * gate.second(second)`, then a head.
pub struct Gated {
    first: Linear,
    second: Linear,
    head: Linear,
}

impl Gated {
    /// `gate.<modality>.*` `[d, width]` for both and `head.*` `[classes, d]`, d by default the second's width.
    ///
    /// # Errors
    /// If there are not two modalities.
    pub fn new(
        build: &mut Build,
        names: &[String],
        widths: &[usize],
        joint: Option<usize>,
        classes: usize,
    ) -> Result<Self> {
        let ((first_name, second_name), (&first, &second)) = (pair("gated", names)?, pair("gated", widths)?);
        let joint = joint.unwrap_or(second);
        Ok(Self {
            first: build.linear(&format!("gate.{first_name}"), Part::Fusion, first, joint, true)?,
            second: build.linear(&format!("gate.{second_name}"), Part::Fusion, second, joint, true)?,
            head: build.linear("head", Part::Head { modality: None }, joint, classes, true)?,
        })
    }

    fn logits(&self, a: &Tensor, b: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let gate = sigmoid(&self.first.forward(a, pass)?)?;
        self.head.forward(&(gate * self.second.forward(b, pass)?)?, pass)
    }
}

impl Fusion for Gated {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let (a, b) = pair("gated", features)?;
        Ok((self.logits(a, b, pass)?, zero_out(a, b, |a, b| self.logits(a, b, pass))?).into())
    }
}
