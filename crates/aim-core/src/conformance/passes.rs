//! Laws of passes: who updates statistics, where draws come from, what norms read.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::{DRAWS, Subject, same, training};
use crate::{Error, Input, Norm, Pass, Result};

impl Subject<'_> {
    /// Only [`Norm::Update`] changes buffers.
    pub(super) fn statistics(&self, before: &BTreeMap<String, Tensor>) -> Result<()> {
        self.leaves(before, "an evaluation pass", Pass::eval())?;
        self.leaves(before, "a training pass with `Norm::Batch`", training())?;
        self.leaves(before, "a training pass with `Norm::Running`", Pass::train(DRAWS).norm(Norm::Running))
    }

    fn leaves(&self, before: &BTreeMap<String, Tensor>, what: &str, mut pass: Pass<'_>) -> Result<()> {
        self.net.forward(self.batch, &mut pass)?;
        for (name, value) in self.net.params().tensors() {
            if same(&before[&name], &value)? {
                continue;
            }
            let kind = if self.net.params().buffer(&name).is_some() { "buffer" } else { "parameter" };
            let remedy = "update running statistics only where `Pass::norm` is `Norm::Update`, and nothing else";
            return Err(Error::invalid(format!("{kind} `{name}`"), format!("is changed by {what}"), remedy));
        }
        Ok(())
    }

    /// Passes with the same draws give the same bits.
    pub(super) fn draws(&self) -> Result<()> {
        let mut features = vec![];
        for m in self.modalities() {
            let first = self.feature(m, &mut training())?;
            self.repeats(&self.name(m), &first, || self.feature(m, &mut training()))?;
            features.push(first);
        }
        let fuse = || Ok(self.net.fuse(features.clone(), self.batch.present.as_ref(), &mut training())?.logits);
        self.repeats("fusion", &fuse()?, fuse)
    }

    /// Tried a few times, as a draw may have no effect once.
    fn repeats(&self, place: &str, first: &Tensor, again: impl Fn() -> Result<Tensor>) -> Result<()> {
        for _ in 0..3 {
            if !same(first, &again()?)? {
                let problem = "gives other values in a second training pass with the same draws";
                let remedy =
                    "draw from `Pass::rng` alone; in a `Functional`, `ctx.dropout` replaces candle_nn::Dropout";
                return Err(Error::invalid(place, problem, remedy));
            }
        }
        Ok(())
    }

    /// With running statistics a sample is on its own.
    pub(super) fn samples(&self) -> Result<()> {
        for m in self.modalities() {
            let others = self.others(m)?;
            for (what, train) in [("evaluation", false), ("a training pass with `Norm::Running`", true)] {
                let first = |x: &Input| -> Result<Tensor> {
                    let mut pass = Pass::train(DRAWS).norm(Norm::Running);
                    pass.train = train;
                    Ok(self.net.encode(m, x, &mut pass)?.narrow(0, 0, 1)?)
                };
                if !same(&first(&self.batch.inputs[m])?, &first(&others)?)? {
                    let problem = format!("the feature of one sample depends on the others in {what}");
                    let remedy = "normalise by the batch only where `Pass::norm` is not `Norm::Running`; in a \
                                  `Functional`, ask `ctx.batch_statistics()`";
                    return Err(Error::invalid(self.name(m), problem, remedy));
                }
            }
        }
        Ok(())
    }
}
