//! IGM: interactive multimodal learning by flat gradient modification (Jiang, Chi & Yang, IJCAI 2025; as MIE arXiv
//! 2407.04587): modalities are trained in turn, and a head's gradient keeps to directions flat for the one before.
//!
//! ```text
//! stage: encoder and head of one modality are trained
//!   g  = (1 - lambda) grad L(theta) + lambda grad L(theta + rho grad L / |grad L|)        L: cross-entropy, mixed up
//!   each layer W of the head:  gradient <- gradient T
//! after it, for the input x of each layer of its head over the training set:
//!   Cov = sum over batches of mean(x)^T mean(x)   or   sum of x^T x;   Cov = V diag(s) V^T
//!   T   = V diag(exp(-tau (s - s_min) / (s_max - s_min))) V^T;   T = 1 where all s are equal
//! ```
//! Layer k of one head belongs to layer k of the next; where their widths differ the gradient is left alone. The perturbation
//! is undone and reaches encoder and head (in the released code it is never undone, reaches the head alone and, at 1e-10, has
//! no effect). rho 0.05 is ours, tau and lambda are released. Predictions are the mean of the probabilities. Samples that lack
//! the modality take no part in its stage, and a modality that is missing none in the prediction.

mod flat;

use aim_core::{
    Batch, EpochStart, EpochWork, Error, GradFn, Grads, Infer, Net, NetSpec, Output, Part, Pass, Report, Result, State,
    Stateful, Step,
};
use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

pub use self::flat::{Covariance, accumulate, matrix};
use crate::card::{About, Needs, Setting, Settings, within};
use crate::joint::cross_entropy;
use crate::stack::Built;
use crate::util::{Still, ascent, number, present_mean, sample_losses};

/// Card of [`Igm`].
pub static ABOUT: About = About {
    name: "igm",
    title: "IGM",
    idea: "train modalities in turn; a head learns where the head before it is flat",
    paper: "Jiang, Chi & Yang, IJCAI 2025 (MIE: arXiv 2407.04587)",
    cost: "2 forward and 2 backward passes of one encoder and its head; stage: one pass over the training split and an \
    eigendecomposition a head layer",
    departs: &[
        "The perturbation has one norm, is undone and reaches encoder and head; the released one has a norm a tensor, \
        stays, and reaches the head alone.",
        "rho is ours, because at the released 1e-10 nothing moves.",
        "The perturbed pass keeps the mixed labels; the released one compares mixed inputs with unmixed labels.",
        "Layer k belongs to layer k of the next head; the released code matches layers by their shape.",
        "Stages are parts of one run with one optimizer; the released code starts each from a checkpoint chosen on the \
        test split.",
    ],
    settings: &[
        Setting::new("order", "the network's", "modalities", "who is trained in turn", "ours"),
        Setting::new("stage_epochs", "1", "1 or more", "epochs of a stage", "ours"),
        Setting::new("rho", "0.05", "0 to 100", "radius", "ours"),
        Setting::new("lambda", "0.3", "0 to 1", "share of the perturbed gradient", "released code"),
        Setting::new("tau", "0.4", "0 to 100", "suppression; 0 changes no gradient", "released code"),
        Setting::new("mixup", "true", "true | false", "mix pairs of samples", "released code"),
        Setting::new(
            "covariance",
            "batch_mean",
            "batch_mean | per_sample",
            "inputs of a layer: their batch means, or all",
            "released code",
        ),
    ],
    needs: Needs { unimodal: true, deep_heads: true, ..Needs::NONE },
};

/// Settings of `igm`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Igm {
    /// Who is trained in turn; the network's order by default.
    pub order: Option<Vec<String>>,
    /// Epochs of a stage.
    pub stage_epochs: usize,
    /// Radius.
    pub rho: f64,
    /// Share of the perturbed gradient.
    pub lambda: f64,
    /// Suppression.
    pub tau: f64,
    /// Mix pairs of samples.
    pub mixup: bool,
    /// Which inputs enter the covariance.
    pub covariance: Covariance,
}

impl Default for Igm {
    fn default() -> Self {
        let covariance = Covariance::BatchMean;
        Self { order: None, stage_epochs: 1, rho: 0.05, lambda: 0.3, tau: 0.4, mixup: true, covariance }
    }
}

impl Settings for Igm {
    fn check(&self) -> Result<()> {
        within("stage_epochs", self.stage_epochs as f64, 1., f64::MAX)?;
        within("rho", self.rho, 0., 100.)?;
        within("lambda", self.lambda, 0., 1.)?;
        within("tau", self.tau, 0., 100.)
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        let order = crate::card::order("order", self.order.as_deref(), net)?;
        Ok(Built::grads(Turns { settings: self, order, matrices: vec![] }))
    }
}

struct Turns {
    settings: Igm,
    order: Vec<usize>,
    /// T of each layer of the head trained before; none in the first stage.
    matrices: Vec<Tensor>,
}

/// Pairs of samples and the share of the first of each.
struct Mix {
    partner: Tensor,
    share: f64,
}

impl Turns {
    fn active(&self, epoch: usize) -> usize {
        self.order[epoch / self.settings.stage_epochs % self.order.len()]
    }

    fn mix(&self, cx: &Step<'_>) -> Result<Option<Mix>> {
        if !self.settings.mixup {
            return Ok(None);
        }
        let mut rng = cx.draws().rng("igm.mix");
        let partner = match cx.given("mix_perm") {
            Some(given) => given.to_dtype(DType::U32)?,
            None => {
                let order = rng.permutation(cx.batch.len()).into_iter().map(|i| i as u32);
                Tensor::new(order.collect::<Vec<_>>(), cx.batch.labels.device())?
            }
        };
        // Beta(1, 1) is uniform.
        let share = cx.given("mix_lambda").map(|t| number(&t.flatten_all()?.get(0)?)).transpose()?;
        Ok(Some(Mix { partner, share: share.unwrap_or_else(|| rng.uniform()) }))
    }
}

/// Logits of modality m alone, and their loss.
fn unimodal(net: &dyn Net, cx: &Step<'_>, m: usize, mix: Option<&Mix>) -> Result<(Tensor, Tensor)> {
    let (x, mut pass) = (&cx.batch.inputs[m], Pass::train(cx.draws()));
    let x = match mix {
        None => x.clone(),
        Some(Mix { partner, share }) => ((x * *share)? + (x.index_select(partner, 0)? * (1. - share))?)?,
    };
    let own = net.encode(m, &x, &mut pass)?;
    let blank = |width: &usize| Tensor::zeros((cx.batch.len(), *width), own.dtype(), own.device());
    let mut features: Vec<Tensor> = net.spec().widths.iter().map(blank).collect::<candle_core::Result<_>>()?;
    features[m] = own;
    let logits = net.fuse(features, None, &mut pass)?.unimodal.swap_remove(m);
    let loss = match mix {
        None => cross_entropy(&logits, cx.batch)?,
        Some(Mix { partner, share }) => {
            let labels = cx.batch.labels.index_select(partner, 0)?;
            let other = Batch { labels, ..cx.batch.clone() };
            let own = (cross_entropy(&logits, cx.batch)? * *share)?;
            (own + (sample_losses(&logits, &other)?.mean_all()? * (1. - share))?)?
        }
    };
    Ok((logits, loss))
}

impl GradFn for Turns {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let m = self.active(cx.clock.epoch);
        match cx.batch.having(m)? {
            None => self.stage(m, cx),
            Some(own) if own.is_empty() => Ok(Default::default()),
            Some(own) => self.stage(m, &mut Step { batch: &own, opt: &mut *cx.opt, ..*cx }),
        }
    }
}

impl Turns {
    /// The gradient of modality m's encoder and head.
    fn stage(&self, m: usize, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let (mut report, params) = (Report::default(), cx.net.params());
        let mix = self.mix(cx)?;
        let (logits, loss) = unimodal(cx.net, cx, m, mix.as_ref())?;
        report.note("logits", &logits);
        report.note("loss", &loss);
        let own = |role: aim_core::Role| role.encoder() == Some(m) || role.part == Part::Head { modality: Some(m) };
        let plain = Grads::of(&loss, params)?.filter(params, own);
        report.scalar("grad_norm", plain.norm()?)?;
        let (perturbed, loss) = cx.nudged(&ascent(&plain, self.settings.rho)?, |cx| {
            let (_, loss) = unimodal(&Still(cx.net), cx, m, mix.as_ref())?;
            Ok((Grads::of(&loss, params)?.filter(params, own), loss))
        })?;
        report.note("loss.perturbed", &loss);
        let mut grads = plain.scaled(1. - self.settings.lambda)?;
        grads.add_scaled(&perturbed, self.settings.lambda)?;
        if cx.trace {
            grads.iter().for_each(|(name, grad)| report.note(format!("grad_raw.{name}"), grad));
        }
        let mut layer = self.matrices.iter();
        grads.map(params, |_, role, grad| {
            if !(role.is_weight() && matches!(role.part, Part::Head { .. })) {
                return Ok(None);
            }
            let fitting = layer.next().filter(|t| t.dim(0).ok() == grad.dim(1).ok());
            Ok(fitting.map(|t| grad.matmul(t)).transpose()?)
        })?;
        Ok((grads, report))
    }
}

impl EpochWork for Turns {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        let epoch = cx.clock.epoch;
        if epoch == 0 || !epoch.is_multiple_of(self.settings.stage_epochs) || self.settings.tau == 0. {
            return Ok(());
        }
        let Igm { tau, covariance, .. } = self.settings;
        self.matrices = flat::matrices(cx, self.active(epoch - 1), tau, covariance)?;
        Ok(())
    }
}

impl Infer for Turns {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        let out = net.forward(batch, &mut Pass::eval())?;
        let p = out.unimodal.iter().map(aim_ops::softmax).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Output { logits: (present_mean(&p, batch)? + 1e-30)?.log()?, ..out })
    }
}

impl Stateful for Turns {
    fn state(&self) -> Result<State> {
        Ok(State(self.matrices.iter().enumerate().map(|(k, t)| (format!("T.{k}"), t.clone())).collect()))
    }
    fn load(&mut self, state: &State) -> Result<()> {
        let matrices = state.part("T");
        let layer = |k: usize| matrices.0.get(&k.to_string()).cloned();
        self.matrices = (0..).map_while(layer).collect();
        if self.matrices.len() != matrices.0.len() {
            return Err(Error::invalid("state `T`", "has a gap", "resume with the state that was saved"));
        }
        Ok(())
    }
}
