//! A head for each modality, and a linear layer over the classes of their sum (the head of AMCo).

use aim_backbones::{Build, Linear};
use aim_core::{Fusion, Part, Pass, Pool, Result, Site};
use candle_core::Tensor;

use crate::heads::{apply, heads, total};

/// `out(sum of head_m(feature_m))`. The logits that are summed can be changed at [`Site::Logits`]; a modality's own logits
/// are its head's, unchanged.
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
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<(Tensor, Vec<Tensor>)> {
        let unimodal = apply(&self.heads, features, pass)?;
        let visit = |(modality, x): (usize, &Tensor)| pass.visit(Site::Logits { modality }, x.clone(), Pool::None);
        let summed = unimodal.iter().enumerate().map(visit).collect::<Result<Vec<_>>>()?;
        Ok((self.out.forward(&total(&summed)?, pass)?, unimodal))
    }
}
