//! Greedy (Wu et al., ICML 2022, arXiv 2202.05306): the modality that learns fastest through what the others tell it is
//! for a while told only what they told it on average. Here the exchange takes place between the features.
//!
//! ```text
//! bypass_m: the layer that sets m's gate from all features;   main_m: encoder and head of m
//! s_m = log10( (|g|^2 / |w|^2 over bypass_m) / (|g|^2 / |w|^2 over main_m) )     conditional learning speed in a step
//! if max s - min s > alpha: for the next `window` steps, the gate of the modality with the largest s
//! is its running mean
//! ```
//! A gate that is held has no gradient, so its layer is left alone. The running mean is over all steps and samples so
//! far in which the gate was free. Evaluation uses free gates.

mod gate;
mod speed;

use aim_config::{at_least, between, settings};
use aim_core::{
    FeatureOp, GradFn, Grads, Idle, Kept, Net, NetSpec, Pass, Plain, Report, Result, Site, State, Stateful, Step,
    capability,
};

use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, joint::cross_entropy};

use gate::{Gate, Hold};
use speed::{fastest, speed};

/// Card of [`Greedy`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "greedy",
    title: "Greedy (analogue)",
    idea: "hold the gate through which a modality learns faster from the others than by itself",
    paper: "Wu et al., ICML 2022 (arXiv 2202.05306); gates between features",
    cost: "1 forward and 1 backward pass, and the norms of weights and gradients",
    departs: &[
        "Gates stand between the features behind the encoders; the paper's stand between blocks inside them.",
        "Held is the gate of the modality with the largest speed, our reading: the sources at hand say that signals \
        are frozen, not whose.",
        "Speeds are those of one step over all parameters of a part together, because the sources at hand leave open \
        whether ratios are summed over layers or steps.",
        "With more than two modalities the largest speed is compared with the smallest, because the paper's difference \
        has two sides.",
    ],
    requires: Requirements { capabilities: &[capability::GATES], ..Requirements::NONE },
    provenance: Provenance::Analogue,
    reports: &[
        Quantity::modality("held", "", "1 where its gate is held, else 0"),
        Quantity::modality("speed", "", "conditional learning speed, a logarithm to base 10"),
    ],
    revision: 1,
};

settings! {
    /// Settings of `greedy`.
    pub struct Greedy {
        /// Difference of speeds that starts a window.
        pub alpha: f64 = 0.001 => between(0., 1000.), "third party";
        /// Steps for which a gate is held; 0 is joint training.
        pub window: usize = 5 => at_least(0).unit("steps"), "third party";
    }
}

impl MethodSettings for Greedy {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let gates = vec![Gate::default(); net.modalities.len()];
        Ok(Built::grads(Conditioned { settings: self.clone(), gates, held: 0, left: 0 }))
    }
}

struct Conditioned {
    settings: Greedy,
    gates: Vec<Gate>,
    /// Whose gate is held, for how many more steps.
    held: usize,
    left: usize,
}

impl Idle for Conditioned {}
impl Plain for Conditioned {}

impl GradFn for Conditioned {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let mut report = Report::default();
        let mean = self.held().and_then(|m| Some((m, self.gates[m].mean.clone()?)));
        let mut ops: Vec<Box<dyn FeatureOp>> = mean.map(|(m, mean)| Box::new(Hold(m, mean)) as _).into_iter().collect();
        let mut pass = Pass::train(cx.draws()).ops(&mut ops).keep();
        let out = cx.net.forward(cx.batch, &mut pass)?;
        self.learn(&pass.into_kept())?;
        let loss = cross_entropy(&out.logits, cx.batch)?;
        let grads = Grads::of(&loss, cx.net.params())?;
        report.note("logits", &out.logits);
        report.note("loss", &loss);
        self.decide(cx.net, &grads, &mut report)?;
        Ok((grads, report))
    }
}

impl Conditioned {
    fn held(&self) -> Option<usize> {
        (self.left > 0).then_some(self.held)
    }

    fn learn(&mut self, kept: &Kept) -> Result<()> {
        let held = self.held();
        for (modality, own) in self.gates.iter_mut().enumerate().filter(|(m, _)| held != Some(*m)) {
            own.learn(&kept.pooled(Site::Gate { modality })?)?;
        }
        Ok(())
    }

    /// Ends a step of a window, or measures whether one begins with the next step.
    fn decide(&mut self, net: &dyn Net, grads: &Grads, report: &mut Report) -> Result<()> {
        let names = &net.spec().modalities;
        for (m, name) in names.iter().enumerate() {
            report.scalar(format!("held.{name}"), f64::from(u8::from(self.held() == Some(m))))?;
        }
        if self.left > 0 {
            self.left -= 1;
            return Ok(());
        }
        let speeds = (0..names.len()).map(|m| speed(net.params(), grads, m)).collect::<Result<Vec<_>>>()?;
        for (name, speed) in names.iter().zip(&speeds) {
            report.scalar(format!("speed.{name}"), *speed)?;
        }
        if let Some(fastest) = fastest(&speeds, self.settings.alpha) {
            (self.held, self.left) = (fastest, self.settings.window);
        }
        Ok(())
    }
}

impl Stateful for Conditioned {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("window", &[self.held as f64, self.left as f64])?;
        for (m, gate) in self.gates.iter().enumerate() {
            state.put(format!("steps.{m}"), &[gate.steps as f64])?;
            state.0.extend(gate.mean.iter().map(|mean| (format!("mean.{m}"), mean.clone())));
        }
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        let window = state.numbers("window")?;
        if let [held, left] = window[..] {
            (self.held, self.left) = (held as usize, left as usize);
        }
        for (m, gate) in self.gates.iter_mut().enumerate() {
            gate.steps = state.number(&format!("steps.{m}"))? as usize;
            gate.mean = state.0.get(&format!("mean.{m}")).cloned();
        }
        Ok(())
    }
}
