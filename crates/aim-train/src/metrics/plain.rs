//! A network without gradients.

use aim_core::{Batch, Input, Net, NetSpec, Output, Params, Pass, Result, View};
use candle_core::Tensor;

/// A view of a network whose passes leave no graph, so that what a layer hands on is all that is held of it.
pub(super) struct Plain<'a> {
    net: &'a dyn Net,
    view: View,
}

impl<'a> Plain<'a> {
    /// The view of a network as it is now.
    pub fn new(net: &'a dyn Net) -> Self {
        let weights = net.params().iter().map(|(name, param)| (name.clone(), param.var.as_detached_tensor()));
        Self { net, view: weights.collect() }
    }
}

impl Net for Plain<'_> {
    fn spec(&self) -> &NetSpec {
        self.net.spec()
    }
    fn params(&self) -> &Params {
        self.net.params()
    }
    fn learnable(&self, modality: usize) -> Vec<usize> {
        self.net.learnable(modality)
    }
    fn encode(&self, modality: usize, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor> {
        pass.seeing(&self.view, |pass| self.net.encode(modality, x, pass))
    }
    fn features(&self, batch: &Batch, pass: &mut Pass<'_>) -> Result<Vec<Tensor>> {
        pass.seeing(&self.view, |pass| self.net.features(batch, pass))
    }
    fn fuse(&self, features: Vec<Tensor>, present: Option<&Tensor>, pass: &mut Pass<'_>) -> Result<Output> {
        pass.seeing(&self.view, |pass| self.net.fuse(features, present, pass))
    }
}
