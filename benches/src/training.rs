//! A network in training on one random batch.

use aim_core::{
    Alone, Batch, Clock, EpochStart, Method, Net, NetSpec, Optim, Prepared, Report, Result, Rng, Samples, Split, Step,
    View,
};
use aim_fusion::LateFusion;
use aim_optim::OptimConfig;
use candle_core::{Device, Tensor};
use serde_yaml::Value;

use crate::preset::{Preset, parse};

const SEED: u64 = 0;
/// The second epoch of two: past AIM's warm-up, and where methods of two stages do their own work.
const EPOCH: Clock = Clock { epoch: 1, epochs: 2, step: 1000, batch: 0, steps_per_epoch: 1000 };

/// A preset's network with an optimizer, a method and a batch.
pub struct Training {
    net: LateFusion,
    method: Box<dyn Method>,
    opt: Box<dyn Optim>,
    batch: Batch,
    clock: Clock,
}

impl Training {
    /// Ready to take steps of the method that a config section (or a name) describes.
    ///
    /// # Errors
    /// If the section is wrong or does not fit the network.
    pub fn new(preset: &Preset, method: &str, batch: usize, device: &Device) -> Result<Self> {
        let method = parse(method)?;
        let (model, modalities) = (preset.model(&method)?, preset.modalities());
        let net = LateFusion::new(&model, &modalities, preset.classes, SEED, device)?;
        let opt: OptimConfig = parse("{name: sgd, lr: 0.001, momentum: 0.9, weight_decay: 0.0001}")?;
        let mut this = Self {
            method: aim_balance::build(&method, net.spec())?,
            opt: opt.build(),
            batch: random_batch(&modalities, preset.classes, batch, device)?,
            clock: EPOCH,
            net,
        };
        this.begin(&prepared(&method, &this.net, device)?)?;
        Ok(this)
    }

    /// What the method does before its epoch.
    fn begin(&mut self, prepared: &Prepared) -> Result<()> {
        let (net, opt, samples, clock) = (&self.net, self.opt.as_mut(), &One(&self.batch), self.clock);
        self.method.before_epoch(&mut EpochStart { net, opt, samples, prepared, clock, seed: SEED, extra: vec![] })
    }

    /// One whole step: forward, backward, modulation, update.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn step(&mut self) -> Result<Report> {
        let (net, opt, batch, clock) = (&self.net, self.opt.as_mut(), &self.batch, self.clock);
        let report = self.method.step(&mut Step { net, opt, batch, clock, seed: SEED, trace: false })?;
        self.clock.step += 1;
        self.clock.batch += 1;
        self.batch.labels.device().synchronize()?;
        Ok(report)
    }
}

/// What a method wants to have been trained before: the network's first weights will do.
fn prepared(method: &Value, net: &LateFusion, device: &Device) -> Result<Prepared> {
    let NetSpec { modalities, widths, classes, .. } = net.spec();
    if aim_balance::preparations(method, modalities)?.is_empty() {
        return Ok(Prepared::default());
    }
    let joint: View = net.params().snapshot()?.into_iter().map(|(name, value)| (name.into(), value)).collect();
    let alone = |(modality, width): (&String, &usize)| {
        let prefix = format!("encoders.{modality}.");
        let of_it = joint.iter().filter(|(name, _)| name.starts_with(&prefix));
        let encoder = of_it.map(|(name, value)| (name.clone(), value.clone())).collect();
        let mut rng = Rng::keyed(SEED, modality);
        let weight = rng.normal_tensor(&[*classes, *width], 0.1, device)?;
        let bias = rng.normal_tensor(&[*classes], 0.1, device)?;
        Ok((modality.clone(), Alone { encoder, weight, bias }))
    };
    let alone = modalities.iter().zip(widths).map(alone).collect::<Result<_>>()?;
    Ok(Prepared { alone, joint: Some(joint) })
}

fn random_batch(modalities: &[(String, Vec<usize>)], classes: usize, size: usize, device: &Device) -> Result<Batch> {
    let mut rng = Rng::keyed(SEED, "batch");
    let labels: Vec<u32> = (0..size).map(|_| rng.below(classes) as u32).collect();
    let input = |(_, shape): &(String, Vec<usize>)| rng.normal_tensor(&[&[size], &shape[..]].concat(), 1., device);
    Batch::new(modalities.iter().map(input).collect::<Result<_>>()?, Tensor::new(labels, device)?)
}

/// A split of one batch.
struct One<'a>(&'a Batch);

impl Samples for One<'_> {
    fn each(&self, _: Split, visit: &mut dyn FnMut(&Batch) -> Result<()>) -> Result<()> {
        visit(self.0)
    }
    fn shuffled(&self, split: Split, _: u64, visit: &mut dyn FnMut(&Batch) -> Result<()>) -> Result<()> {
        self.each(split, visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_gets_the_heads_that_it_needs() {
        let preset = Preset::named("mlp-tri").unwrap();
        for method in ["joint", "{name: ogm-ge, alpha: 0.5}", "reconboost", "lora", "umt", "[opm, ogm]"] {
            let mut training =
                Training::new(preset, method, 4, &Device::Cpu).unwrap_or_else(|e| panic!("{method}: {e}"));
            training.step().unwrap_or_else(|e| panic!("{method}: {e}"));
        }
        let refused = Training::new(preset, "{name: ogm, beta: 1}", 4, &Device::Cpu).err().map(|e| e.to_string());
        assert!(refused.unwrap().contains("beta"));
    }

    #[test]
    fn steps_train_and_are_the_same_every_time() {
        let preset = Preset::named("cnn-av").unwrap();
        let losses = || {
            let mut training = Training::new(preset, "joint", 8, &Device::Cpu).unwrap();
            (0..5).map(|_| training.step().unwrap().values("loss").unwrap().unwrap()[0]).collect::<Vec<_>>()
        };
        let first = losses();
        assert!(first[4] < first[0], "{first:?}");
        assert_eq!(first, losses());
    }
}
