//! A data set that is generated: waves whose number tells the class plainly, and pulses whose width does under noise.

use std::{path::Path, sync::Arc};

use aim_config::{Rule, at_least, between, settings, whole};
use aim_core::{Result, Rng};
use aim_data::{Dataset, DatasetInfo, DatasetSettings, Source, Subset};
use candle_core::{Device, Tensor};

const CLASSES: usize = 3;
const TIME: usize = 24;

static ABOUT: DatasetInfo = DatasetInfo {
    name: "pulses",
    about: "generated: three classes of waves and pulses",
    modalities: "wave [1, 24], pulse [1, 24]",
    needs_root: false,
};

const SAMPLES: Rule = whole(CLASSES as u64, 10_000).unit("samples");

settings! {
    /// Settings of the data set `pulses`.
    pub struct Pulses {
        /// Size of the training split.
        pub train: usize = 60 => SAMPLES, "ours";
        /// Size of the validation split, and of the test split.
        pub held_out: usize = 30 => SAMPLES, "ours";
        /// Standard deviation of the noise on the pulses.
        pub noise: f64 = 0.5 => between(0., 10.), "ours";
        /// The set that is drawn; the same for every seed of training.
        pub seed: u64 = 0 => at_least(0), "ours";
    }
}

impl DatasetSettings for Pulses {
    fn info(&self) -> &'static DatasetInfo {
        &ABOUT
    }
    fn load(&self, _: Option<&Path>) -> Result<Dataset> {
        Ok(Dataset {
            name: ABOUT.name.into(),
            modalities: vec!["wave".into(), "pulse".into()],
            class_names: ["one", "two", "three"].map(Into::into).to_vec(),
            train: self.split("train", self.train)?,
            validation: self.split("validation", self.held_out)?,
            test: self.split("test", self.held_out)?,
        })
    }
}

impl Pulses {
    fn split(&self, name: &str, samples: usize) -> Result<Arc<dyn Source>> {
        let of = |modality, noise, signal| self.signals(&format!("{modality}.{name}"), samples, noise, signal);
        let inputs = vec![of("wave", 0.2, wave)?, of("pulse", self.noise, pulse)?];
        let labels = (0..samples).map(|i| (i % CLASSES) as u32).collect();
        let ids = (0..samples).map(|i| format!("{name}.{i}")).collect();
        Ok(Arc::new(Subset::new(inputs, labels, ids)?))
    }

    /// A signal a sample, under noise that `key` draws.
    fn signals(&self, key: &str, samples: usize, noise: f64, signal: fn(usize, usize) -> f64) -> Result<Tensor> {
        let mut rng = Rng::keyed(self.seed, key);
        let value = |k: usize| (signal(k / TIME % CLASSES, k % TIME) + noise * rng.normal()) as f32;
        let values = (0..samples * TIME).map(value).collect();
        Ok(Tensor::from_vec(values, (samples, 1, TIME), &Device::Cpu)?)
    }
}

/// As many waves as the class says, counted from one.
fn wave(class: usize, time: usize) -> f64 {
    (std::f64::consts::TAU * (class + 1) as f64 * time as f64 / TIME as f64).sin()
}

/// A pulse as wide as the class says, in the middle.
fn pulse(class: usize, time: usize) -> f64 {
    f64::from(time.abs_diff(TIME / 2) <= 2 * class)
}
