//! A linear classifier that is trained beside the network.

use aim_core::{Result, Rng, State};
use candle_core::{D, DType, Device, Tensor};

use super::Asgml;
use crate::util::{number, one_hot};

/// A linear probe with its Adam moments (0.9, 0.999, 1e-8).
#[derive(Clone, Debug)]
pub struct Probe {
    /// Weight `[classes, width]`.
    pub weight: Tensor,
    /// Bias `[classes]`.
    pub bias: Tensor,
    /// First and second moments of both.
    moments: [(Tensor, Tensor); 2],
    steps: usize,
}

/// What a measurement found.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Accuracy on the second half.
    pub accuracy: f64,
    /// Loss on the first half before the last step.
    pub loss: f64,
}

impl Probe {
    /// A probe with weights from the usual uniform distribution of a linear layer.
    ///
    /// # Errors
    /// If the device cannot hold it.
    pub fn new(width: usize, classes: usize, rng: &mut Rng, device: &Device) -> Result<Self> {
        let bound = 1. / (width.max(1) as f64).sqrt();
        let weight = rng.uniform_tensor(&[classes, width], bound, device)?;
        Self::from_weights(weight, rng.uniform_tensor(&[classes], bound, device)?)
    }

    /// A probe of these weights that has made no step.
    ///
    /// # Errors
    /// If the device cannot hold it.
    pub fn from_weights(weight: Tensor, bias: Tensor) -> Result<Self> {
        let zeros = |x: &Tensor| -> Result<(Tensor, Tensor)> { Ok((x.zeros_like()?, x.zeros_like()?)) };
        let moments = [zeros(&weight)?, zeros(&bias)?];
        Ok(Self { weight, bias, moments, steps: 0 })
    }

    /// Trains on the first half of the rows and measures on the rest; `None` of fewer than two rows.
    ///
    /// # Errors
    /// If the features do not fit.
    pub fn measure(&mut self, feature: &Tensor, labels: &Tensor, settings: &Asgml) -> Result<Option<Measured>> {
        let (rows, half) = (feature.dim(0)?, feature.dim(0)? / 2);
        if half == 0 {
            return Ok(None);
        }
        self.move_to(feature.device())?;
        let (x, truth) = (feature.narrow(0, 0, half)?, one_hot(&labels.narrow(0, 0, half)?, self.bias.dim(0)?)?);
        let mut loss = 0.;
        for _ in 0..settings.probe_steps {
            loss = self.descend(&x, &truth, settings.probe_lr)?;
        }
        let (x, labels) = (feature.narrow(0, half, rows - half)?, labels.narrow(0, half, rows - half)?);
        let right = self.logits(&x)?.argmax(D::Minus1)?.eq(&labels)?.to_dtype(DType::F64)?;
        Ok(Some(Measured { accuracy: number(&right.mean_all()?)?, loss }))
    }

    /// Moves it to where the features are; the tensors of a state that was loaded lie on the CPU.
    fn move_to(&mut self, device: &Device) -> Result<()> {
        let [(a, b), (c, d)] = &mut self.moments;
        [&mut self.weight, &mut self.bias, a, b, c, d].into_iter().try_for_each(|t| {
            *t = t.to_device(device)?;
            Ok(())
        })
    }

    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)?)
    }

    /// One step of Adam on the mean cross-entropy; gives the loss before it.
    fn descend(&mut self, x: &Tensor, truth: &Tensor, lr: f64) -> Result<f64> {
        let log_p = aim_ops::log_softmax(&self.logits(x)?)?;
        let rows = x.dim(0)? as f64;
        let loss = number(&(&log_p * truth)?.sum_all()?)? / -rows;
        let slope = ((log_p.exp()? - truth)? / rows)?;
        self.steps += 1;
        let grads = [slope.t()?.matmul(x)?, slope.sum(0)?];
        for ((value, grad), (first, second)) in
            [&mut self.weight, &mut self.bias].into_iter().zip(&grads).zip(&mut self.moments)
        {
            *first = ((&*first * 0.9)? + (grad * 0.1)?)?;
            *second = ((&*second * 0.999)? + (grad.sqr()? * 0.001)?)?;
            let corrected = |beta: f64| 1. - beta.powf(self.steps as f64);
            let root = ((&*second / corrected(0.999))?.sqrt()? + 1e-8)?;
            *value = (&*value - ((&*first * (lr / corrected(0.9)))? / root)?)?;
        }
        Ok(loss)
    }

    /// Everything that a restart needs.
    pub(super) fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("steps", &[self.steps as f64])?;
        for (name, value, (first, second)) in
            [("weight", &self.weight, &self.moments[0]), ("bias", &self.bias, &self.moments[1])]
        {
            state.0.insert(name.into(), value.clone());
            state.0.insert(format!("{name}.first"), first.clone());
            state.0.insert(format!("{name}.second"), second.clone());
        }
        Ok(state)
    }

    /// The probe of a state.
    pub(super) fn of(state: &State) -> Result<Self> {
        let tensor = |name: &str| Ok::<_, aim_core::Error>(state.tensor(name)?.clone());
        let moments = |name: &str| {
            Ok::<_, aim_core::Error>((tensor(&format!("{name}.first"))?, tensor(&format!("{name}.second"))?))
        };
        Ok(Self {
            weight: tensor("weight")?,
            bias: tensor("bias")?,
            moments: [moments("weight")?, moments("bias")?],
            steps: state.number("steps")? as usize,
        })
    }
}
