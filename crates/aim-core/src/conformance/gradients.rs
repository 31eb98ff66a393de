//! Laws of gradients: they come back to every parameter, and are slopes.

use candle_core::Tensor;

use super::{
    Subject, same, training, values,
    weights::{shake, weighted},
};
use crate::{Batch, Context, Error, Grads, Net, Result, View};

/// Tries whether the gradients of each encoder's parameters are the slopes that finite differences give: some
/// operations of candle's have a backward pass that is wrong. Not one of the laws of [`check`](super::check), since a
/// layer may mean to have other gradients. Takes nine passes for each parameter.
///
/// # Errors
/// If no gradient reaches a parameter that has an effect, or it is not the slope, give or take a quarter.
pub fn slopes(net: &dyn Net, batch: &Batch) -> Result<()> {
    let subject = Subject { net, batch };
    subject.telling()?;
    subject.gradients()?;
    for m in subject.modalities() {
        for (name, _) in subject.encoder(m) {
            subject.is_slope(m, name)?;
        }
    }
    Ok(())
}

impl Subject<'_> {
    /// A parameter that changes the feature has a gradient.
    pub(super) fn gradients(&self) -> Result<()> {
        for m in self.modalities() {
            let view = self.somewhere(m, 0)?;
            let feature = self.feature(m, &mut training().view(&view))?;
            let loss = weighted(&feature)?;
            let grads = Grads::of(&loss, self.net.params()).at(|| format!("backward pass of {}", self.name(m)))?;
            for (name, _) in self.encoder(m).filter(|(name, _)| grads.get(name).is_none()) {
                self.has_no_effect(m, name, &view, &feature)?;
            }
        }
        Ok(())
    }

    /// That a parameter without a gradient does not change the feature.
    fn has_no_effect(&self, m: usize, name: &str, view: &View, feature: &Tensor) -> Result<()> {
        let mut view = view.clone();
        shake(&mut view, name, 1)?;
        if same(feature, &self.feature(m, &mut training().view(&view))?)? {
            return Ok(());
        }
        let problem = "changes the feature, but no gradient reaches it";
        let remedy = "use layers with a backward pass (candle_nn's LayerNorm, RmsNorm, softmax_last_dim and rotary \
                      embeddings have none: take aim_ops::layer_norm, aim_ops::softmax); weights to be left frozen are buffers";
        Err(Error::invalid(format!("parameter `{name}`"), problem, remedy))
    }

    /// That in one of a few places, if single precision can tell in any, a parameter's gradient is the slope.
    fn is_slope(&self, m: usize, name: &str) -> Result<()> {
        let ratios = (0..3).map(|round| self.ratio(m, name, round)).collect::<Result<Vec<_>>>()?;
        let told = || ratios.iter().flatten();
        match told().next() {
            Some(ratio) if !told().any(|ratio| (0.8..1.25).contains(ratio)) => {
                let problem = format!("has a gradient that is {ratio:.2} of the slope of the feature");
                let remedy = "replace the operation behind it (candle's max_pool2d divides gradients by the area of its \
                              window: take aim_ops::max_pool2d)";
                Err(Error::invalid(format!("parameter `{name}`"), problem, remedy))
            }
            _ => Ok(()),
        }
    }

    /// The length of a parameter's gradient, divided by the slope along it.
    fn ratio(&self, m: usize, name: &str, round: u64) -> Result<Option<f64>> {
        let view = self.somewhere(m, round)?;
        let loss = |view: &View| weighted(&self.feature(m, &mut training().view(view))?);
        let at_rest = loss(&view)?;
        let grads = Grads::of(&at_rest, self.net.params())?;
        let (Some(grad), Some(weight)) = (grads.get(name), view.get(name)) else { return Ok(None) };
        let (length, size) = (norm(grad)?, number(&at_rest)?.abs().max(1.));
        // A thousandth of the loss is far above its rounding and too little to bend, and no weight goes far.
        let step = (1e-3 * size / length).min(0.01 * norm(weight)?);
        if length * step < 1e-4 * size {
            return Ok(None);
        }
        let moved = |by: f64| {
            let mut view = view.clone();
            view.insert(name.into(), (weight + (grad * (by / length))?)?);
            number(&loss(&view)?)
        };
        Ok(Some(2. * step * length / (moved(step)? - moved(-step)?)))
    }
}

fn norm(x: &Tensor) -> Result<f64> {
    Ok(values(x)?.iter().map(|x| x * x).sum::<f64>().sqrt())
}

fn number(x: &Tensor) -> Result<f64> {
    Ok(values(x)?.iter().sum())
}
