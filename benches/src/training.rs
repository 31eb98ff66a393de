//! A network in training on one random batch.

use std::sync::Arc;

use aim_balance::MethodSpec;
use aim_config::yaml::parse;
use aim_core::{Alone, Batch, Clock, Net, NetSpec, Prepared, Report, Result, Rng, View};
use aim_data::{Dataset, Source, Splits, Subset};
use aim_fusion::LateFusion;
use aim_optim::{OptimizerSettings, Sgd};
use aim_train::Learner;
use candle_core::Device;

use crate::preset::Preset;

const SEED: u64 = 0;
/// The second epoch of two: past AIM's warm-up, and where methods of two stages do their own work.
const EPOCH: Clock = Clock { epoch: 1, epochs: 2, step: 1000, batch: 0, steps_per_epoch: 1000 };

/// A preset's network with an optimizer, a method and a batch.
pub struct Training {
    learner: Learner,
    batch: Batch,
    clock: Clock,
}

impl Training {
    /// Ready to take steps of the method that a config section (or a name) describes.
    ///
    /// # Errors
    /// If the section is wrong or does not fit the network.
    pub fn new(preset: &Preset, method: &str, batch: usize, device: &Device) -> Result<Self> {
        let method = MethodSpec::read(aim_balance::builtin(), &parse(method)?)?;
        let (model, modalities) = (preset.model(&method)?, preset.modalities());
        let net = LateFusion::new(&model, &modalities, preset.classes, SEED, device)?;
        let opt = Sgd { lr: 0.001, momentum: 0.9, weight_decay: 0.0001, ..Sgd::default() };
        let (built, prepared) = (method.build(net.spec())?, prepared(&method, &net, device)?);
        let mut learner = Learner::new(Box::new(net), built, opt.build(), SEED, EPOCH.epochs).prepared(prepared);
        let data = random_data(&modalities, preset.classes, batch)?;
        learner.begin(&Splits::new(&data, batch, device), EPOCH)?;
        let batch = data.train.batch(&(0..batch).collect::<Vec<_>>(), device)?;
        Ok(Self { learner, batch, clock: EPOCH })
    }

    /// One whole step: forward, backward, modulation, update.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn step(&mut self) -> Result<Report> {
        let report = self.learner.step(&self.batch, self.clock)?;
        self.clock.step += 1;
        self.clock.batch += 1;
        self.batch.labels.device().synchronize()?;
        Ok(report)
    }
}

/// What a method wants to have been trained before: the network's first weights will do.
fn prepared(method: &MethodSpec, net: &LateFusion, device: &Device) -> Result<Prepared> {
    let NetSpec { modalities, widths, classes, .. } = net.spec();
    if method.preparations(modalities).is_empty() {
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

/// One batch, which is every split.
fn random_data(modalities: &[(String, Vec<usize>)], classes: usize, size: usize) -> Result<Dataset> {
    let mut rng = Rng::keyed(SEED, "batch");
    let labels: Vec<u32> = (0..size).map(|_| rng.below(classes) as u32).collect();
    let input =
        |(_, shape): &(String, Vec<usize>)| rng.normal_tensor(&[&[size], &shape[..]].concat(), 1., &Device::Cpu);
    let inputs = modalities.iter().map(input).collect::<Result<_>>()?;
    let train: Arc<dyn Source> = Arc::new(Subset::new(inputs, labels, (0..size).map(|i| i.to_string()).collect())?);
    Ok(Dataset {
        name: "random".into(),
        modalities: modalities.iter().map(|(name, _)| name.clone()).collect(),
        class_names: (0..classes).map(|c| c.to_string()).collect(),
        validation: train.clone(),
        test: train.clone(),
        train,
    })
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
