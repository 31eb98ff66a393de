//! Gradients as values: one per loss, in the order of the parameters' names.

use std::{collections::BTreeMap, sync::Arc};

use candle_core::{DType, Tensor, backprop::GradStore};

use crate::{Error, Params, Result, Role, State, Stateful};

/// Gradients by parameter name. An absent entry means "leave this parameter alone" (no decay, no moments); an entry of
/// zeros is a gradient.
#[derive(Clone, Debug, Default)]
pub struct Grads {
    tensors: BTreeMap<Arc<str>, Tensor>,
    factors: BTreeMap<Arc<str>, Factors>,
}

/// What the optimizer's settings are multiplied by in the update of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    /// On the learning rate.
    pub lr: f64,
    /// On the weight decay.
    pub decay: f64,
}

impl Default for Factors {
    fn default() -> Self {
        Self { lr: 1., decay: 1. }
    }
}

impl Grads {
    /// Gradients of a scalar loss, by the backward pass of the parameters' network; parameters that the loss does not
    /// reach are absent.
    ///
    /// # Errors
    /// If the backward pass fails.
    pub fn of(loss: &Tensor, params: &Params) -> Result<Self> {
        Ok(Self::take(&mut params.backward()(loss)?, params))
    }

    /// Takes the gradients of `params` out of candle's store.
    pub fn take(store: &mut GradStore, params: &Params) -> Self {
        let tensors = params.iter().filter_map(|(k, p)| Some((k.clone(), store.remove(&p.var)?.detach()))).collect();
        Self { tensors, factors: BTreeMap::new() }
    }

    /// The gradients as candle's store, for optimizers written against candle, which know no [`Factors`]: those are
    /// left out.
    pub fn store(&self, params: &Params) -> GradStore {
        let mut store = GradStore::default();
        for (name, grad) in &self.tensors {
            if let Some(param) = params.get(name) {
                store.insert(&param.var, grad.clone());
            }
        }
        store
    }

    /// All entries, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Tensor)> {
        self.tensors.iter()
    }

    /// The gradient of one parameter.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Puts a gradient in place of what stood there.
    pub fn insert(&mut self, name: Arc<str>, grad: Tensor) {
        self.tensors.insert(name, grad);
    }

    /// Whether no parameter has a gradient.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Inner product over the parameters that both hold.
    ///
    /// # Errors
    /// If shapes differ.
    pub fn dot(&self, other: &Self) -> Result<f64> {
        let mut sum = 0.;
        for (name, a) in &self.tensors {
            if let Some(b) = other.tensors.get(name) {
                sum += f64::from((a * b)?.sum_all()?.to_dtype(DType::F32)?.to_scalar::<f32>()?);
            }
        }
        Ok(sum)
    }

    /// Euclidean norm over all entries.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn norm(&self) -> Result<f64> {
        Ok(self.dot(self)?.sqrt())
    }

    /// Adds `c` times another gradient; entries that only the other has are taken over, and so are factors of
    /// parameters that have none here.
    ///
    /// # Errors
    /// If shapes differ.
    pub fn add_scaled(&mut self, other: &Self, c: f64) -> Result<()> {
        for (name, b) in &other.tensors {
            // Multiplying by one would be exact as well, but costs a pass over the gradient.
            let b = if c == 1. { b.clone() } else { (b * c)? };
            let sum = match self.tensors.get(name) {
                Some(a) => (a + b)?,
                None => b,
            };
            self.tensors.insert(name.clone(), sum);
            if let Some(factors) = other.factors.get(name) {
                self.factors.entry(name.clone()).or_insert(*factors);
            }
        }
        Ok(())
    }

    /// Every entry times `c`.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn scaled(&self, c: f64) -> Result<Self> {
        let mut out = Self::default();
        out.add_scaled(self, c)?;
        Ok(out)
    }

    /// Changes entries by role: `f` gives the new gradient or `None` to keep the entry as it is.
    ///
    /// # Errors
    /// Those of `f`, and a name that is no parameter.
    pub fn map(
        &mut self,
        params: &Params,
        mut f: impl FnMut(&str, Role, &Tensor) -> Result<Option<Tensor>>,
    ) -> Result<()> {
        for (name, grad) in &mut self.tensors {
            let param = params.get(name).ok_or_else(|| {
                Error::invalid(format!("gradient `{name}`"), "belongs to no parameter", "use the network's own Params")
            })?;
            if let Some(new) = f(name, param.role, grad)? {
                *grad = new;
            }
        }
        Ok(())
    }

    /// Multiplies the optimizer's settings in the updates of those parameters for which `f` gives factors.
    pub fn adjust(&mut self, params: &Params, f: impl Fn(Role) -> Option<Factors>) {
        for name in self.tensors.keys() {
            if let Some(factors) = params.get(name).and_then(|param| f(param.role)) {
                let now = self.factors.entry(name.clone()).or_default();
                *now = Factors { lr: now.lr * factors.lr, decay: now.decay * factors.decay };
            }
        }
    }

    /// What the optimizer's settings are multiplied by for one parameter.
    pub fn factors(&self, name: &str) -> Factors {
        self.factors.get(name).copied().unwrap_or_default()
    }

    /// Only the entries whose role passes.
    #[must_use]
    pub fn filter(mut self, params: &Params, f: impl Fn(Role) -> bool) -> Self {
        self.tensors.retain(|name, _| params.get(name).is_some_and(|p| f(p.role)));
        self.factors.retain(|name, _| self.tensors.contains_key(name));
        self
    }
}

impl Stateful for Grads {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.nest("of", State(self.tensors.iter().map(|(name, grad)| (name.to_string(), grad.clone())).collect()));
        for (name, Factors { lr, decay }) in &self.factors {
            state.put(format!("factors.{name}"), &[*lr, *decay])?;
        }
        Ok(state)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.tensors = state.part("of").0.into_iter().map(|(name, grad)| (name.into(), grad)).collect();
        let factors = state.part("factors");
        let of = |name: &String| match factors.numbers(name)?[..] {
            [lr, decay] => Ok((name.as_str().into(), Factors { lr, decay })),
            _ => Err(Error::shape(format!("state `factors.{name}`"), &[], "[2]")),
        };
        self.factors = factors.0.keys().map(of).collect::<Result<_>>()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::{Net, toy::Toy};

    fn grads(entries: &[(&str, f32)]) -> Grads {
        let mut grads = Grads::default();
        for (name, value) in entries {
            grads.insert((*name).into(), Tensor::new(&[*value], &Device::Cpu).unwrap());
        }
        grads
    }

    fn only(modality: usize) -> impl Fn(Role) -> bool {
        move |role| role.encoder() == Some(modality)
    }

    #[test]
    fn gradients_are_taken_as_the_parameters_say() {
        fn doubled(loss: &Tensor) -> candle_core::Result<GradStore> {
            (loss * 2.)?.backward()
        }
        for (backward, want) in [(Tensor::backward as crate::Backward, 3.), (doubled, 6.)] {
            let mut params = Params::differentiated_by(backward);
            let role = Role { part: crate::Part::Fusion, kind: crate::Kind::Bias };
            let w = params.add("w", role, &Tensor::new(&[1f32], &Device::Cpu).unwrap()).unwrap();
            let loss = (w.var.as_tensor() * 3.).unwrap().sum_all().unwrap();
            let copy = params.clone();
            assert_eq!(Grads::of(&loss, &copy).unwrap().get("w").unwrap().to_vec1::<f32>().unwrap(), [want]);
        }
    }

    #[test]
    fn adjustments_multiply_and_reach_parameters_with_a_gradient_alone() {
        let net = Toy::new(&[1., 1., 1.]);
        let mut grads = grads(&[("a", 1.), ("b", 1.)]);
        let half = |modality| move |role: Role| only(modality)(role).then_some(Factors { lr: 0.5, decay: 3. });
        grads.adjust(net.params(), half(0));
        grads.adjust(net.params(), half(0));
        grads.adjust(net.params(), half(2));
        // 0.5 * 0.5 and 3 * 3; `c` has no gradient, so nothing to adjust.
        assert_eq!(grads.factors("a"), Factors { lr: 0.25, decay: 9. });
        assert_eq!([grads.factors("b"), grads.factors("c")], [Factors::default(); 2]);
        let mut later = grads.clone();
        later.insert("c".into(), Tensor::new(&[1f32], &Device::Cpu).unwrap());
        assert_eq!(later.factors("c"), Factors::default());
    }

    #[test]
    fn gradients_survive_a_save_with_their_factors() {
        let net = Toy::new(&[1., 1.]);
        let mut saved = grads(&[("a", 1.5), ("b", -2.)]);
        saved.adjust(net.params(), |role| only(0)(role).then_some(Factors { lr: 0.5, decay: 3. }));
        let mut loaded = grads(&[("c", 7.)]);
        loaded.load(&saved.state().unwrap()).unwrap();
        let values = |grads: &Grads| grads.iter().map(|(k, g)| (k.to_string(), g.to_vec1::<f32>().unwrap())).collect();
        let (found, wanted): (Vec<_>, Vec<_>) = (values(&loaded), values(&saved));
        assert_eq!(found, wanted);
        assert_eq!((loaded.factors("a"), loaded.factors("b")), (saved.factors("a"), Factors::default()));
    }

    #[test]
    fn a_filter_keeps_entries_by_role_with_their_factors() {
        let net = Toy::new(&[1., 1.]);
        let mut grads = grads(&[("a", 1.), ("b", 2.), ("of no parameter", 3.)]);
        grads.adjust(net.params(), |_| Some(Factors { lr: 0.5, decay: 1. }));
        let kept = grads.filter(net.params(), only(1));
        assert_eq!(kept.iter().map(|(name, _)| name.as_ref()).collect::<Vec<_>>(), ["b"]);
        assert_eq!([kept.factors("a").lr, kept.factors("b").lr], [1., 0.5], "factors go with their entries");
        assert!(kept.filter(net.params(), |_| false).is_empty());
    }
}
