//! What a method sees of one training step.

use candle_core::Tensor;

use crate::{Batch, Draws, Grads, Net, Optim, Output, Pass, Result};

/// Where training stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Epoch, counted from 0.
    pub epoch: usize,
    /// Number of epochs of the run.
    pub epochs: usize,
    /// Step since the start of training, counted from 0.
    pub step: usize,
    /// Step of this epoch, counted from 0.
    pub batch: usize,
    /// Steps in this epoch.
    pub steps_per_epoch: usize,
}

/// One training step: the network, the optimizer and a batch.
pub struct Step<'a> {
    /// The network.
    pub net: &'a dyn Net,
    /// The optimizer.
    pub opt: &'a mut dyn Optim,
    /// The batch.
    pub batch: &'a Batch,
    /// Where training stands.
    pub clock: Clock,
    /// Seed of the run.
    pub seed: u64,
    /// Whether reports should hold tensors that cost memory (raw gradients, unit masks).
    pub trace: bool,
}

impl<'a> Step<'a> {
    /// The generators of this step.
    pub fn draws(&self) -> Draws {
        Draws { seed: self.seed, epoch: self.clock.epoch, step: self.clock.step }
    }

    /// The ordinary training pass over the batch.
    ///
    /// # Errors
    /// If the batch does not fit the network.
    pub fn forward(&self) -> Result<Output> {
        self.net.forward(self.batch, &mut Pass::train(self.draws()))
    }

    /// A tensor supplied in place of one of the method's own draws.
    pub fn given(&self, name: &str) -> Option<&'a Tensor> {
        self.batch.given.get(name)
    }

    /// Hands a gradient to the optimizer.
    ///
    /// # Errors
    /// Those of the optimizer.
    pub fn descend(&mut self, grads: &Grads) -> Result<()> {
        self.opt.apply(self.net.params(), grads)
    }

    /// Runs `f` with the parameters moved by `shift`, then puts them back bit for bit, also after an error.
    ///
    /// # Errors
    /// Those of `f`, and a shift that does not fit.
    pub fn nudged<T>(&mut self, shift: &Grads, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let params = self.net.params();
        let mut saved = Vec::new();
        for (name, delta) in shift.iter() {
            let Some(param) = params.get(name) else { continue };
            saved.push((&param.var, param.var.as_tensor().copy()?));
            param.var.set(&(param.var.as_tensor() + delta)?)?;
        }
        let out = f(self);
        for (var, value) in saved {
            var.set(&value)?;
        }
        out
    }
}
