//! A method of one's own and a network that it trains: `cargo run --release -p aim-examples --bin own_method`.
//!
//! `L = CE(fused) + weight CE(unimodal logits of the modality whose loss is largest)`

use std::ops::ControlFlow::Continue;

use aim_learn::{
    backbones::{MlpConfig, encoder},
    balance::joint::cross_entropy,
    config::between,
    fusion::{ConcatConfig, ModelConfig, fusion},
    prelude::*,
    train::{metrics, standard},
};

static ABOUT: MethodInfo = MethodInfo {
    name: "help-the-last",
    title: "Help the last",
    idea: "the modality with the largest loss of its own is trained by that loss, too",
    paper: "none",
    cost: "1 forward and 1 backward pass",
    departs: &[],
    requires: Requirements { capabilities: &[capability::UNIMODAL], ..Requirements::NONE },
    provenance: Provenance::Faithful,
    reports: &[],
    revision: 1,
};

settings! {
    /// Settings of `help-the-last`.
    pub struct HelpTheLast {
        /// Weight of the last modality's own loss; 0 is joint training.
        pub weight: f64 = 1. => between(0., 10.), "ours";
    }
}

impl MethodSettings for HelpTheLast {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::objective(self.clone()))
    }
}

impl Idle for HelpTheLast {}
impl Stateless for HelpTheLast {}

impl Objective for HelpTheLast {
    fn losses(&mut self, seen: &Seen<'_>, _: &mut Report) -> Result<Vec<Loss>> {
        let ce = |logits: &Tensor| cross_entropy(logits, seen.batch);
        let own = seen.out.unimodal.iter().map(ce).collect::<Result<Vec<_>>>()?;
        let last = Tensor::stack(&own, 0)?.max(0)?;
        Ok(vec![Loss::new("loss.ce", ce(&seen.out.logits)?), Loss::new("loss.last", last).times(self.weight)])
    }
}

fn main() -> Result<()> {
    let data = load(&dataset(Synth { train: 400, ..Synth::default() }), None)?;
    let mlp = |name: &String| (name.clone(), encoder(MlpConfig { widths: vec![32, 32], ..MlpConfig::default() }));
    let model = ModelConfig::new(data.modalities.iter().map(mlp), fusion(ConcatConfig {}));
    let net = LateFusion::new(&model, &data.named_shapes(), data.classes(), 0, &Device::Cpu)?;
    let method = method(HelpTheLast::default(), net.spec())?;
    let mut learner = Learner::new(Box::new(net), method, Adam::default().build(), 0, 5);
    while !learner.is_done() {
        learner.epoch(&Splits::new(&data, 64, &Device::Cpu), |_, _| Ok(Continue(())))?;
    }
    let answers = metrics::evaluate(learner.net(), learner.method(), &*data.validation, &Device::Cpu)?;
    let accuracy = answers.scores(&data.modalities, data.classes(), &standard().metrics)?.accuracy();
    println!("help-the-last: validation accuracy {accuracy:.3}");
    Ok(())
}
