//! Fusions that act between the blocks of the encoders: gates that all maps set together (MMTM, Vaezi Joze et al.
//! 2020), and tokens through which encoders of tokens see each other (MBT, Nagrani et al. 2021). Behind the encoders is
//! one linear head a modality, whose logits are averaged.
//!
//! The encoders meet behind blocks that all of them have; one with more blocks goes on alone. What a sample lacks, or a
//! pass leaves out, has no influence on the others. Features have seen each other, and so have the logits of a
//! modality's own head; a modality that is encoded alone is one whose others are absent.

use aim_backbones::{Build, Init, Linear};
use aim_config::{at_least, settings, whole};
use aim_core::{
    Capabilities, Capability, Error, Flow, Fusion, Handle, Inner, Joined, Kind, Part, Pass, Pool, Result, Role,
    capability,
};
use candle_core::Tensor;

use crate::{
    Features, FusionInfo, FusionSettings, Sum,
    gated::sigmoid,
    heads::{LINEAR_EACH, total},
};

/// What is said of logits of single modalities.
const OWN: &str = "its head, on a feature that has seen the others";

settings! {
    /// Settings of the fusion `inner-mmtm`.
    pub struct InnerMmtmConfig {
        /// First block behind which maps meet, counted from 0; they do behind all later ones.
        pub from: usize = 1 => at_least(0), "ours";
        /// How many times narrower than all maps together the joint layer is.
        pub reduction: usize = 4 => at_least(1), "paper";
    }
}

settings! {
    /// Settings of the fusion `inner-bottleneck`.
    pub struct InnerBottleneckConfig {
        /// First block whose layers see the shared tokens, counted from 0; those of later ones do, too.
        pub from: usize = 2 => at_least(0), "paper (layer 8 of 12)";
        /// Tokens through which modalities see each other.
        pub tokens: usize = 4 => whole(1, 1000), "paper";
    }
}

/// The settings' traits, which differ in names and in what encoders must be.
macro_rules! inner {
    ($settings:ident, $fusion:ident, $encoders:expr, $info:expr) => {
        impl FusionSettings for $settings {
            fn info(&self) -> &'static FusionInfo {
                static INFO: FusionInfo = $info;
                &INFO
            }

            fn capabilities(&self) -> Capabilities {
                offers()
            }

            fn of_encoders(&self) -> Option<Capability> {
                Some($encoders)
            }

            fn build(&self, build: &mut Build, on: &Features<'_>) -> Result<Box<dyn Fusion>> {
                Ok(Box::new($fusion::new(build, on, self)?))
            }
        }

        impl Fusion for $fusion {
            fn capabilities(&self) -> Capabilities {
                offers()
            }
            fn inner(&self) -> Option<&dyn Inner> {
                Some(self)
            }
            fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
                self.heads.forward(features, pass)
            }
        }
    };
}

inner!(
    InnerMmtmConfig,
    InnerMmtm,
    capability::STAGED,
    FusionInfo {
        name: "inner-mmtm",
        about: "maps between the encoders' blocks gated by all through a joint layer (MMTM), mean of a linear head each",
        unimodal: OWN,
        modalities: (2, usize::MAX),
    }
);

inner!(
    InnerBottleneckConfig,
    InnerBottleneck,
    capability::TOKENS,
    FusionInfo {
        name: "inner-bottleneck",
        about: "encoders' layers that also see a few tokens which all share (MBT), mean of a linear head each",
        unimodal: OWN,
        modalities: (2, usize::MAX),
    }
);

fn offers() -> Capabilities {
    Capabilities::of(LINEAR_EACH).with(&[capability::INNER])
}

/// Number of blocks that all encoders have; `from` may be that number, so that they never meet, but no larger one.
fn common(from: usize, stages: &[Vec<usize>]) -> Result<usize> {
    let blocks = stages.iter().map(Vec::len).min().unwrap_or(0);
    if from <= blocks {
        return Ok(blocks);
    }
    let problem = format!("is {from}, but an encoder has {blocks} blocks");
    Err(Error::invalid("model.fusion.from", problem, format!("name one of them from 0 on, or {blocks} for none")))
}

/// Whether each sample has a modality, `[B, 1]`: nobody in place of a modality that does not take part.
fn there(m: usize, flow: Option<&Flow>, present: Option<&Tensor>, batch: &Tensor) -> Result<Tensor> {
    Ok(match (flow, present) {
        (None, _) => batch.zeros_like()?,
        (Some(_), Some(present)) => present.narrow(1, m, 1)?.to_dtype(batch.dtype())?,
        (Some(_), None) => batch.ones_like()?,
    })
}

/// Gates behind one block of each encoder.
struct Gates {
    squeeze: Linear,
    /// One for each modality.
    excite: Vec<Linear>,
    widths: Vec<usize>,
}

impl Gates {
    fn new(build: &mut Build, names: &[String], depth: usize, widths: Vec<usize>, reduction: usize) -> Result<Self> {
        let name = |of: &str| format!("mmtm.{depth}.{of}");
        let wide: usize = widths.iter().sum();
        let joint = (wide / reduction).max(1);
        let squeeze = build.linear(&name("squeeze"), Part::Fusion, wide, joint, true)?;
        let excite = |(own, width): (&String, &usize)| build.linear(&name(own), Part::Fusion, joint, *width, true);
        let excite = names.iter().zip(&widths).map(excite).collect::<Result<_>>()?;
        Ok(Self { squeeze, excite, widths })
    }

    /// `z = relu(W [mean of map_1 .. mean of map_M])`, `map_m <- 2 sigmoid(W_m z) map_m`; a mean is 0 where there is no
    /// map.
    fn apply(&self, flows: &mut [Option<Flow>], present: Option<&Tensor>, pass: &Pass<'_>) -> Result<()> {
        let means =
            flows.iter().map(|flow| flow.as_ref().map(Flow::squeezed).transpose()).collect::<Result<Vec<_>>>()?;
        let Some(some) = means.iter().flatten().next() else { return Ok(()) };
        let batch = some.narrow(1, 0, 1)?.detach();
        let one = |(m, (mean, width)): (usize, (&Option<Tensor>, &usize))| {
            let Some(mean) = mean else { return Ok(batch.zeros_like()?.broadcast_as((batch.dim(0)?, *width))?) };
            Ok::<_, Error>(mean.broadcast_mul(&there(m, flows[m].as_ref(), present, &batch)?)?)
        };
        let means = means.iter().zip(&self.widths).enumerate().map(one).collect::<Result<Vec<_>>>()?;
        let z = aim_ops::relu(&self.squeeze.forward(&Tensor::cat(&means, 1)?, pass)?)?;
        for (flow, excite) in flows.iter_mut().zip(&self.excite) {
            if let Some(flow) = flow {
                flow.gate(&(sigmoid(&excite.forward(&z, pass)?)? * 2.)?)?;
            }
        }
        Ok(())
    }
}

/// Gates behind blocks, and the mean of heads.
pub struct InnerMmtm {
    from: usize,
    gates: Vec<Gates>,
    heads: Sum,
}

impl InnerMmtm {
    /// `mmtm.<block>.squeeze.*` and `mmtm.<block>.<modality>.*` for each block, `head.<modality>.*`.
    ///
    /// # Errors
    /// If names are taken.
    pub fn new(build: &mut Build, on: &Features<'_>, config: &InnerMmtmConfig) -> Result<Self> {
        let InnerMmtmConfig { from, reduction } = *config;
        let widths = |depth: usize| on.stages.iter().map(|own| own[depth]).collect();
        let gates = |depth| Gates::new(build, on.names, depth, widths(depth), reduction);
        let gates = (from..common(from, on.stages)?).map(gates).collect::<Result<_>>()?;
        Ok(Self { from, gates, heads: Sum::new(build, on.names, on.widths, on.classes, true)? })
    }
}

impl Inner for InnerMmtm {
    fn meet(
        &self,
        done: usize,
        flows: &mut [Option<Flow>],
        present: Option<&Tensor>,
        pass: &mut Pass<'_>,
    ) -> Result<()> {
        let behind = done.checked_sub(self.from + 1).and_then(|index| self.gates.get(index));
        behind.map_or(Ok(()), |gates| gates.apply(flows, present, pass))
    }
}

/// Linear maps between shared tokens and those of an encoder of another width.
struct Bridge {
    into: Linear,
    back: Linear,
}

/// Tokens that all encoders share, and the mean of heads. They are as wide as the first modality's tokens; an encoder
/// of another width sees them through linear maps.
pub struct InnerBottleneck {
    from: usize,
    /// Blocks that all encoders have.
    last: usize,
    shared: Handle,
    /// `None` where widths are equal.
    bridges: Vec<Option<Bridge>>,
    heads: Sum,
}

impl InnerBottleneck {
    /// `bottleneck` `[1, tokens, width]`, `bottleneck.<modality>.into.*` and `.back.*` where widths differ, and
    /// `head.<modality>.*`.
    ///
    /// # Errors
    /// If names are taken.
    pub fn new(build: &mut Build, on: &Features<'_>, config: &InnerBottleneckConfig) -> Result<Self> {
        let last = common(config.from, on.stages)?;
        let widths: Vec<usize> = on.stages.iter().filter_map(|own| own.first().copied()).collect();
        let wide = widths.first().copied().unwrap_or(1);
        let role = Role { part: Part::Fusion, kind: Kind::Embedding };
        let shape = [1, config.tokens, wide];
        let shared = build.param("bottleneck", role, &shape, Init::Normal(0.02), (wide, wide))?;
        let bridge = |(name, width): (&String, &usize)| {
            let mut map = |of: &str, input, output| {
                build.linear(&format!("bottleneck.{name}.{of}"), Part::Fusion, input, output, true)
            };
            let differs = *width != wide;
            differs
                .then(|| Ok(Bridge { into: map("into", wide, *width)?, back: map("back", *width, wide)? }))
                .transpose()
        };
        let bridges = on.names.iter().zip(&widths).map(bridge).collect::<Result<_>>()?;
        let heads = Sum::new(build, on.names, on.widths, on.classes, true)?;
        Ok(Self { from: config.from, last, shared, bridges, heads })
    }

    /// The tokens as every sample starts with them, `[B, n, width]`.
    fn first(&self, flows: &[Option<Flow>], pass: &Pass<'_>) -> Result<Option<Tensor>> {
        let Some(flow) = flows.iter().flatten().next() else { return Ok(None) };
        let (shared, batch) = (pass.weight(&self.shared), flow.values.dim(0)? / flow.frames());
        let (_, count, width) = shared.dims3()?;
        Ok(Some(shared.broadcast_as((batch, count, width))?.contiguous()?))
    }

    /// Gives an encoder the shared tokens `[B, n, width]`: each frame has its own copy.
    fn hand(&self, m: usize, flow: &mut Flow, shared: &Tensor, pass: &Pass<'_>) -> Result<()> {
        if !matches!(flow.pool, Pool::Token { .. }) {
            return Err(Error::shape("map between blocks", flow.values.dims(), "[rows, tokens, width]"));
        }
        let shared = match &self.bridges[m] {
            Some(bridge) => bridge.into.forward(shared, pass)?,
            None => shared.clone(),
        };
        let (batch, count, width) = shared.dims3()?;
        let frames = flow.frames();
        let copies = shared.unsqueeze(1)?.broadcast_as((batch, frames, count, width))?;
        flow.shared = Some(copies.contiguous()?.reshape((batch * frames, count, width))?);
        Ok(())
    }

    /// What an encoder has left of the shared tokens, `[B, n, width]`: the mean over its frames.
    fn left(&self, m: usize, flow: &Flow, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        let Some(left) = &flow.shared else { return Ok(None) };
        let (rows, count, width) = left.dims3()?;
        let left = left.reshape((rows / flow.frames(), flow.frames(), count, width))?.mean(1)?;
        self.bridges[m].as_ref().map_or(Ok(left.clone()), |bridge| bridge.back.forward(&left, pass)).map(Some)
    }

    /// The mean of what the encoders have left, over the modalities that a sample has.
    fn mean(&self, flows: &[Option<Flow>], present: Option<&Tensor>, pass: &Pass<'_>) -> Result<Option<Tensor>> {
        let left = |(m, flow): (usize, &Option<Flow>)| match flow {
            Some(flow) => self.left(m, flow, pass),
            None => Ok(None),
        };
        let left = flows.iter().enumerate().map(left).collect::<Result<Vec<_>>>()?;
        let Some(some) = left.iter().flatten().next() else { return Ok(None) };
        let batch = some.narrow(1, 0, 1)?.narrow(2, 0, 1)?.squeeze(2)?.detach();
        let weights = flows.iter().enumerate().map(|(m, flow)| there(m, flow.as_ref(), present, &batch));
        let weights = Tensor::cat(&weights.collect::<Result<Vec<_>>>()?, 1)?;
        let shares = weights.broadcast_div(&weights.sum_keepdim(1)?.maximum(1f32)?)?;
        let weighed = |(m, left): (usize, &Tensor)| left.broadcast_mul(&shares.narrow(1, m, 1)?.unsqueeze(2)?);
        let left = left.iter().enumerate().filter_map(|(m, left)| Some((m, left.as_ref()?)));
        total(&left.map(weighed).collect::<candle_core::Result<Vec<_>>>()?).map(Some)
    }
}

impl Inner for InnerBottleneck {
    fn meet(
        &self,
        done: usize,
        flows: &mut [Option<Flow>],
        present: Option<&Tensor>,
        pass: &mut Pass<'_>,
    ) -> Result<()> {
        if done < self.from || done > self.last {
            return Ok(());
        }
        // Nobody sees what is left of the tokens behind the last block.
        if done == self.last {
            flows.iter_mut().flatten().for_each(|flow| flow.shared = None);
            return Ok(());
        }
        let first = done == self.from;
        let shared = if first { self.first(flows, pass)? } else { self.mean(flows, present, pass)? };
        let Some(shared) = shared else { return Ok(()) };
        let taking_part = flows.iter_mut().enumerate().filter_map(|(m, flow)| Some((m, flow.as_mut()?)));
        taking_part.into_iter().try_for_each(|(m, flow)| self.hand(m, flow, &shared, pass))
    }
}
