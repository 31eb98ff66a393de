//! AUG, sustained boosting with adaptive classifier assignment (Jiang et al., NeurIPS 2025, arXiv 2502.20120): the
//! weaker modality gets more classifiers, each trained on what the earlier ones leave over.
//!
//! ```text
//! l_i = out(relu(h_i(phi_m))), i = 1 .. n_m;   s_k = l_1 + .. + l_k;   prediction: weighted mean over m of s_n
//! for m in order, an update after each:
//!   L = CE(s_n)                                                            n = 1
//!     + CE(s_(n-1)) + mean of (1 - lambda q) CE(l_n)                       n > 1,  q = softmax(s_(n-1))[y], constant
//! every check_every epochs:  the modality of the smallest score gets a classifier if
//!   largest score - sigma smallest > tau;   score = mean of softmax(s_n)[y] in the epoch before
//! ```
//! The fusion `growing` holds classifiers and their number. What a sub-step trains is encoder m, its classifiers and
//! the output layer that all share.

mod assign;
mod settings;

use aim_core::{
    Batch, CLASSIFIERS, EpochStart, EpochWork, Error, Grads, Infer, Method, Net, Output, Part, Pass, Report, Result,
    Role, STAGES, State, Stateful, Step,
};
use candle_core::{Tensor, Var};

pub use self::{
    assign::behind,
    settings::{ABOUT, Aug, Residual, Rule},
};
use crate::util::{
    having, log_weights, mean_present, number, own_loss, own_weighted_loss, shares, true_probability, weighted_sum,
};

struct Boosting {
    settings: Aug,
    /// Relative weights of the modalities in the prediction.
    weights: Vec<f64>,
    /// Sum of the epoch's scores so far and their number, of each modality.
    tally: Vec<(f64, f64)>,
}

impl EpochWork for Boosting {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        let epoch = cx.clock.epoch;
        if epoch > 0 && epoch.is_multiple_of(self.settings.check_every) && self.tally.iter().all(|(_, n)| *n > 0.) {
            let scores: Vec<f64> = self.tally.iter().map(|(sum, n)| sum / n).collect();
            if let Some(m) = behind(&scores, &self.settings) {
                grow(cx.net, m)?;
            }
        }
        self.tally.fill((0., 0.));
        Ok(())
    }
}

/// The buffer of the numbers of classifiers.
fn counts(net: &dyn Net) -> Result<&Var> {
    net.params().buffer(CLASSIFIERS).ok_or_else(missing)
}

fn missing() -> Error {
    Error::invalid("model.fusion", "has no classifiers that can be added", "set model.fusion: {growing: {}}")
}

/// One more classifier for modality m, unless all are in use.
fn grow(net: &dyn Net, m: usize) -> Result<()> {
    let held = counts(net)?;
    let mut counts = held.to_vec1::<u32>()?;
    let added = |role: Role| role.part == Part::Added { modality: m } && role.is_weight();
    let spare = net.params().iter().filter(|(_, param)| added(param.role)).count();
    if counts[m] as usize <= spare {
        counts[m] += 1;
        held.set(&Tensor::new(counts, held.device())?)?;
    }
    Ok(())
}

impl Method for Boosting {
    fn step(&mut self, cx: &mut Step<'_>) -> Result<Report> {
        let mut report = Report::default();
        let (out, params) = (cx.forward()?, cx.net.params());
        report.note("logits", &self.fused(&out.unimodal, cx.batch)?);
        let counts = counts(cx.net)?.to_vec1::<u32>()?;
        let mut total = 0.;
        for (m, name) in cx.net.spec().modalities.iter().enumerate() {
            report.scalar(format!("classifiers.{name}"), f64::from(counts[m]))?;
            let sums = stages(cx, &out.features, m, &counts)?;
            let Some(loss) = self.loss(&sums, m, cx, &mut report)? else { continue };
            report.note(format!("loss.{name}"), &loss);
            total += number(&loss)?;
            let grads = Grads::of(&loss, params)?.filter(params, |role| self.learns(role, m));
            cx.descend(&grads)?;
        }
        report.scalar("loss", total)?;
        Ok(report)
    }
}

/// Logits of each classifier of modality m as it is now; the other features are constants.
fn stages(cx: &Step<'_>, features: &[Tensor], m: usize, counts: &[u32]) -> Result<Vec<Tensor>> {
    let alone = |(j, x): (usize, &Tensor)| if j == m { x.clone() } else { x.detach() };
    let features = features.iter().enumerate().map(alone).collect();
    let out = cx.net.fuse(features, cx.batch.present.as_ref(), &mut Pass::train(cx.draws()))?;
    let all = out.extras.get(STAGES).ok_or_else(missing)?;
    let start: u32 = counts[..m].iter().sum();
    (start..start + counts[m]).map(|i| Ok(all.narrow(1, i as usize, 1)?.squeeze(1)?.contiguous()?)).collect()
}

impl Boosting {
    /// What a sub-step of modality m trains.
    fn learns(&self, role: Role, m: usize) -> bool {
        match role.part {
            Part::Head { modality } => modality.is_none_or(|own| own == m),
            Part::Added { modality } => modality == m && !self.settings.compat,
            _ => role.encoder() == Some(m),
        }
    }

    /// The loss of modality m by the logits of its classifiers; `None` if no sample has it.
    fn loss(&mut self, stages: &[Tensor], m: usize, cx: &Step<'_>, report: &mut Report) -> Result<Option<Tensor>> {
        let (batch, name) = (cx.batch, &cx.net.spec().modalities[m]);
        let Some((newest, earlier)) = stages.split_last() else { return Ok(None) };
        let previous =
            earlier.iter().map(|x| Ok(x.clone())).reduce(|sum: Result<_>, x| Ok((sum? + x?)?)).transpose()?;
        let all = previous.as_ref().map_or_else(|| Ok(newest.clone()), |sum| sum + newest)?;
        report.note(format!("unimodal.{name}"), &all);
        let Some(mut loss) = own_loss(&all, m, batch)? else { return Ok(None) };
        report.note(format!("loss.{name}.all"), &loss);
        self.count(&all, m, cx, report)?;
        let Some(previous) = previous else { return Ok(Some(loss)) };
        let weights = self.left_over(&previous, earlier, batch)?;
        let residual = own_weighted_loss(newest, &weights, m, batch)?;
        for (part, more) in [("previous", own_loss(&previous, m, batch)?), ("residual", residual)] {
            let Some(more) = more else { continue };
            report.note(format!("loss.{name}.{part}"), &more);
            loss = (loss + more)?;
        }
        Ok(Some(loss))
    }

    /// Weight of each sample in the loss of the newest classifier, `[B]`, without gradient.
    fn left_over(&self, previous: &Tensor, earlier: &[Tensor], batch: &Batch) -> Result<Tensor> {
        let of = |logits: &Tensor| true_probability(&logits.detach(), &batch.labels);
        let predicted = match self.settings.residual {
            Residual::Ensemble => of(previous)?,
            Residual::Separate => Tensor::stack(&earlier.iter().map(of).collect::<Result<Vec<_>>>()?, 0)?.sum(0)?,
        };
        Ok(predicted.affine(-self.settings.lambda, 1.)?)
    }

    /// Adds the batch to the scores of the epoch.
    fn count(&mut self, logits: &Tensor, m: usize, cx: &Step<'_>, report: &mut Report) -> Result<()> {
        let p = true_probability(&logits.detach(), &cx.batch.labels)?;
        let Some(mean) = mean_present(&p, m, cx.batch)? else { return Ok(()) };
        let samples = having(m, cx.batch)?;
        let sum = number(&mean)? * samples;
        report.scalar(format!("score.{}", cx.net.spec().modalities[m]), sum)?;
        self.tally[m] = (self.tally[m].0 + sum, self.tally[m].1 + samples);
        Ok(())
    }

    /// The prediction from each modality's summed logits.
    fn fused(&self, unimodal: &[Tensor], batch: &Batch) -> Result<Tensor> {
        let scores = log_weights(&self.weights, batch.labels.device())?;
        weighted_sum(unimodal, &shares(&scores, batch.len(), batch.present.as_ref())?)
    }
}

impl Infer for Boosting {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        let out = net.forward(batch, &mut Pass::eval())?;
        Ok(Output { logits: self.fused(&out.unimodal, batch)?, ..out })
    }
}

impl Stateful for Boosting {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("tally", &self.tally.iter().flat_map(|(sum, n)| [*sum, *n]).collect::<Vec<_>>())?;
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.tally = state.numbers("tally")?.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        Ok(())
    }
}
