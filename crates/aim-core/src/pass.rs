//! One forward pass over a network, as a view: which weights it sees, what norm layers do, which activations it keeps.

use std::{collections::BTreeMap, sync::Arc};

use candle_core::Tensor;

use crate::{Draws, Error, Handle, Result, Rng};

/// What normalisation layers with running statistics do in a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Normalise with the batch's statistics and update the running ones.
    Update,
    /// Normalise with the batch's statistics, leave the running ones alone.
    Batch,
    /// Normalise with the running statistics.
    Running,
}

/// A named place in the network where activations can be changed or kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// Output of block `depth` of a modality's encoder.
    Stage {
        /// Index of the modality.
        modality: usize,
        /// Index of the block.
        depth: usize,
    },
    /// Input of layer `layer` of a modality's own head of several layers.
    HeadInput {
        /// Index of the modality.
        modality: usize,
        /// Index of the layer.
        layer: usize,
    },
    /// What a modality's feature is multiplied by, `[B, width]`, where all features set it together.
    Gate {
        /// Index of the modality.
        modality: usize,
    },
    /// Logits of a modality's own head where they enter a layer over classes, `[B, classes]`.
    Logits {
        /// Index of the modality.
        modality: usize,
    },
    /// The feature that a modality hands to the fusion, `[B, width]`.
    Feature {
        /// Index of the modality.
        modality: usize,
    },
}

/// How an activation becomes one vector a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// It is `[B, width]` already.
    None,
    /// `[B * frames, width, ...]`: mean over frames and every position.
    Mean {
        /// Frames folded into the batch; 1 for anything but video.
        frames: usize,
    },
    /// `[B * frames, tokens, width]`: the first token stands for the frame; mean over frames.
    Token {
        /// Frames folded into the batch; 1 for anything but video.
        frames: usize,
    },
}

impl Pool {
    /// The pooled activation `[B, width]`.
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::None => Ok(x.clone()),
            Self::Token { frames } => over_frames(x.narrow(1, 0, 1)?.squeeze(1)?, frames),
            Self::Mean { frames } => {
                over_frames(if x.rank() > 2 { x.flatten_from(2)?.mean(2)? } else { x.clone() }, frames)
            }
        }
    }
}

/// The mean over the frames of each sample: from `[B * frames, width]` to `[B, width]`.
fn over_frames(x: Tensor, frames: usize) -> Result<Tensor> {
    if frames == 1 {
        return Ok(x);
    }
    let (rows, width) = x.dims2()?;
    Ok(x.reshape((rows / frames, frames, width))?.mean(1)?)
}

/// Changes activations at named sites inside any encoder.
pub trait FeatureOp {
    /// The activation that goes on in place of `x`. The generator belongs to this operation, site and step.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn apply(&mut self, site: Site, x: Tensor, rng: &mut Rng) -> Result<Tensor>;
}

/// Weights that a pass sees in place of the network's own, by parameter name.
pub type View = BTreeMap<Arc<str>, Tensor>;

/// Activations that a pass kept.
#[derive(Clone, Debug, Default)]
pub struct Kept(BTreeMap<Site, (Tensor, Pool)>);

impl Kept {
    /// The activation at a site.
    pub fn raw(&self, site: Site) -> Option<&Tensor> {
        self.0.get(&site).map(|(x, _)| x)
    }

    /// The pooled activation `[B, width]` at a site.
    ///
    /// # Errors
    /// If the pass did not come by there.
    pub fn pooled(&self, site: Site) -> Result<Tensor> {
        let (x, pool) = self.0.get(&site).ok_or_else(|| {
            Error::invalid(format!("{site:?}"), "was not kept", "ask for it with Pass::keep before the forward pass")
        })?;
        pool.apply(x)
    }
}

/// Everything that one forward pass needs to know beside its input.
///
/// ```
/// use aim_core::{Draws, Norm, Pass};
/// let draws = Draws { seed: 0, epoch: 0, step: 0 };
/// let probe = Pass::train(draws).norm(Norm::Batch).keep();
/// assert!(probe.train && probe.norm == Norm::Batch);
/// ```
pub struct Pass<'a> {
    /// Whether dropout and the like are active.
    pub train: bool,
    /// What norm layers do.
    pub norm: Norm,
    subset: Option<&'a [bool]>,
    view: Option<&'a View>,
    ops: &'a mut [Box<dyn FeatureOp>],
    kept: Option<Kept>,
    draws: Draws,
}

impl<'a> Pass<'a> {
    /// A training pass: dropout on, running statistics updated.
    pub fn train(draws: Draws) -> Self {
        Self { train: true, norm: Norm::Update, subset: None, view: None, ops: &mut [], kept: None, draws }
    }

    /// An evaluation pass: dropout off, running statistics used.
    pub fn eval() -> Self {
        let draws = Draws { seed: 0, epoch: 0, step: 0 };
        Self { train: false, norm: Norm::Running, subset: None, view: None, ops: &mut [], kept: None, draws }
    }

    /// Changes what norm layers do.
    #[must_use]
    pub fn norm(mut self, norm: Norm) -> Self {
        self.norm = norm;
        self
    }

    /// Sees `view`'s weights in place of the network's own.
    #[must_use]
    pub fn view(mut self, view: &'a View) -> Self {
        self.view = Some(view);
        self
    }

    /// Zeroes the features of the modalities that are `false` in `subset`.
    #[must_use]
    pub fn subset(mut self, subset: &'a [bool]) -> Self {
        self.subset = Some(subset);
        self
    }

    /// Applies operations at the named sites.
    #[must_use]
    pub fn ops(mut self, ops: &'a mut [Box<dyn FeatureOp>]) -> Self {
        self.ops = ops;
        self
    }

    /// Keeps the activations at every site.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.kept = Some(Kept::default());
        self
    }

    /// The kept activations; empty unless [`keep`](Self::keep) was asked for.
    pub fn into_kept(self) -> Kept {
        self.kept.unwrap_or_default()
    }

    /// The tensor that stands for a parameter in this pass.
    pub fn weight(&self, handle: &Handle) -> Tensor {
        let viewed = self.view.and_then(|v| v.get(&handle.name));
        viewed.unwrap_or_else(|| handle.var.as_tensor()).clone()
    }

    /// The generator of `name` in this pass (dropout masks).
    pub fn rng(&self, name: &str) -> Rng {
        self.draws.rng(name)
    }

    /// Whether a modality takes part.
    pub fn includes(&self, modality: usize) -> bool {
        self.subset.is_none_or(|s| s.get(modality).copied().unwrap_or(true))
    }

    /// What encoders call at each site: applies the operations there and keeps the activation if asked to.
    ///
    /// # Errors
    /// Those of the operations.
    pub fn visit(&mut self, site: Site, mut x: Tensor, pool: Pool) -> Result<Tensor> {
        for (i, op) in self.ops.iter_mut().enumerate() {
            x = op.apply(site, x, &mut self.draws.rng(&format!("op{i}.{site:?}")))?;
        }
        if let Some(kept) = &mut self.kept {
            kept.0.insert(site, (x.clone(), pool));
        }
        Ok(x)
    }
}
