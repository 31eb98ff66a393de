//! What training takes of the machine's memory, tried on a few samples before it begins.

use std::{ops::ControlFlow::Break, sync::Arc};

use aim_balance::joint::Joint;
use aim_core::{Error, Result, State, Stateful, capability};
use aim_data::{Dataset, Demand, First};
use aim_ops::memory::{counts, peak};
use candle_core::Device;

use super::restrict;
use crate::{
    Learner,
    config::RunConfig,
    metrics::{evaluate, evaluation_batch},
    run::{learner, splits},
};

/// Most bytes that a run takes beside its data, about: weights, gradients, the optimizer's state, activations and
/// checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// In a step of training.
    pub training: u64,
    /// In a batch of an evaluation, or while a checkpoint is written.
    pub evaluation: u64,
}

impl Needs {
    /// What a run of joint training takes, tried by steps on parts of a batch; methods that go through the network
    /// several times at once take more. Nothing where that cannot be tried, or says too much: in a program that does
    /// not count its memory (see [`Counted`](aim_ops::memory::Counted)), of a network without a fused head, and of
    /// methods that train additions alone.
    pub fn of(config: &RunConfig, data: &Dataset) -> Self {
        if !counts() {
            return Self::default();
        }
        if config.method.all().into_iter().any(|method| method.info().requires.wants(capability::ADAPTERS)) {
            return Self::default();
        }
        let config = RunConfig { method: Joint {}.into(), ..config.clone() };
        // A network without a fused head, say: what is wrong is told where the run itself meets it.
        Self::tried(&config, data).unwrap_or_default()
    }

    fn tried(config: &RunConfig, data: &Dataset) -> Result<Self> {
        let (data, device) = (restrict(config, data)?, &Device::Cpu);
        let evaluated = if data.validation.len() < data.test.len() { &data.test } else { &data.validation };
        let batches = [config.train.batch.min(data.train.len()), evaluation_batch(&**evaluated).min(evaluated.len())];
        let tried = batches.map(parts);
        let (mut training, mut evaluation) = ([0; 2], [0; 2]);
        for i in 0..2 {
            let (trained, step) = peak(|| trained(config, &data, tried[0][i], device));
            let trained = trained?;
            let (state, copy) = peak(|| trained.state());
            // The last checkpoint is kept, and what it holds of the best epoch.
            let kept = copy.left + best(&state?);
            let few = First::new(Arc::clone(evaluated), tried[1][i]);
            let (answers, scored) = peak(|| evaluate(trained.net(), trained.method(), &few, device));
            answers.map(drop)?;
            // A checkpoint is written from one piece.
            (training[i], evaluation[i]) = (kept + step.most, kept + step.left + scored.most.max(kept));
        }
        let whole = |most, m: usize| larger(most, tried[m], batches[m]);
        Ok(Self { training: whole(training, 0), evaluation: whole(evaluation, 1) })
    }

    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        let (training, evaluation) = (self.training.max(other.training), self.evaluation.max(other.evaluation));
        Self { training, evaluation }
    }
}

/// Bytes of what is kept of the best epoch in a state: weights and what the method keeps.
fn best(state: &State) -> u64 {
    let of = |part: &str| state.part(part).0.into_values().map(|t| t.elem_count() * t.dtype().size_in_bytes()).sum();
    ["net", "method"].map(of).iter().map(|bytes: &usize| *bytes as u64).sum()
}

/// Samples of the two batches that are tried for a larger one: an eighth and a fourth, but no fewer than a batch norm
/// needs.
fn parts(batch: usize) -> [usize; 2] {
    let fourth = (batch / 4).max(4).min(batch);
    [(fourth / 2).max(2).min(batch), fourth]
}

/// What a batch takes by what the two that were tried do: each further sample as much as those of the second.
fn larger([few, more]: [u64; 2], [first, second]: [usize; 2], batch: usize) -> u64 {
    let further = batch.saturating_sub(second) as u64;
    more + more.saturating_sub(few) * further / second.saturating_sub(first).max(1) as u64
}

/// A run after its first step, on a batch of so many samples.
fn trained(config: &RunConfig, data: &Dataset, batch: usize, device: &Device) -> Result<Learner> {
    let mut config = config.clone();
    // With an update behind the first batch, so that the optimizer has its state.
    (config.train.batch, config.train.accumulate) = (batch, 1);
    let mut learner = learner(&config, data, 0, device)?;
    learner.epoch(&splits(&config, data, device)?, |_, _| Ok(Break(())))?;
    Ok(learner)
}

/// A line that says what data take of the memory and what so many runs at a time do; nothing where both are small or
/// not known.
///
/// # Errors
/// If the machine had less before the data were read.
pub fn memory(data: &[Demand], needs: Needs, runs: usize) -> Result<Option<String>> {
    let read: u64 = data.iter().map(|demand| demand.bytes).sum();
    let [training, evaluation] = [needs.training, needs.evaluation].map(|bytes| bytes.saturating_mul(runs as u64));
    let all = read.saturating_add(training.max(evaluation));
    let left = data.first().and_then(|demand| demand.left);
    let at_once = if runs > 1 { format!(" ({runs} runs at a time)") } else { String::new() };
    let of = left.map_or_else(String::new, |left| format!(", of {} that are left", size(left)));
    let steps = format!("a step of training {}, one of evaluation {}{at_once}", size(training), size(evaluation));
    let line = match all {
        0 => return Ok(None),
        _ if all == read => format!("data take up to about {} of memory{of}", size(read)),
        _ => format!("data take up to about {} of memory, {steps}{of}", size(read)),
    };
    if left.is_none_or(|left| all <= left) {
        return Ok(Some(line));
    }
    let remedy = match (training < evaluation, runs) {
        (true, 1) => "lower --memory, which the batches of an evaluation follow, or use a smaller network",
        (true, _) => "lower --jobs, or --memory, which the batches of an evaluation follow",
        (false, 1) => "lower train.batch, and raise train.accumulate by as much for the same updates",
        (false, _) => "lower --jobs, or lower train.batch and raise train.accumulate by as much for the same updates",
    };
    Err(Error::invalid("memory", line, remedy))
}

fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1000. { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn each_further_sample_takes_what_those_that_were_tried_do() {
        // 100 whatever the batch, and 10 a sample.
        assert_eq!([4, 5, 32].map(|batch| larger([120, 140], [2, 4], batch)), [140, 150, 420]);
        assert_eq!(larger([140, 120], [2, 4], 32), 120);
        assert_eq!([1, 2, 3, 8, 32, 256].map(parts), [[1, 1], [2, 2], [2, 3], [2, 4], [4, 8], [32, 64]]);
        assert_eq!(larger([110, 110], [1, 1], 1), 110);
    }

    #[test]
    fn what_the_machine_has_not_is_refused_with_what_helps() {
        let data = [Demand { bytes: GIB, left: Some(4 * GIB) }, Demand { bytes: GIB / 2, left: Some(3 * GIB) }];
        let needs = |training, evaluation| Needs { training, evaluation };
        let said = memory(&data, needs(2 * GIB, GIB / 4), 1).unwrap().unwrap();
        assert_eq!(
            said,
            "data take up to about 1.5 GiB of memory, a step of training 2.0 GiB, one of evaluation 256 MiB, \
             of 4.0 GiB that are left"
        );
        assert_eq!(memory(&data[..1], Needs::default(), 1).unwrap().unwrap().matches("GiB").count(), 2);
        assert_eq!(memory(&[Demand { bytes: 0, left: None }], Needs::default(), 1).unwrap(), None);
        for (needs, runs, remedy) in [
            (needs(3 * GIB, 0), 1, "lower train.batch, and raise train.accumulate"),
            (needs(2 * GIB, 0), 2, "(2 runs at a time), of 4.0 GiB that are left; lower --jobs, or"),
            (needs(GIB, 3 * GIB), 1, "lower --memory"),
            (needs(GIB / 2, 3 * GIB / 2), 2, "lower --jobs, or --memory"),
        ] {
            let error = memory(&data, needs, runs).unwrap_err().to_string();
            assert!(error.contains(remedy), "{error}");
        }
    }
}
