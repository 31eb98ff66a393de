//! From a constructor and a closure to an encoder with named, initialised parameters.

use std::collections::BTreeMap;

use aim_backbones::{Adapter, Build, LowRank, Targets};
use aim_core::{Context as _, Error, Input, Kind, Part, Pass, Result, Role};
use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;

use crate::{
    Context, Functional, Roles,
    encoder::{Construct, Forward, Weight},
    init::values,
    recorder::record,
    roles::{Assigned, Declared, agree},
};

/// An encoder that is about to be built; [`Functional::builder`] starts one.
pub struct FunctionalBuilder<M> {
    construct: Construct<M>,
    forward: Forward<M>,
    roles: Roles,
    low_rank: Option<LowRank>,
}

impl<M> Functional<M> {
    /// Starts an encoder from the constructor of a model, which must declare the same parameters each time, and a
    /// closure from the model and an input to the feature `[B, width]`. The closure keeps nothing between passes.
    pub fn builder(
        construct: impl Fn(VarBuilder<'static>) -> candle_core::Result<M> + 'static,
        forward: impl Fn(&M, &Tensor, &mut Context<'_, '_>) -> Result<Tensor> + 'static,
    ) -> FunctionalBuilder<M> {
        let (construct, forward) = (Box::new(construct), Box::new(forward));
        FunctionalBuilder { construct, forward, roles: Roles::whole(), low_rank: None }
    }
}

impl<M> FunctionalBuilder<M> {
    /// Rules for the blocks and kinds of the parameters; without any the encoder is one block.
    #[must_use]
    pub fn roles(self, roles: Roles) -> Self {
        Self { roles, ..self }
    }

    /// Gives weights of linear layers and of convolutions with square kernels low-rank additions.
    #[must_use]
    pub fn low_rank(self, low_rank: LowRank) -> Self {
        Self { low_rank: Some(low_rank), ..self }
    }

    /// Makes the parameters in `build` and tries the encoder on zeros. `input` is the shape of one sample, and
    /// `modality` the place of the encoder among the network's.
    ///
    /// # Errors
    /// If the roles do not fit the parameters or the blocks that the closure visits, a name is taken, no layer takes
    /// the low-rank addition, or the trial fails.
    pub fn build(self, build: &mut Build, name: &str, modality: usize, input: &[usize]) -> Result<Functional<M>> {
        let prefix = format!("encoders.{name}");
        self.finish(build, &prefix, modality, input).at(|| prefix)
    }

    fn finish(self, build: &mut Build, prefix: &str, modality: usize, input: &[usize]) -> Result<Functional<M>> {
        let declared = record(&self.construct, build.device())?;
        let assigned = self.roles.assign(&declared)?;
        build.set_low_rank(self.low_rank.as_ref());
        let parts = declared.iter().zip(&assigned);
        let weight = |(d, a): (&Declared, &Assigned)| weight(build, prefix, modality, d, *a);
        let weights = parts.clone().map(weight).collect::<Result<Vec<_>>>()?;
        build.set_low_rank(None);
        if let Some(low_rank) = self.low_rank.filter(|_| weights.iter().all(|w| w.adapter.is_none())) {
            return Err(unused(low_rank));
        }
        let (device, construct, forward) = (build.device().clone(), self.construct, self.forward);
        let mut encoder =
            Functional { prefix: prefix.into(), modality, device, weights, construct, forward, sites: 0, width: 0 };
        (encoder.sites, encoder.width) = trial(&encoder, input).at(|| "trial on zeros".into())?;
        agree(&depths(parts), encoder.sites)?;
        Ok(encoder)
    }
}

/// A parameter or buffer in `build`, with its low-rank addition if it has one.
fn weight(build: &mut Build, prefix: &str, modality: usize, declared: &Declared, assigned: Assigned) -> Result<Weight> {
    let Declared { name, shape, init } = declared;
    let full = format!("{prefix}.{name}");
    let value = values(*init, shape, &mut build.rng(&full), build.device())?;
    let (name, buffer) = (name.clone(), assigned == Assigned::Buffer);
    let Assigned::Param { depth, kind, projection } = assigned else {
        return Ok(Weight { name, handle: build.buffer(&full, &value)?, buffer, adapter: None });
    };
    let part = Part::Encoder { modality, depth };
    let handle = build.add(&full, Role { part, kind }, &value)?;
    let make = |build: &mut Build| adapter(build, &full, part, kind, shape);
    let adapter = if projection { build.projection(make)? } else { make(build)? };
    Ok(Weight { name, handle, buffer, adapter })
}

/// The low-rank addition to a weight, if it is one of a linear layer or of a convolution with square kernels.
fn adapter(build: &mut Build, name: &str, part: Part, kind: Kind, shape: &[usize]) -> Result<Option<Adapter>> {
    let layer = name.strip_suffix(".weight").unwrap_or(name);
    match (kind, shape) {
        (Kind::Linear, &[output, input]) => build.adapter(layer, part, (input, output), 1),
        (Kind::Conv, &[output, input, height, width]) if height == width => {
            build.adapter(layer, part, (input, output), height)
        }
        _ => Ok(None),
    }
}

fn unused(low_rank: LowRank) -> Error {
    let remedy = match low_rank.targets {
        Targets::Attention => "name attention's weights with `.projection(..)` in the roles, or target all layers",
        Targets::All => "leave it out, or choose a `first_block` that holds linear layers or square convolutions",
    };
    Error::invalid("low_rank", "reaches no layer", remedy)
}

/// Number of blocks visited and width of the feature, in evaluation on two samples of zeros.
fn trial<M>(encoder: &Functional<M>, input: &[usize]) -> Result<(usize, usize)> {
    let shape: Vec<usize> = std::iter::once(2).chain(input.iter().copied()).collect();
    let x = Tensor::zeros(shape, DType::F32, &encoder.device)?;
    let (feature, blocks) = encoder.run(&Input::from(x), &mut Pass::eval())?;
    Ok((blocks, feature.dim(1)?))
}

/// The blocks that hold parameters, each with the name of one.
fn depths<'a>(parts: impl Iterator<Item = (&'a Declared, &'a Assigned)>) -> BTreeMap<usize, String> {
    let block = |(d, a): (&Declared, &Assigned)| match a {
        Assigned::Param { depth, .. } => Some((*depth, d.name.clone())),
        Assigned::Buffer => None,
    };
    parts.filter_map(block).collect()
}
