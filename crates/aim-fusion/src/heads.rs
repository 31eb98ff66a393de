//! Fusions that are heads alone: concat, sum, mean, separate and shared.

use aim_backbones::{Build, Linear};
use aim_core::{Error, Fusion, Part, Pass, Result};
use candle_core::Tensor;

/// One head over the concatenated features. A modality's logits are its columns of the head plus an equal share of the bias.
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
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<(Tensor, Vec<Tensor>)> {
        let logits = self.head.forward(&Tensor::cat(features, 1)?, pass)?;
        let (weight, mut unimodal, mut start) = (self.head.weight(pass), Vec::new(), 0);
        let share = self.head.bias(pass).map(|b| b / features.len() as f64).transpose()?;
        for (x, width) in features.iter().zip(&self.widths) {
            let columns = weight.narrow(1, start, *width)?.contiguous()?;
            unimodal.push(aim_ops::linear(x, &columns, share.as_ref())?);
            start += width;
        }
        Ok((logits, unimodal))
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
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<(Tensor, Vec<Tensor>)> {
        let unimodal = apply(&self.heads, features, pass)?;
        let sum = total(&unimodal)?;
        Ok((if self.mean { (sum / unimodal.len() as f64)? } else { sum }, unimodal))
    }
}

/// Networks that share nothing: a head for each modality, and at inference the mean of the logits of the modalities that
/// take part.
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
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<(Tensor, Vec<Tensor>)> {
        let unimodal = apply(&self.0, features, pass)?;
        let taking_part = |(m, x): (usize, &Tensor)| pass.includes(m).then(|| x.clone());
        let present: Vec<_> = unimodal.iter().enumerate().filter_map(taking_part).collect();
        let present = if present.is_empty() { unimodal.clone() } else { present };
        Ok(((total(&present)? / present.len() as f64)?, unimodal))
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
        if widths.windows(2).any(|w| w[0] != w[1]) {
            return Err(Error::shape("features of the shared head", widths, "the same width for every modality"));
        }
        let width = widths.first().copied().unwrap_or(0);
        Ok(Self(build.linear("head", Part::Head { modality: None }, width, classes, true)?))
    }
}

impl Fusion for Shared {
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<(Tensor, Vec<Tensor>)> {
        let unimodal: Vec<_> = features.iter().map(|x| self.0.forward(x, pass)).collect::<Result<_>>()?;
        Ok(((total(&unimodal)? / unimodal.len() as f64)?, unimodal))
    }
}
