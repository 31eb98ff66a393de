//! Optimizer steps, in place.

use candle_core::{Result, Tensor, Var};

use super::launch::{
    Arg::{Change, Float, In, Int, MaybeChange},
    Grid, launch,
};
use crate::update::{AdaGrad, Adam, AdamStep, Averages, Moments, RmsProp, Sgd};

pub(crate) fn sgd(param: &Var, grad: &Tensor, buf: Option<&Var>, first: bool, h: Sgd) -> Result<()> {
    let (grad, n) = (&grad.contiguous()?, param.elem_count());
    let rates = [h.lr, h.weight_decay, h.momentum, 1. - h.dampening].map(Float);
    let [lr, decay, momentum, share] = rates;
    let (first, nesterov) = (Int(first.into()), Int(h.nesterov.into()));
    let args = [Change(param), In(grad), MaybeChange(buf), lr, decay, momentum, share, first, nesterov, Int(n)];
    launch(param.device(), "sgd", Grid::Elements(n), args)
}

pub(crate) fn adam(param: &Var, grad: &Tensor, moments: Moments<'_>, step: u64, h: Adam) -> Result<()> {
    let (grad, n, a) = (&grad.contiguous()?, param.elem_count(), AdamStep::new(step, h));
    let float = |v: f32| Float(v.into());
    let args = [
        Change(param),
        In(grad),
        Change(moments.m),
        Change(moments.v),
        MaybeChange(moments.v_max),
        float(a.shrink),
        float(a.decay),
        float(a.keep[0]),
        float(a.new[0]),
        float(a.keep[1]),
        float(a.new[1]),
        float(a.root),
        float(a.eps),
        float(a.rate),
        Int(n),
    ];
    launch(param.device(), "adam", Grid::Elements(n), args)
}

pub(crate) fn adagrad(param: &Var, grad: &Tensor, sum: &Var, rate: f64, h: AdaGrad) -> Result<()> {
    let (grad, n) = (&grad.contiguous()?, param.elem_count());
    let [rate, decay, eps] = [rate, h.weight_decay, h.eps].map(Float);
    launch(
        param.device(),
        "adagrad",
        Grid::Elements(n),
        [Change(param), In(grad), Change(sum), rate, decay, eps, Int(n)],
    )
}

pub(crate) fn rmsprop(param: &Var, grad: &Tensor, averages: Averages<'_>, h: RmsProp) -> Result<()> {
    let (grad, n) = (&grad.contiguous()?, param.elem_count());
    let Averages { square, mean, momentum } = averages;
    let state = (Change(square), MaybeChange(mean), MaybeChange(momentum));
    let rates = [h.lr, h.alpha, 1. - h.alpha, h.eps, h.weight_decay, h.momentum].map(Float);
    let [lr, alpha, fresh, eps, decay, factor] = rates;
    let args = [Change(param), In(grad), state.0, state.1, state.2, lr, alpha, fresh, eps, decay, factor, Int(n)];
    launch(param.device(), "rmsprop", Grid::Elements(n), args)
}
