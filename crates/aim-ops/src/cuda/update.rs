//! Optimizer steps, in place: a launch for each parameter or, untried so far, one for many.

use std::cell::RefCell;

use candle_core::{Device, Result, Tensor, Var};

use super::{
    launch::{
        Arg::{self, Change, Float, In, Int, MaybeChange},
        Grid, launch,
    },
    many::launch_many,
};
use crate::{
    Kernels, kernels,
    update::{AdaGrad, Adam, AdamStep, Averages, Moments, RmsProp, Sgd},
};

/// The names of a rule's kernels, for one parameter and for many.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Names(&'static str, pub(super) &'static str);

/// How a rule changes parameters: those that agree in this can share a launch.
#[derive(Clone, PartialEq)]
pub(super) struct Rule {
    pub(super) names: Names,
    pub(super) numbers: Vec<f64>,
    pub(super) flags: Vec<usize>,
}

/// A step of one parameter.
pub(super) struct Step {
    pub(super) param: Var,
    pub(super) grad: Tensor,
    pub(super) state: Vec<Option<Var>>,
    pub(super) rule: Rule,
}

thread_local! {
    /// Steps that wait for each other.
    static WAITING: RefCell<Option<Vec<Step>>> = const { RefCell::new(None) };
}

/// See [`crate::update::together`].
pub(crate) fn together<E: From<candle_core::Error>>(
    f: impl FnOnce() -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    if kernels() == Kernels::Proven {
        return f();
    }
    let outer = WAITING.replace(Some(vec![]));
    let outcome = f();
    let steps = WAITING.replace(outer).unwrap_or_default();
    outcome?;
    Ok(launch_many(&steps)?)
}

impl Step {
    fn new(param: &Var, grad: &Tensor, state: &[Option<&Var>], rule: Rule) -> Result<Self> {
        let state = state.iter().map(|var| var.cloned()).collect();
        Ok(Self { param: param.clone(), grad: grad.contiguous()?, state, rule })
    }

    /// Takes the step, or has it wait for others.
    fn take(self) -> Result<()> {
        let alone = WAITING.with_borrow_mut(|waiting| match waiting {
            Some(waiting) => {
                waiting.push(self);
                None
            }
            None => Some(self),
        });
        alone.map_or(Ok(()), |step| step.launch())
    }

    fn launch(&self) -> Result<()> {
        let n = self.param.elem_count();
        let operands = [Change(&self.param), In(&self.grad)];
        let state = self.state.iter().map(|var| MaybeChange(var.as_ref()));
        let args = operands.into_iter().chain(state).chain(self.rule.settings()).chain([Int(n)]);
        launch(self.device(), self.rule.names.0, Grid::Elements(n), args)
    }

    pub(super) fn device(&self) -> &Device {
        self.param.device()
    }
}

impl Rule {
    fn new(names: Names, numbers: impl Into<Vec<f64>>, flags: impl Into<Vec<usize>>) -> Self {
        Self { names, numbers: numbers.into(), flags: flags.into() }
    }

    /// The rule's own arguments of its kernels.
    pub(super) fn settings(&self) -> impl Iterator<Item = Arg<'_>> {
        self.numbers.iter().map(|v| Float(*v)).chain(self.flags.iter().map(|n| Int(*n)))
    }
}

pub(crate) fn sgd(param: &Var, grad: &Tensor, buf: Option<&Var>, first: bool, h: Sgd) -> Result<()> {
    let numbers = [h.lr, h.weight_decay, h.momentum, 1. - h.dampening];
    let rule = Rule::new(Names("sgd", "sgd_many"), numbers, [first.into(), h.nesterov.into()]);
    Step::new(param, grad, &[buf], rule)?.take()
}

pub(crate) fn adam(param: &Var, grad: &Tensor, moments: Moments<'_>, step: u64, h: Adam) -> Result<()> {
    let a = AdamStep::new(step, h);
    let numbers = [a.shrink, a.decay, a.keep[0], a.new[0], a.keep[1], a.new[1], a.root, a.eps, a.rate];
    let rule = Rule::new(Names("adam", "adam_many"), numbers.map(f64::from), []);
    Step::new(param, grad, &[Some(moments.m), Some(moments.v), moments.v_max], rule)?.take()
}

pub(crate) fn adagrad(param: &Var, grad: &Tensor, sum: &Var, rate: f64, h: AdaGrad) -> Result<()> {
    let rule = Rule::new(Names("adagrad", "adagrad_many"), [rate, h.weight_decay, h.eps], []);
    Step::new(param, grad, &[Some(sum)], rule)?.take()
}

pub(crate) fn rmsprop(param: &Var, grad: &Tensor, averages: Averages<'_>, h: RmsProp) -> Result<()> {
    let Averages { square, mean, momentum } = averages;
    let numbers = [h.lr, h.alpha, 1. - h.alpha, h.eps, h.weight_decay, h.momentum];
    let rule = Rule::new(Names("rmsprop", "rmsprop_many"), numbers, []);
    Step::new(param, grad, &[Some(square), mean, momentum], rule)?.take()
}
