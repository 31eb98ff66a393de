//! A method that keeps a fusion from always asking the same modality.
//!
//! ```text
//! L   = CE(fused) + weight sum over m of r_m v_m      v_m: mean vote of modality m in the batch
//! r_m <- keep r_m + (1 - keep) v_m                    its running mean, 1/M at first
//! ```

use aim_balance::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, joint::cross_entropy};
use aim_config::{below, between, settings};
use aim_core::{Error, Idle, Loss, NetSpec, Objective, Report, Result, Seen, State, Stateful};
use candle_core::DType;

use crate::fusion::VOTES;

static ABOUT: MethodInfo = MethodInfo {
    name: "even-votes",
    title: "Even votes",
    idea: "make it dear to ask the modality that has been asked most",
    paper: "none",
    cost: "1 forward and 1 backward pass",
    departs: &[],
    requires: Requirements { capabilities: &[VOTES], ..Requirements::NONE },
    provenance: Provenance::Faithful,
    reports: &[Quantity::modality("vote", "", "running mean of the vote")],
    revision: 1,
};

settings! {
    /// Settings of `even-votes`.
    pub struct EvenVotes {
        /// Weight of the votes in the loss.
        pub weight: f64 = 0.5 => between(0., 10.), "ours";
        /// Share of the running mean that a step keeps.
        pub keep: f64 = 0.9 => below(0., 1.), "ours";
    }
}

impl MethodSettings for EvenVotes {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let modalities = net.modalities.len();
        let running = vec![1. / modalities as f64; modalities];
        Ok(Built::objective(Even { settings: self.clone(), running }))
    }
}

/// The method in use.
struct Even {
    settings: EvenVotes,
    /// Running mean of each modality's vote.
    running: Vec<f64>,
}

impl Idle for Even {}

impl Objective for Even {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let EvenVotes { weight, keep } = self.settings;
        let missing = || Error::invalid("votes", "are missing", "use a fusion that gives them");
        let votes = seen.out.extras.get(VOTES.name()).ok_or_else(missing)?.mean(0)?;
        let prices: Vec<f32> = self.running.iter().map(|r| *r as f32).collect();
        let price = (&votes * candle_core::Tensor::new(prices, votes.device())?)?.sum_all()?;
        let now = votes.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        self.running.iter_mut().zip(now).for_each(|(r, v)| *r = keep * *r + (1. - keep) * v);
        for (name, running) in seen.net.spec().modalities.iter().zip(&self.running) {
            report.scalar(format!("vote.{name}"), *running)?;
        }
        let fused = cross_entropy(&seen.out.logits, seen.batch)?;
        Ok(vec![Loss::new("loss.ce", fused), Loss::new("loss.votes", price).times(weight)])
    }
}

impl Stateful for Even {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("running", &self.running)?;
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.running = state.numbers("running")?;
        Ok(())
    }
}
