//! A fusion that lets each sample's features vote on which modality's head counts, and the capability that this is.

use aim_backbones::{Build, Linear};
use aim_config::settings;
use aim_core::{Capabilities, Capability, Fusion, Joined, Part, Pass, Result, capability};
use aim_fusion::{Features, FusionInfo, FusionSettings};
use candle_core::Tensor;
use candle_nn::ops::softmax;

/// Votes on the modalities for each sample: the extra `votes`, `[B, M]`.
pub const VOTES: Capability = Capability::new("votes", "votes on the modalities");

static ABOUT: FusionInfo = FusionInfo {
    name: "voted",
    about: "sum of one linear head a modality, weighted by the votes of the features",
    unimodal: "its head",
    modalities: (1, usize::MAX),
};

settings! {
    /// Settings of the fusion `voted`.
    pub struct Voted {}
}

impl FusionSettings for Voted {
    fn info(&self) -> &'static FusionInfo {
        &ABOUT
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(&[capability::VIEWS, capability::UNIMODAL, VOTES])
    }
    fn build(&self, build: &mut Build, on: &Features<'_>) -> Result<Box<dyn Fusion>> {
        let (mut heads, mut votes) = (vec![], vec![]);
        for (m, (name, width)) in on.names.iter().zip(on.widths).enumerate() {
            let head = Part::Head { modality: Some(m) };
            heads.push(build.linear(&format!("head.{name}"), head, *width, on.classes, true)?);
            votes.push(build.linear(&format!("vote.{name}"), Part::Fusion, *width, 1, true)?);
        }
        Ok(Box::new(Ballot { heads, votes, capabilities: self.capabilities() }))
    }
}

/// The fusion in use.
struct Ballot {
    heads: Vec<Linear>,
    votes: Vec<Linear>,
    capabilities: Capabilities,
}

impl Fusion for Ballot {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let each = |layers: &[Linear]| -> Result<Vec<Tensor>> {
            layers.iter().zip(features).map(|(layer, x)| layer.forward(x, pass)).collect()
        };
        let (unimodal, votes) = (each(&self.heads)?, softmax(&Tensor::cat(&each(&self.votes)?, 1)?, 1)?);
        let share = |(m, logits): (usize, &Tensor)| logits.broadcast_mul(&votes.narrow(1, m, 1)?);
        let shares = unimodal.iter().enumerate().map(share).collect::<candle_core::Result<Vec<_>>>()?;
        let logits = Tensor::stack(&shares, 0)?.sum(0)?;
        Ok(Joined { logits, unimodal, extras: [(VOTES.name(), votes)].into() })
    }
}
