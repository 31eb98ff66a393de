//! Most methods are one part of this recipe: how features become logits, which losses, a way to combine the losses'
//! gradients, operations on the result. Methods that are different parts stack.

use candle_core::Tensor;

use crate::{
    Batch, Clock, Draws, EpochStart, EpochWork, FeatureOp, GradFn, Grads, Idle, Infer, Net, Output, Pass, Report,
    Result, State, Stateful, Stateless, Step,
};

/// What the parts of a recipe see of a step.
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
    /// Whether reports should hold tensors that cost memory.
    pub trace: bool,
}

/// What a [`Fuse`] makes of the features.
pub struct Fused {
    /// Logits and features of every sample.
    pub out: Output,
    /// Rows that take part in the loss (u32), if not all.
    pub kept: Option<Tensor>,
}

/// From the encoders' features to logits, in place of the network's own fusion.
pub trait Fuse: Stateful + EpochWork + Infer {
    /// Logits of a training pass. What it changes for the loss must not change `unimodal`, which operations on the
    /// gradient read.
    ///
    /// # Errors
    /// If the features do not fit.
    fn fuse(&mut self, features: Vec<Tensor>, cx: &Step<'_>, report: &mut Report) -> Result<Fused>;
}

/// The network's own fusion.
pub struct PlainFuse;

impl Stateless for PlainFuse {}
impl Idle for PlainFuse {}
impl crate::Plain for PlainFuse {}

impl Fuse for PlainFuse {
    fn fuse(&mut self, features: Vec<Tensor>, cx: &Step<'_>, _: &mut Report) -> Result<Fused> {
        let out = cx.net.fuse(features, cx.batch.present.as_ref(), &mut Pass::train(cx.draws()))?;
        Ok(Fused { out, kept: None })
    }
}

/// A loss with its name and its weight in the sum.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Name in the report.
    pub name: String,
    /// Its value, a scalar.
    pub value: Tensor,
    /// Its weight in the sum; without one the loss is only reported.
    pub weight: Option<f64>,
}

impl Loss {
    /// A loss of weight 1.
    pub fn new(name: impl Into<String>, value: Tensor) -> Self {
        Self { name: name.into(), value, weight: Some(1.) }
    }

    /// The same with another weight; at 0 it is only reported, so that parameters which no other loss reaches have no
    /// gradient.
    #[must_use]
    pub fn times(self, weight: f64) -> Self {
        Self { weight: (weight != 0.).then_some(weight), ..self }
    }

    /// The same with another weight, in the sum at 0 as well, where its gradient is zero.
    #[must_use]
    pub fn always_times(self, weight: f64) -> Self {
        Self { weight: Some(weight), ..self }
    }

    /// The value times the weight; `None` without one. At weight 1 it is the value itself, bit for bit.
    fn weighted(self) -> Option<Result<Tensor>> {
        match self.weight? {
            1. => Some(Ok(self.value)),
            // candle would cut the graph at a factor of 0.
            0. => Some(self.value.zeros_like().and_then(|zero| self.value * zero).map_err(Into::into)),
            w => Some((self.value * w).map_err(Into::into)),
        }
    }
}

/// The losses of one forward pass.
pub trait Objective: Stateful + EpochWork {
    /// At least one loss.
    ///
    /// # Errors
    /// If the network does not give what the loss needs.
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>>;
}

/// Makes one gradient of the losses.
pub trait Combine: Stateful + EpochWork {
    /// The gradient to descend. `losses` are weighted and in the objective's order.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn combine(&mut self, losses: Vec<Tensor>, net: &dyn Net, report: &mut Report) -> Result<Grads>;
}

/// Changes the combined gradient.
pub trait GradOp: Stateful + EpochWork {
    /// Changes `grads` and notes its quantities.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn apply(&mut self, grads: &mut Grads, seen: &Seen<'_>, report: &mut Report) -> Result<()>;
}

/// One backward pass through the sum of the losses.
pub struct SumLosses;

impl Stateless for SumLosses {}
impl Idle for SumLosses {}

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
    /// Operations on activations inside the encoders.
    pub features: Vec<Box<dyn FeatureOp>>,
    /// How features become logits.
    pub fuse: Box<dyn Fuse>,
    /// Which losses.
    pub objective: Box<dyn Objective>,
    /// How the losses' gradients become one.
    pub combine: Box<dyn Combine>,
    /// Operations on that gradient, in order.
    pub ops: Vec<Box<dyn GradOp>>,
}

impl Recipe {
    /// The sum of an objective's losses, unchanged.
    pub fn of(objective: impl Objective + 'static) -> Self {
        Self {
            features: vec![],
            fuse: Box::new(PlainFuse),
            objective: Box::new(objective),
            combine: Box::new(SumLosses),
            ops: vec![],
        }
    }

    /// The weighted losses over the rows that take part, noted in the report.
    fn losses(&mut self, cx: &Step<'_>, fused: &Fused, report: &mut Report) -> Result<Vec<Tensor>> {
        let part = fused.kept.as_ref().map(|rows| select(&fused.out, cx.batch, rows)).transpose()?;
        let (out, batch) = part.as_ref().map_or((&fused.out, cx.batch), |(out, batch)| (out, batch));
        report.note("logits", &out.logits);
        let losses = self.objective.losses(&seen(cx, out, batch), report)?;
        losses.iter().for_each(|loss| report.note(loss.name.clone(), &loss.value));
        let losses: Vec<_> = losses.into_iter().filter_map(Loss::weighted).collect::<Result<_>>()?;
        let total = losses.iter().map(|loss| Ok(loss.detach())).reduce(|a: Result<_>, b| Ok((a? + b?)?)).transpose()?;
        total.iter().for_each(|total| report.note("loss", total));
        Ok(losses)
    }
}

fn seen<'a>(cx: &'a Step<'_>, out: &'a Output, batch: &'a Batch) -> Seen<'a> {
    Seen { net: cx.net, out, batch, clock: cx.clock, draws: cx.draws(), trace: cx.trace }
}

/// Some rows of a batch and of what the network made of it.
fn select(out: &Output, batch: &Batch, rows: &Tensor) -> Result<(Output, Batch)> {
    let pick = |t: &Tensor| Ok(t.index_select(rows, 0)?);
    let all = |ts: &[Tensor]| ts.iter().map(pick).collect::<Result<Vec<_>>>();
    let extras = out.extras.iter().map(|(name, x)| Ok((*name, pick(x)?))).collect::<Result<_>>()?;
    let (logits, unimodal, features) = (pick(&out.logits)?, all(&out.unimodal)?, all(&out.features)?);
    Ok((Output { logits, unimodal, features, extras }, batch.rows(rows)?))
}

impl GradFn for Recipe {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let mut report = Report::default();
        let mut pass = Pass::train(cx.draws()).ops(&mut self.features);
        let features = cx.net.features(cx.batch, &mut pass)?;
        let fused = self.fuse.fuse(features, cx, &mut report)?;
        for (name, logits) in cx.net.spec().modalities.iter().zip(&fused.out.unimodal) {
            report.note(format!("unimodal.{name}"), logits);
        }
        let losses = self.losses(cx, &fused, &mut report)?;
        let mut grads = self.combine.combine(losses, cx.net, &mut report)?;
        if cx.trace && !self.ops.is_empty() {
            grads.iter().for_each(|(name, grad)| report.note(format!("grad_raw.{name}"), grad));
        }
        for op in &mut self.ops {
            op.apply(&mut grads, &seen(cx, &fused.out, cx.batch), &mut report)?;
        }
        Ok((grads, report))
    }
}

impl EpochWork for Recipe {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        self.fuse.before_epoch(cx)?;
        self.objective.before_epoch(cx)?;
        self.combine.before_epoch(cx)?;
        self.ops.iter_mut().try_for_each(|op| op.before_epoch(cx))
    }
}

impl Infer for Recipe {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        self.fuse.infer(net, batch)
    }
}

impl Stateful for Recipe {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.nest("fuse", self.fuse.state()?);
        state.nest("objective", self.objective.state()?);
        state.nest("combine", self.combine.state()?);
        for (i, op) in self.ops.iter().enumerate() {
            state.nest(&format!("op{i}"), op.state()?);
        }
        Ok(state)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.fuse.load(&state.part("fuse"))?;
        self.objective.load(&state.part("objective"))?;
        self.combine.load(&state.part("combine"))?;
        self.ops.iter_mut().enumerate().try_for_each(|(i, op)| op.load(&state.part(&format!("op{i}"))))
    }
}
