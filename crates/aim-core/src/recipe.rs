//! Most methods are one part of this recipe: losses of one forward pass, operations on features, a way to combine the
//! losses' gradients, operations on the result.

use candle_core::Tensor;

use crate::{Batch, Clock, Draws, FeatureOp, GradFn, Grads, Net, Output, Pass, Report, Result, State, Stateful, Step};

/// The losses of one forward pass, each with its name.
pub trait Objective {
    /// At least one loss; each is a scalar.
    ///
    /// # Errors
    /// If the network does not give what the loss needs.
    fn losses(&mut self, out: &Output, batch: &Batch) -> Result<Vec<(String, Tensor)>>;
}

/// Makes one gradient of one gradient a loss.
pub trait Combine: Stateful {
    /// The gradient to descend. `losses` are in the objective's order.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn combine(&mut self, losses: Vec<Tensor>, net: &dyn Net, report: &mut Report) -> Result<Grads>;
}

/// What an operation on gradients sees of the step.
pub struct Seen<'a> {
    /// The network.
    pub net: &'a dyn Net,
    /// What the forward pass gave.
    pub out: &'a Output,
    /// The batch.
    pub batch: &'a Batch,
    /// Where training stands.
    pub clock: Clock,
    /// The generators of this step.
    pub draws: Draws,
}

/// Changes the combined gradient.
pub trait GradOp: Stateful {
    /// Changes `grads` and notes its quantities.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn apply(&mut self, grads: &mut Grads, seen: &Seen<'_>, report: &mut Report) -> Result<()>;
}

/// One backward pass through the sum of the losses.
pub struct SumLosses;

impl crate::Stateless for SumLosses {}

impl Combine for SumLosses {
    fn combine(&mut self, losses: Vec<Tensor>, net: &dyn Net, _: &mut Report) -> Result<Grads> {
        let mut losses = losses.into_iter();
        let Some(first) = losses.next() else { return Ok(Grads::default()) };
        let total = losses.try_fold(first, |sum, loss| sum + loss)?;
        Grads::of(&total, net.params())
    }
}

/// A gradient function made of the small parts.
pub struct Recipe {
    /// Which losses.
    pub objective: Box<dyn Objective>,
    /// Operations on activations.
    pub features: Vec<Box<dyn FeatureOp>>,
    /// How the losses' gradients become one.
    pub combine: Box<dyn Combine>,
    /// Operations on that gradient, in order.
    pub ops: Vec<Box<dyn GradOp>>,
}

impl Recipe {
    /// The sum of an objective's losses, unchanged.
    pub fn of(objective: impl Objective + 'static) -> Self {
        Self { objective: Box::new(objective), features: vec![], combine: Box::new(SumLosses), ops: vec![] }
    }

    /// Adds an operation on the gradient.
    #[must_use]
    pub fn with(mut self, op: impl GradOp + 'static) -> Self {
        self.ops.push(Box::new(op));
        self
    }
}

impl GradFn for Recipe {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let mut report = Report::default();
        let out = cx.net.forward(cx.batch, &mut Pass::train(cx.draws()).ops(&mut self.features))?;
        let losses = self.objective.losses(&out, cx.batch)?;
        note(&mut report, cx.net, &out, &losses)?;
        let losses = losses.into_iter().map(|(_, loss)| loss).collect();
        let mut grads = self.combine.combine(losses, cx.net, &mut report)?;
        if cx.trace && !self.ops.is_empty() {
            grads.iter().for_each(|(name, grad)| report.note(format!("grad_raw.{name}"), grad));
        }
        let seen = Seen { net: cx.net, out: &out, batch: cx.batch, clock: cx.clock, draws: cx.draws() };
        for op in &mut self.ops {
            op.apply(&mut grads, &seen, &mut report)?;
        }
        Ok((grads, report))
    }
}

/// Notes logits and losses; `loss` is the sum where there are several.
fn note(report: &mut Report, net: &dyn Net, out: &Output, losses: &[(String, Tensor)]) -> Result<()> {
    report.note("logits", &out.logits);
    for (name, logits) in net.spec().modalities.iter().zip(&out.unimodal) {
        report.note(format!("unimodal.{name}"), logits);
    }
    let mut total: Option<Tensor> = None;
    for (name, loss) in losses {
        report.note(name.clone(), loss);
        let loss = loss.detach();
        total = Some(match total {
            Some(sum) => (sum + loss)?,
            None => loss,
        });
    }
    if let Some(total) = total {
        report.note("loss", &total);
    }
    Ok(())
}

impl Stateful for Recipe {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.nest("combine", self.combine.state()?);
        for (i, op) in self.ops.iter().enumerate() {
            state.nest(&format!("op{i}"), op.state()?);
        }
        Ok(state)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.combine.load(&state.part("combine"))?;
        self.ops.iter_mut().enumerate().try_for_each(|(i, op)| op.load(&state.part(&format!("op{i}"))))
    }
}
