//! A network in training on one random batch.

use std::sync::Arc;

use aim_balance::MethodSpec;
use aim_config::yaml::parse;
use aim_core::{Alone, Batch, Clock, Net, NetSpec, Prepared, Report, Result, Rng, View};
use aim_data::{Dataset, Source, Splits, Subset};
use aim_fusion::LateFusion;
use aim_optim::{OptimizerSettings, Sgd};
use aim_train::Learner;
use candle_core::{Device, Tensor};

use crate::preset::{Input, Preset};

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
        let data = random_data(preset, batch)?;
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

    /// Number of values that are trained.
    pub fn parameters(&self) -> usize {
        self.learner.net().params().iter().map(|(_, param)| param.var.elem_count()).sum()
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
fn random_data(preset: &Preset, size: usize) -> Result<Dataset> {
    let mut rng = Rng::keyed(SEED, "batch");
    let labels: Vec<u32> = (0..size).map(|_| rng.below(preset.classes) as u32).collect();
    let values = |input: &Input| {
        let shape = [&[size], input.shape].concat();
        let values: Vec<f32> = (0..shape.iter().product()).map(|_: usize| input.value(&mut rng)).collect();
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    };
    let inputs = preset.inputs.iter().map(values).collect::<Result<_>>()?;
    let train: Arc<dyn Source> = Arc::new(Subset::new(inputs, labels, (0..size).map(|i| i.to_string()).collect())?);
    Ok(Dataset {
        name: "random".into(),
        modalities: preset.inputs.iter().map(|input| input.name.into()).collect(),
        class_names: (0..preset.classes).map(|c| c.to_string()).collect(),
        validation: train.clone(),
        test: train.clone(),
        train,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PRESETS;

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

    /// Those of torchvision's, timm's and Hugging Face's models without classifier and pooler, of stems for one channel
    /// where sound is read, and of the head.
    #[test]
    fn networks_have_the_parameters_of_the_published_ones() {
        let (resnet18, resnet50, fewer_channels) = (11_689_512 - 513_000, 25_557_032 - 2_049_000, 2 * 64 * 49);
        let (minilm, vit_tiny) = (22_713_216 - 147_840, 5_717_416 - 193_000);
        let want = [
            ("resnet18-av", 2 * resnet18 - fewer_channels + (1024 + 1) * 6),
            ("cnn-av", (144 + 32 + 4608 + 64 + 18_432 + 128) + (864 + 32 + 4608 + 64 + 18_432 + 128) + (128 + 1) * 51),
            ("mlp-tri", (101 + 74 + 101) * 256 + 6 * 257 * 256 + (768 + 1) * 2),
            ("vit-av", 2 * vit_tiny + (384 + 1) * 6),
            ("bert-vit", minilm + vit_tiny + (576 + 1) * 6),
            ("resnet50-av", 2 * resnet50 - fewer_channels + (4096 + 1) * 6),
        ];
        let parameters =
            |preset: &Preset| (preset.name, Training::new(preset, "joint", 2, &Device::Cpu).unwrap().parameters());
        assert_eq!(PRESETS.iter().map(parameters).collect::<Vec<_>>(), want);
    }

    #[test]
    fn words_are_ids_that_stand_for_no_padding() {
        let preset = Preset::named("bert-vit").unwrap();
        let ids = Training::new(preset, "joint", 64, &Device::Cpu).unwrap().batch.inputs[0].values.clone();
        let ids = ids.to_vec2::<f32>().unwrap().concat();
        assert_eq!(ids.len(), 64 * 32);
        assert!(ids.iter().all(|id| id.fract() == 0. && (1. ..30_522.).contains(id)), "{ids:?}");
        assert!(ids.iter().any(|id| *id > 29_000.), "ids come from the whole vocabulary");
    }

    #[test]
    fn steps_train_and_are_the_same_every_time() {
        for (name, batch) in [("cnn-av", 8), ("bert-vit", 4)] {
            let preset = Preset::named(name).unwrap();
            let losses = || {
                let mut training = Training::new(preset, "joint", batch, &Device::Cpu).unwrap();
                (0..5).map(|_| training.step().unwrap().values("loss").unwrap().unwrap()[0]).collect::<Vec<_>>()
            };
            let first = losses();
            assert!(first[4] < first[0], "{name}: {first:?}");
            assert_eq!(first, losses(), "{name}");
        }
    }
}
