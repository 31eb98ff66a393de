//! An optimizer whose gradients are clipped.

use aim_core::{Grads, Optim, Params, Result, State, Stateful};

/// A bound on the gradients of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// On the Euclidean norm over all of them, as by PyTorch's `clip_grad_norm_`: all times
    /// `min(1, bound / (norm + 1e-6))`.
    Norm(f64),
    /// On the size of each value, as by PyTorch's `clip_grad_value_`.
    Value(f64),
}

impl Clip {
    /// The gradients within the bound.
    fn apply(self, params: &Params, grads: &Grads) -> Result<Grads> {
        let mut grads = grads.clone();
        match self {
            Self::Norm(bound) => {
                let factor = bound / (grads.norm()? + 1e-6);
                if factor < 1. {
                    grads.map(params, |_, _, grad| Ok(Some((grad * factor)?)))?;
                }
            }
            Self::Value(bound) => grads.map(params, |_, _, grad| Ok(Some(grad.clamp(-bound, bound)?)))?,
        }
        Ok(grads)
    }
}

/// An optimizer that clips the gradients of each update.
pub struct Clipped {
    inner: Box<dyn Optim>,
    clip: Clip,
}

impl Clipped {
    /// `inner` with clipped gradients.
    pub fn new(inner: Box<dyn Optim>, clip: Clip) -> Self {
        Self { inner, clip }
    }
}

impl Optim for Clipped {
    fn apply(&mut self, params: &Params, grads: &Grads) -> Result<()> {
        self.inner.apply(params, &self.clip.apply(params, grads)?)
    }
    fn lr(&self) -> f64 {
        self.inner.lr()
    }
    fn set_lr(&mut self, lr: f64) {
        self.inner.set_lr(lr);
    }
}

impl Stateful for Clipped {
    fn state(&self) -> Result<State> {
        self.inner.state()
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.inner.load(state)
    }
}

#[cfg(test)]
mod tests {
    use aim_core::{Factors, Kind, Part, Role};
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::{OptimizerSettings, Sgd};

    /// What plain descent at the rate 1 takes from weights whose gradients are (3, -0.25) and 4.
    fn descended(clip: Clip, factors: Option<Factors>) -> [f32; 3] {
        let mut params = Params::default();
        let mut grads = Grads::default();
        for (name, values) in [("a", &[3f32, -0.25][..]), ("b", &[4.])] {
            let grad = Tensor::new(values, &Device::Cpu).unwrap();
            let role = Role { part: Part::Fusion, kind: Kind::Bias };
            params.add(name, role, &grad.zeros_like().unwrap()).unwrap();
            grads.insert(name.into(), grad);
        }
        grads.adjust(&params, |_| factors);
        let mut opt = Clipped::new(Sgd { lr: 1., momentum: 0., ..Sgd::default() }.build(), clip);
        opt.apply(&params, &grads).unwrap();
        assert_eq!(grads.get("b").unwrap().to_vec1::<f32>().unwrap(), [4.], "the gradients are the method's own");
        let of = |name: &str| params.get(name).unwrap().var.neg().unwrap().to_vec1::<f32>().unwrap();
        [of("a")[0], of("a")[1], of("b")[0]]
    }

    #[test]
    fn norms_and_values_by_hand() {
        let near = |found: [f32; 3], wanted: [f64; 3]| {
            assert!(found.iter().zip(wanted).all(|(x, y)| (f64::from(*x) - y).abs() < 1e-6), "{found:?} {wanted:?}");
        };
        // The norm is the root of 9 + 1/16 + 16, 401/16: 5.006 246 1.
        let factor = 2. / (401_f64.sqrt() / 4. + 1e-6);
        near(descended(Clip::Norm(2.), None), [3. * factor, -0.25 * factor, 4. * factor]);
        near(descended(Clip::Value(2.), None), [2., -0.25, 2.]);
        near(descended(Clip::Value(0.125), None), [0.125, -0.125, 0.125]);
        // Factors on the rate stay.
        near(descended(Clip::Value(2.), Some(Factors { lr: 0.5, decay: 1. })), [1., -0.125, 1.]);
        // Within the bound nothing changes.
        for clip in [Clip::Norm(5.1), Clip::Value(4.)] {
            assert_eq!(descended(clip, None), [3., -0.25, 4.]);
        }
    }
}
