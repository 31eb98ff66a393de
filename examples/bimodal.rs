//! A bimodal network trained with AIM from top to bottom, each crate by hand: no configuration file, no run folder.
//!
//! ```text
//! cargo run --release -p aim-examples --bin bimodal
//! ```

use std::ops::ControlFlow::Continue;

use aim_backbones::{CnnConfig, encoder};
use aim_balance::{
    aim::{AimSettings, Scope},
    method,
};
use aim_core::{Net, Result};
use aim_data::{Splits, Synth, dataset, load};
use aim_fusion::{ConcatConfig, LateFusion, ModelConfig, fusion};
use aim_optim::{Adam, Cosine, OptimizerSettings, schedule};
use aim_train::{Learner, metrics, standard};
use candle_core::Device;

const EPOCHS: usize = 5;
const BATCH: usize = 64;
const SEED: u64 = 0;

fn main() -> Result<()> {
    // Data: any three splits that implement `Source` will do; this set is generated.
    let data = load(&dataset(Synth { train: 1000, ..Synth::default() }), None)?;

    // Network: an encoder a modality, then a fusion.
    let cnn = || encoder(CnnConfig { widths: vec![16, 32, 64], ..CnnConfig::default() });
    let encoders = data.modalities.iter().map(|name| (name.clone(), cnn()));
    let model = ModelConfig::new(encoders, fusion(ConcatConfig {}));
    let net = LateFusion::new(&model, &data.named_shapes(), data.classes(), SEED, &Device::Cpu)?;

    // Method, optimizer and schedule.
    let method = method(AimSettings { scope: Scope::Each, ..AimSettings::default() }, net.spec())?;
    let cosine = schedule(Cosine::default());
    let mut learner = Learner::new(Box::new(net), method, Adam::default().build(), SEED, EPOCHS).schedule(&cosine);

    let splits = Splits::new(&data, BATCH, &Device::Cpu);
    for epoch in 0..EPOCHS {
        let mut losses = Vec::new();
        learner.epoch(&splits, |_, report| {
            losses.extend(report.values("loss")?.unwrap_or_default());
            Ok(Continue(()))
        })?;
        let answers = metrics::evaluate(learner.net(), learner.method(), &*data.validation, &Device::Cpu)?;
        let accuracy = answers.scores(&data.modalities, data.classes(), &standard().metrics)?.accuracy();
        let loss = losses.iter().sum::<f64>() / losses.len() as f64;
        println!("epoch {epoch}: loss {loss:.3}, validation accuracy {accuracy:.3}");
    }
    Ok(())
}
