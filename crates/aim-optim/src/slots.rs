//! What all optimizers share: a slot of state for each parameter, made at its first gradient and saved by name.

use std::{collections::BTreeMap, sync::Arc};

use aim_core::{Context, Error, Factors, Grads, Optim, Params, Result, State, Stateful};
use candle_core::{Tensor, Var};
use rayon::prelude::*;

/// State of one parameter: how many gradients it has seen, and named buffers of its own shape.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    /// Number of gradients so far, this one included.
    pub steps: usize,
    buffers: BTreeMap<&'static str, Var>,
}

impl Slot {
    /// The buffer of that name on the device of `like`, made with `value` everywhere at its first use. One that was
    /// loaded may lie elsewhere before.
    ///
    /// # Errors
    /// If the device cannot hold it.
    pub fn buffer(&mut self, name: &'static str, like: &Tensor, value: f64) -> Result<Var> {
        let var = match self.buffers.get(name) {
            Some(var) if var.device().same_device(like.device()) => return Ok(var.clone()),
            Some(var) => Var::from_tensor(&var.to_device(like.device())?)?,
            None => Var::from_tensor(&Tensor::full(value as f32, like.dims(), like.device())?)?,
        };
        self.buffers.insert(name, var.clone());
        Ok(var)
    }
}

/// The rule by which one parameter changes.
pub trait Rule: Sync {
    /// Names of the buffers that the rule may use.
    const BUFFERS: &'static [&'static str];
    /// Changes `param` at this learning rate, with the weight decay times `decay`; `slot.steps` counts this gradient
    /// already.
    ///
    /// # Errors
    /// If a tensor operation fails.
    fn update(&self, lr: f64, decay: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()>;
}

/// A rule with its learning rate and the state of every parameter.
pub struct Optimizer<R> {
    rule: R,
    lr: f64,
    slots: BTreeMap<Arc<str>, Slot>,
}

impl<R: Rule> Optimizer<R> {
    /// An optimizer that has seen no gradient yet.
    pub fn new(rule: R, lr: f64) -> Self {
        Self { rule, lr, slots: BTreeMap::new() }
    }
}

/// A parameter that is about to change.
struct Due<'a> {
    name: &'a str,
    param: &'a Var,
    grad: &'a Tensor,
    factors: Factors,
    slot: &'a mut Slot,
}

impl<R: Rule> Optimizer<R> {
    /// The parameters that have a gradient, each with its slot.
    fn due<'a>(slots: &'a mut BTreeMap<Arc<str>, Slot>, params: &'a Params, grads: &'a Grads) -> Result<Vec<Due<'a>>> {
        for (name, grad) in grads.iter() {
            let param = params.get(name).ok_or_else(|| {
                Error::invalid(format!("gradient `{name}`"), "belongs to no parameter", "use the network's own Params")
            })?;
            if grad.dims() != param.var.dims() {
                return Err(Error::shape(format!("gradient `{name}`"), grad.dims(), format!("{:?}", param.var.dims())));
            }
            slots.entry(name.clone()).or_default();
        }
        let due = |(name, slot): (&'a Arc<str>, &'a mut Slot)| {
            let (param, grad) = (&params.get(name)?.var, grads.get(name)?);
            Some(Due { name, param, grad, factors: grads.factors(name), slot })
        };
        Ok(slots.iter_mut().filter_map(due).collect())
    }
}

impl<R: Rule> Optim for Optimizer<R> {
    fn apply(&mut self, params: &Params, grads: &Grads) -> Result<()> {
        let Self { rule, lr, slots } = self;
        let mut due = Self::due(slots, params, grads)?;
        let update = |due: &mut Due<'_>| {
            due.slot.steps += 1;
            let Factors { lr: factor, decay } = due.factors;
            rule.update(*lr * factor, decay, due.param, due.grad, due.slot).at(|| format!("update of `{}`", due.name))
        };
        // All in one go: small parameters are not worth waking a thread for each.
        if due.iter().all(|due| due.grad.device().is_cpu()) {
            let outcomes: Vec<Result<()>> = due.par_iter_mut().with_max_len(1).map(update).collect();
            return outcomes.into_iter().collect();
        }
        aim_ops::update::together(|| due.iter_mut().try_for_each(update))
    }
    fn lr(&self) -> f64 {
        self.lr
    }
    fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
    }
}

impl<R: Rule> Stateful for Optimizer<R> {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("lr", &[self.lr])?;
        for (name, slot) in &self.slots {
            state.put(format!("{name}/steps"), &[slot.steps as f64])?;
            for (buffer, var) in &slot.buffers {
                state.0.insert(format!("{name}/{buffer}"), var.as_tensor().copy()?);
            }
        }
        Ok(state)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        let mut slots = BTreeMap::new();
        for key in state.0.keys() {
            let Some(name) = key.strip_suffix("/steps") else { continue };
            let mut slot = Slot { steps: state.number(key)? as usize, ..Slot::default() };
            for buffer in R::BUFFERS {
                if let Some(value) = state.0.get(&format!("{name}/{buffer}")) {
                    slot.buffers.insert(buffer, Var::from_tensor(&value.copy()?)?);
                }
            }
            slots.insert(name.into(), slot);
        }
        self.lr = state.number("lr")?;
        self.slots = slots;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aim_core::{Kind, Part, Role};
    use candle_core::Device;

    use super::*;
    use crate::{Adam, Lion, Sgd};

    /// Where a parameter of 2 goes in one step from a gradient of 0.5, its factors being these.
    fn after(rule: impl Rule, lr: f64, factors: Factors) -> f64 {
        let mut params = Params::default();
        let role = Role { part: Part::Fusion, kind: Kind::Linear };
        let var = params.add("w", role, &Tensor::new(&[2f32], &Device::Cpu).unwrap()).unwrap().var;
        let mut grads = Grads::of(&(var.as_tensor() * 0.5).unwrap().sum_all().unwrap(), &params).unwrap();
        grads.adjust(&params, |_| Some(factors));
        Optimizer::new(rule, lr).apply(&params, &grads).unwrap();
        f64::from(var.to_vec1::<f32>().unwrap()[0])
    }

    #[test]
    fn three_steps_of_lion_are_those_of_timm() {
        let mut params = Params::default();
        let role = Role { part: Part::Fusion, kind: Kind::Linear };
        let var = params.add("w", role, &Tensor::new(&[1f32, -2., 0.5], &Device::Cpu).unwrap()).unwrap().var;
        let rule = Lion { lr: 0.1, weight_decay: 0.2, ..Lion::default() };
        let mut lion = Optimizer::new(rule, rule.lr);
        // The third entry has no gradient first, so that its momentum and its sign are 0.
        for (grad, want) in [
            ([0.5f32, -1., 0.], [0.88, -1.86, 0.49]),
            ([-4., 0.1, 0.3], [0.9624, -1.9228, 0.3802]),
            ([0.2, 0.2, -0.2], [1.043_152, -1.984_344, 0.472_596]),
        ] {
            let grad = Tensor::new(&grad, &Device::Cpu).unwrap();
            let loss = (var.as_tensor() * grad).unwrap().sum_all().unwrap();
            lion.apply(&params, &Grads::of(&loss, &params).unwrap()).unwrap();
            let got = var.to_vec1::<f32>().unwrap();
            assert!(got.iter().zip(want).all(|(g, w)| (f64::from(*g) - w).abs() < 1e-6), "{got:?} is not {want:?}");
        }
    }

    #[test]
    fn factors_by_hand() {
        let (half, still) = (Factors { lr: 0.5, ..Factors::default() }, Factors { decay: 0., ..Factors::default() });
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a}, not {b}");
        // Adam's first step has the length of the learning rate, whatever the gradient's.
        near(after(Adam::default(), 0.1, Factors::default()), 1.9);
        near(after(Adam::default(), 0.1, half), 1.95);
        // 2 - 0.1 (0.5 + 0.3 * 2), at half the rate, and without decay.
        let sgd = Sgd { weight_decay: 0.3, ..Sgd::default() };
        near(after(sgd, 0.1, Factors::default()), 1.89);
        near(after(sgd, 0.1, half), 1.945);
        near(after(sgd, 0.1, still), 1.95);
    }
}
