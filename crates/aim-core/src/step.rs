//! What a method sees of one training step.

use candle_core::{Tensor, Var};

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

    /// Runs `f` with the parameters moved by `shift`, then puts them back bit for bit, also after an error of `f` or of
    /// the shift itself.
    ///
    /// # Errors
    /// Those of `f`, and a shift that does not fit.
    pub fn nudged<T>(&mut self, shift: &Grads, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let params = self.net.params();
        let mut moved = Moved(Vec::new());
        for (name, delta) in shift.iter() {
            if let Some(param) = params.get(name) {
                moved.by(&param.var, delta)?;
            }
        }
        let out = f(self);
        moved.back()?;
        out
    }
}

/// Parameters that were moved, with their values before; they go back however a step ends.
struct Moved<'a>(Vec<(&'a Var, Tensor)>);

impl<'a> Moved<'a> {
    fn by(&mut self, var: &'a Var, delta: &Tensor) -> Result<()> {
        let (before, after) = (var.as_tensor().copy()?, (var.as_tensor() + delta)?);
        self.0.push((var, before));
        Ok(var.set(&after)?)
    }

    fn back(&mut self) -> Result<()> {
        self.0.drain(..).try_for_each(|(var, value)| Ok(var.set(&value)?))
    }
}

impl Drop for Moved<'_> {
    fn drop(&mut self) {
        // Only after an error, which is the one to tell.
        self.back().ok();
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::{
        Error,
        toy::{Still, Toy},
    };

    /// The weights within and after a nudge by these shifts, and how it ended.
    fn nudge(shifts: &[(&str, &[f32])], fails: bool) -> (Option<Vec<f32>>, Vec<f32>, bool) {
        let net = Toy::new(&[1., 2.]);
        let mut shift = Grads::default();
        for (name, delta) in shifts {
            shift.insert((*name).into(), Tensor::new(*delta, &Device::Cpu).unwrap());
        }
        let batch = Batch::new(vec![], Tensor::new(&[0u32], &Device::Cpu).unwrap()).unwrap();
        let (opt, clock) = (&mut Still, Clock::default());
        let mut within = None;
        let done = Step { net: &net, opt, batch: &batch, clock, seed: 0, trace: false }.nudged(&shift, |_| {
            within = Some(net.weights());
            if fails { Err(Error::Stopped) } else { Ok(()) }
        });
        (within, net.weights(), done.is_ok())
    }

    #[test]
    fn a_nudge_moves_the_weights_and_puts_them_back() {
        let shifts: [(&str, &[f32]); 3] = [("a", &[0.5]), ("b", &[-3.]), ("of no parameter", &[9.])];
        assert_eq!(nudge(&shifts, false), (Some(vec![1.5, -1.]), vec![1., 2.], true));
        assert_eq!(nudge(&shifts, true), (Some(vec![1.5, -1.]), vec![1., 2.], false));
    }

    #[test]
    fn a_shift_that_does_not_fit_midway_moves_nothing() {
        // The shift of `a` is done when that of `b` turns out to have another shape.
        assert_eq!(nudge(&[("a", &[0.5]), ("b", &[1., 1., 1.])], false), (None, vec![1., 2.], false));
    }
}
