//! The encoder: a constructor and a closure, called once a pass over the weights that the pass shows.

use std::collections::HashMap;

use aim_backbones::Adapter;
use aim_core::{Capabilities, Context as _, Encoder, Error, Handle, Input, Norm, Pass, Result, capability};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use crate::Context;

pub(crate) type Construct<M> = Box<dyn Fn(VarBuilder<'static>) -> candle_core::Result<M>>;
pub(crate) type Forward<M> = Box<dyn Fn(&M, &Tensor, &mut Context<'_, '_>) -> Result<Tensor>>;

/// A parameter or buffer of the model under the name that its constructor uses.
pub(crate) struct Weight {
    pub(crate) name: String,
    pub(crate) handle: Handle,
    pub(crate) buffer: bool,
    pub(crate) adapter: Option<Adapter>,
}

impl Weight {
    /// The tensor that the constructor is given in this pass.
    fn shown(&self, pass: &Pass<'_>) -> Result<Tensor> {
        let tensor = pass.weight(&self.handle);
        if self.buffer {
            return Ok(self.statistic(tensor, pass));
        }
        self.adapter.as_ref().map_or(Ok(tensor.clone()), |adapter| adapter.added_to(&tensor, pass))
    }

    /// A buffer: the variable itself where the pass may update it. candle's batch norm writes to the tensor that it
    /// was made with if that is a variable, and otherwise to a copy that ends with the model.
    fn statistic(&self, shown: Tensor, pass: &Pass<'_>) -> Tensor {
        let own = shown.id() == self.handle.var.id();
        if own && pass.norm == Norm::Update { shown } else { shown.detach() }
    }
}

/// An encoder made of any candle layers. The constructor of the model runs once a pass over the weights that the pass
/// shows, so that views, low-rank additions and the pass's policy for statistics reach layers that know nothing of
/// them.
///
/// Parameters are named `encoders.<modality>.<name in the constructor>`.
pub struct Functional<M> {
    pub(crate) prefix: String,
    pub(crate) modality: usize,
    pub(crate) device: Device,
    pub(crate) weights: Vec<Weight>,
    pub(crate) construct: Construct<M>,
    pub(crate) forward: Forward<M>,
    pub(crate) sites: usize,
    pub(crate) width: usize,
}

impl<M> Functional<M> {
    /// Number of blocks whose output the encoder hands over: 0 where its closure never calls [`Context::block`], and
    /// then methods that read or change activations have nothing to work on.
    pub fn sites(&self) -> usize {
        self.sites
    }

    /// The feature and the number of blocks visited.
    pub(crate) fn run(&self, x: &Input, pass: &mut Pass<'_>) -> Result<(Tensor, usize)> {
        let shown = |w: &Weight| Ok((w.name.clone(), w.shown(pass)?));
        let tensors: HashMap<_, _> = self.weights.iter().map(shown).collect::<Result<_>>()?;
        let builder = VarBuilder::from_tensors(tensors, DType::F32, &self.device);
        let model = (self.construct)(builder).at(|| "constructor".into())?;
        let mut context = Context::new(pass, &self.prefix, self.modality, x.valid.as_ref());
        let feature = (self.forward)(&model, &x.values, &mut context)?;
        let blocks = context.blocks();
        match feature.dims() {
            [rows, _] if x.values.dims().first() == Some(rows) && feature.dtype() == DType::F32 => {
                Ok((feature, blocks))
            }
            dims => {
                Err(Error::shape("feature", dims, "[batch, width] of f32: pool or flatten at the end of the closure"))
            }
        }
    }
}

impl<M> Encoder for Functional<M> {
    fn forward(&self, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor> {
        let (feature, blocks) = self.run(x, pass)?;
        if blocks != self.sites {
            let problem = format!("was called {blocks} times, and {} times when the encoder was built", self.sites);
            return Err(Error::invalid("ctx.block", problem, "call it behind the same blocks in every pass"));
        }
        match feature.dim(1)? {
            width if width == self.width => Ok(feature),
            _ => Err(Error::shape("feature", feature.dims(), format!("[batch, {}], as when it was built", self.width))),
        }
    }
    fn depth(&self) -> usize {
        self.sites.max(1)
    }
    fn width(&self) -> usize {
        self.width
    }
    fn capabilities(&self) -> Capabilities {
        let adapters = self.weights.iter().any(|weight| weight.adapter.is_some());
        let own = [(true, capability::VIEWS), (self.sites > 0, capability::SITES), (adapters, capability::ADAPTERS)];
        own.into_iter().filter(|(has, _)| *has).fold(Capabilities::default(), |all, (_, one)| all.with(&[one]))
    }
}
