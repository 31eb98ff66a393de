//! The law of weights: what a view shows is what layers use.

use candle_core::Tensor;

use super::{Subject, in_a_round, moved, same, training};
use crate::{Context, Error, Grads, Output, Part, Pass, Result, Rng, View};

/// The way to a weight.
const ASK: &str =
    "ask `Pass::weight` for every weight in every pass; in a `Functional`, make all layers from the `VarBuilder`";

impl Subject<'_> {
    /// Views change what they should, and no weight is read past them.
    pub(super) fn views(&self) -> Result<()> {
        self.nothing_leaks()?;
        for m in self.modalities() {
            for depth in 0..self.net.spec().depths[m] {
                self.block_is_seen(m, depth)?;
            }
        }
        Ok(())
    }

    /// Under a view of constants no gradient reaches a parameter.
    fn nothing_leaks(&self) -> Result<()> {
        let params = self.net.params();
        let constants: View = params.iter().map(|(name, p)| (name.clone(), p.var.as_detached_tensor())).collect();
        let out = self.net.forward(self.batch, &mut training().view(&constants))?;
        match Grads::of(&total(&out)?, params).at(|| "backward pass".into())?.iter().next() {
            Some((name, _)) => {
                Err(Error::invalid(format!("parameter `{name}`"), "is read although a view shows another tensor", ASK))
            }
            None => Ok(()),
        }
    }

    /// A view of the parameters of one block changes the feature.
    fn block_is_seen(&self, m: usize, depth: usize) -> Result<()> {
        let own = |part| matches!(part, Part::Encoder { depth: d, .. } | Part::Adapter { depth: d, .. } if d == depth);
        let names: Vec<_> = self.encoder(m).filter(|(_, p)| own(p.role.part)).map(|(name, _)| name).collect();
        let Some(example) = names.first() else { return Ok(()) };
        let seen = in_a_round(|round| {
            let mut view = self.somewhere(m, round)?;
            let before = self.feature(m, &mut Pass::eval().view(&view))?;
            for name in &names {
                shake(&mut view, name, 2 * round + 1)?;
            }
            Ok(!same(&before, &self.feature(m, &mut Pass::eval().view(&view))?)?)
        })?;
        if seen {
            return Ok(());
        }
        let problem = format!("a view of its parameters (`{example}`, ...) does not change the feature");
        Err(Error::invalid(format!("{}, block {depth}", self.name(m)), problem, ASK))
    }
}

/// Moves one of the tensors that a view shows.
pub(super) fn shake(view: &mut View, name: &str, round: u64) -> Result<()> {
    if let Some(x) = view.get_mut(name) {
        *x = moved(x, name, round)?;
    }
    Ok(())
}

/// A loss that everything in the output changes.
fn total(out: &Output) -> Result<Tensor> {
    let mut rest = out.features.iter().chain(&out.unimodal);
    rest.try_fold(weighted(&out.logits)?, |sum, x| Ok((sum + weighted(x)?)?))
}

/// The sum of all values, each with a weight of its own, as equal ones may cancel.
pub(super) fn weighted(x: &Tensor) -> Result<Tensor> {
    Ok((x * Rng::keyed(0, "loss").normal_tensor(x.dims(), 1., x.device())?)?.sum_all()?)
}
