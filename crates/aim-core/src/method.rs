//! What a balancing method implements, from the least powerful trait to the one that owns its step.

use crate::{Batch, Clock, Grads, Net, Output, Params, Pass, Prepared, Report, Result, State, Stateful, Step};

/// An optimizer that any method can drive.
pub trait Optim: Stateful {
    /// One update. Parameters without a gradient are left alone entirely: no decay, no moments, no step count.
    ///
    /// # Errors
    /// If a gradient does not fit its parameter.
    fn apply(&mut self, params: &Params, grads: &Grads) -> Result<()>;
    /// Current learning rate.
    fn lr(&self) -> f64;
    /// Sets the learning rate.
    fn set_lr(&mut self, lr: f64);
}

/// Which samples an epoch's work may look at. There is no test split here: nothing may be chosen on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Training samples.
    Train,
    /// Validation samples.
    Validation,
}

/// Access to whole splits, for work that needs more than one batch.
pub trait Samples {
    /// Shows every sample of a split once, in order, in batches.
    ///
    /// # Errors
    /// Those of `visit`.
    fn each(&self, split: Split, visit: &mut dyn FnMut(&Batch) -> Result<()>) -> Result<()>;
    /// The same in an order that `seed` draws, for training between epochs.
    ///
    /// # Errors
    /// Those of `visit`.
    fn shuffled(&self, split: Split, seed: u64, visit: &mut dyn FnMut(&Batch) -> Result<()>) -> Result<()>;
}

/// One more showing of a training sample in an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// Index of the sample in its split.
    pub sample: usize,
    /// Whether the sample keeps each modality; the features of the others are zeroed.
    pub present: Vec<bool>,
}

/// A part of an epoch by itself: showings that keep the same modalities, shuffled and cut into batches of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Indices of the samples in their split.
    pub samples: Vec<usize>,
    /// Whether the samples keep each modality; the features of the others are zeroed.
    pub present: Vec<bool>,
    /// Whether the encoders of the others rest ([`Batch::resting`]).
    pub rest: bool,
}

/// What an epoch shows: every training sample once, whole, and the extras; or turns, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Showings beside the others. In an epoch of turns, extras that keep the modalities of a turn join the first such;
    /// the others are a turn of their own at the end.
    pub extra: Vec<Extra>,
    /// Turns in place of every sample once; none is no turns.
    pub turns: Vec<Turn>,
}

/// What a method sees before an epoch.
pub struct EpochStart<'a> {
    /// The network.
    pub net: &'a dyn Net,
    /// The optimizer.
    pub opt: &'a mut dyn Optim,
    /// Training and validation samples.
    pub samples: &'a dyn Samples,
    /// What was trained before the run.
    pub prepared: &'a Prepared,
    /// Where training stands; the steps of the epoch are those of every training sample once.
    pub clock: Clock,
    /// Seed of the run.
    pub seed: u64,
    /// What this epoch shows: every training sample once at first, and methods of a stack change one plan.
    pub plan: Plan,
}

/// Work before each epoch (prototypes, class means, probes).
pub trait EpochWork {
    /// Called before the first step of every epoch.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()>;
}

/// States that a type has nothing to do before an epoch; said explicitly, so that no work is forgotten.
pub trait Idle {}

impl<T: Idle> EpochWork for T {
    fn before_epoch(&mut self, _: &mut EpochStart<'_>) -> Result<()> {
        Ok(())
    }
}

/// How the trained network answers: some methods read its logits otherwise than the fusion does.
pub trait Infer {
    /// Fused and unimodal logits of a batch in evaluation; labels must not be used.
    ///
    /// # Errors
    /// If the batch does not fit the network.
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output>;
}

/// States that a type answers as the network itself does.
pub trait Plain {}

impl<T: Plain> Infer for T {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        net.forward(batch, &mut Pass::eval())
    }
}

/// Computes the gradient to descend; never touches the optimizer, so it can be wrapped.
pub trait GradFn: Stateful + EpochWork + Infer {
    /// The gradient of this step and what there is to say about it.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)>;
}

/// Owns the whole step. Implement this only where a step is not "one gradient, one update".
pub trait Method: Stateful + EpochWork + Infer {
    /// One training step.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn step(&mut self, cx: &mut Step<'_>) -> Result<Report>;
}

/// "One gradient, one update": turns any [`GradFn`] into a [`Method`].
pub struct Descend(pub Box<dyn GradFn>);

impl Method for Descend {
    fn step(&mut self, cx: &mut Step<'_>) -> Result<Report> {
        let (grads, report) = self.0.grads(cx)?;
        cx.descend(&grads)?;
        Ok(report)
    }
}

impl EpochWork for Descend {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        self.0.before_epoch(cx)
    }
}

impl Infer for Descend {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        self.0.infer(net, batch)
    }
}

impl Stateful for Descend {
    fn state(&self) -> Result<State> {
        self.0.state()
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.0.load(state)
    }
}
