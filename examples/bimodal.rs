//! A bimodal network trained with AIM from top to bottom, each crate by hand: no configuration file, no run folder.
//!
//! ```text
//! cargo run --release -p aim-examples --bin bimodal
//! ```

use std::collections::BTreeMap;

use aim_backbones::EncoderConfig;
use aim_core::{Batch, Clock, EpochStart, Net, Pass, Prepared, Result, Samples, Split, Step};
use aim_data::{Dataset, Loader};
use aim_fusion::{FusionConfig, LateFusion, ModelConfig};
use aim_optim::{OptimConfig, ScheduleConfig, Scheduler};
use candle_core::{D, Device};

const EPOCHS: usize = 5;
const BATCH: usize = 64;
const SEED: u64 = 0;

fn main() -> Result<()> {
    let device = Device::Cpu;

    // Data: any three splits of (input a modality, label) will do; this set is generated.
    let data = aim_data::load(&yaml("{name: synth-av, train: 1000}")?, None)?;

    // Network: an encoder a modality, then a fusion.
    let cnn = || EncoderConfig::Cnn { widths: vec![16, 32, 64], lora: None };
    let model = ModelConfig {
        modalities: None,
        encoders: BTreeMap::from([("sound".into(), cnn()), ("image".into(), cnn())]),
        fusion: FusionConfig::Concat,
        uni_heads: false,
        feature_norm: false,
    };
    let modalities: Vec<_> = data.modalities.iter().cloned().zip(data.shapes()).collect();
    let net = LateFusion::new(&model, &modalities, data.classes(), SEED, &device)?;

    // Optimizer and schedule.
    let config = OptimConfig::default();
    let mut opt = config.build();
    let schedule = Scheduler::new(&ScheduleConfig::Cosine { min: 0., warmup: 0 }, config.lr(), EPOCHS);

    // Method: any card's name would do here.
    let mut method = aim_balance::build(&yaml("{name: aim, scope: each}")?, net.spec())?;

    let loader = Loader::new(&data.train, BATCH, &device);
    let mut clock = Clock { epochs: EPOCHS, ..Clock::default() };
    for epoch in 0..EPOCHS {
        (clock.epoch, clock.batch, clock.steps_per_epoch) = (epoch, 0, loader.batches());
        schedule.before_epoch(epoch, opt.as_mut());
        let samples = InMemory { data: &data, device: &device };
        let (opt, samples) = (opt.as_mut(), &samples);
        let prepared = &Prepared::default();
        let mut start = EpochStart { net: &net, opt, samples, prepared, clock, seed: SEED, extra: vec![] };
        method.before_epoch(&mut start)?;
        let batches = loader.epoch_with(SEED, epoch, start.extra);
        clock.steps_per_epoch = batches.len();
        let mut loss = 0.;
        for batch in batches {
            let batch = batch?;
            let report =
                method.step(&mut Step { net: &net, opt: &mut *opt, batch: &batch, clock, seed: SEED, trace: false })?;
            loss += report.values("loss")?.map_or(0., |l| l[0]);
            (clock.step, clock.batch) = (clock.step + 1, clock.batch + 1);
        }
        let accuracy = accuracy(&net, &data, &device)?;
        println!("epoch {epoch}: loss {:.3}, validation accuracy {accuracy:.3}", loss / clock.steps_per_epoch as f64);
    }
    Ok(())
}

/// Share of validation samples whose class is predicted.
fn accuracy(net: &dyn Net, data: &Dataset, device: &Device) -> Result<f64> {
    let mut right = 0;
    for batch in Loader::new(&data.validation, BATCH, device).in_order() {
        let batch = batch?;
        let predicted = net.forward(&batch, &mut Pass::eval())?.logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
        right += predicted.iter().zip(batch.labels.to_vec1::<u32>()?).filter(|(p, y)| *p == y).count();
    }
    Ok(right as f64 / data.validation.len() as f64)
}

/// What methods that look at whole splits between epochs are given.
struct InMemory<'a> {
    data: &'a Dataset,
    device: &'a Device,
}

impl InMemory<'_> {
    fn loader(&self, split: Split) -> Loader<'_> {
        let subset = match split {
            Split::Train => &self.data.train,
            Split::Validation => &self.data.validation,
        };
        Loader::new(subset, BATCH, self.device)
    }
}

impl Samples for InMemory<'_> {
    fn each(&self, split: Split, visit: &mut dyn FnMut(&Batch) -> Result<()>) -> Result<()> {
        self.loader(split).in_order().try_for_each(|batch| visit(&batch?))
    }
    fn shuffled(&self, split: Split, seed: u64, visit: &mut dyn FnMut(&Batch) -> Result<()>) -> Result<()> {
        self.loader(split).epoch(seed, 0).try_for_each(|batch| visit(&batch?))
    }
}

fn yaml(text: &str) -> Result<serde_yaml::Value> {
    serde_yaml::from_str(text).map_err(|e| aim_core::Error::invalid("example", e.to_string(), "mend the YAML"))
}
