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

    /// Runs `f` with this pass, seeing `view`'s weights where it does not show others itself: for networks that are
    /// views of another.
    pub fn seeing<T>(&mut self, view: &View, f: impl FnOnce(&mut Pass<'_>) -> T) -> T {
        let both = self.view.map(|own| view.iter().chain(own).map(|(k, t)| (k.clone(), t.clone())).collect::<View>());
        let (train, norm, subset, draws) = (self.train, self.norm, self.subset, self.draws);
        let (view, kept) = (Some(both.as_ref().unwrap_or(view)), self.kept.take());
        let mut pass = Pass { train, norm, subset, view, ops: &mut *self.ops, kept, draws };
        let out = f(&mut pass);
        let kept = pass.kept;
        self.kept = kept;
        out
    }

    /// The tensor that stands for a parameter or buffer in this pass.
    pub fn weight(&self, handle: &Handle) -> Tensor {
        let viewed = self.view.and_then(|v| v.get(&handle.name));
        let shown = viewed.unwrap_or_else(|| handle.var.as_tensor());
        if handle.frozen { shown.detach() } else { shown.clone() }
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

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::{Net, toy::Toy};

    fn view(weights: &[(&str, f32)]) -> View {
        weights.iter().map(|(name, w)| ((*name).into(), Tensor::new(&[*w], &Device::Cpu).unwrap())).collect()
    }

    /// Notes where it is applied.
    struct Notes(std::rc::Rc<std::cell::RefCell<Vec<Site>>>);

    impl FeatureOp for Notes {
        fn apply(&mut self, site: Site, x: Tensor, _: &mut Rng) -> Result<Tensor> {
            self.0.borrow_mut().push(site);
            Ok(x)
        }
    }

    #[test]
    fn a_pass_sees_a_network_s_view_behind_its_own() {
        let net = Toy::new(&[1., 2., 3.]);
        let one = Tensor::new(&[[1f32]], &Device::Cpu).unwrap().into();
        let seen = |pass: &mut Pass<'_>| {
            (0..3).map(|m| net.encode(m, &one, pass).unwrap().to_vec2::<f32>().unwrap()[0][0]).collect::<Vec<_>>()
        };
        let (own, average) = (view(&[("a", 10.)]), view(&[("a", 20.), ("b", 30.)]));
        // `a` is the pass's own, `b` the view's, `c` the network's.
        let mut pass = Pass::eval().view(&own);
        assert_eq!(pass.seeing(&average, |pass| seen(pass)), [10., 30., 3.]);
        assert_eq!(seen(&mut pass), [10., 2., 3.], "afterwards the pass is what it was");
        assert_eq!(Pass::eval().seeing(&average, |pass| seen(pass)), [20., 30., 3.]);
    }

    #[test]
    fn what_is_seen_through_a_view_is_the_same_pass() {
        let sites = std::rc::Rc::default();
        let mut ops: Vec<Box<dyn FeatureOp>> = vec![Box::new(Notes(std::rc::Rc::clone(&sites)))];
        let draws = Draws { seed: 3, epoch: 1, step: 2 };
        let mut pass = Pass::train(draws).norm(Norm::Batch).subset(&[true, false]).ops(&mut ops).keep();
        let x = Tensor::new(&[[4f32]], &Device::Cpu).unwrap();
        let (first, second) = (Site::Feature { modality: 0 }, Site::Feature { modality: 1 });
        pass.visit(first, x.clone(), Pool::None).unwrap();
        pass.seeing(&View::new(), |pass| {
            assert!(pass.train && pass.norm == Norm::Batch && pass.includes(0) && !pass.includes(1));
            assert_eq!(pass.rng("mask").uniform(), draws.rng("mask").uniform());
            pass.visit(second, x.clone(), Pool::None).unwrap();
        });
        let kept = pass.into_kept();
        assert!(kept.raw(first).is_some() && kept.raw(second).is_some(), "what was kept before and within stays");
        assert_eq!(*sites.borrow(), [first, second]);
    }
}
