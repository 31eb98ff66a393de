//! Whole training steps to measure: a network, an optimizer, a method and a random batch.

use aim_core::{Batch, Clock, EpochStart, Error, Method, Optim, Prepared, Report, Result, Rng, Samples, Split, Step};
use aim_fusion::{LateFusion, ModelConfig};
use aim_optim::OptimConfig;
use candle_core::{Device, Tensor};

/// CNNs 16-32-64 on a sound and a video, concat, SGD with momentum, batch 64, 51 classes.
pub struct CnnAv {
    net: LateFusion,
    method: Box<dyn Method>,
    opt: Box<dyn Optim>,
    batch: Batch,
    clock: Clock,
}

impl CnnAv {
    /// The step of the method that a config section describes, ready to be taken.
    ///
    /// # Errors
    /// If the section is wrong or does not fit the network.
    pub fn new(method: &str) -> Result<Self> {
        let device = Device::Cpu;
        let cnn = "{name: cnn, widths: [16, 32, 64]}";
        let model: ModelConfig = yaml(&format!("{{encoders: {{audio: {cnn}, video: {cnn}}}}}"))?;
        let shapes = [("audio".to_owned(), vec![1, 32, 16]), ("video".to_owned(), vec![6, 26, 52])];
        let net = LateFusion::new(&model, &shapes, 51, 0, &device)?;
        let opt: OptimConfig = yaml("{name: sgd, lr: 0.001, momentum: 0.9, weight_decay: 0.0001}")?;
        let mut rng = Rng::keyed(0, "batch");
        let input = |(_, shape): &(String, Vec<usize>), rng: &mut Rng| {
            rng.normal_tensor(&[&[64][..], shape].concat(), 1., &device)
        };
        let inputs = shapes.iter().map(|s| input(s, &mut rng)).collect::<Result<_>>()?;
        let labels: Vec<u32> = (0..64).map(|i| i % 51).collect();
        let mut this = Self {
            method: aim_balance::build(&yaml(method)?, aim_core::Net::spec(&net))?,
            opt: opt.build(),
            batch: Batch::new(inputs, Tensor::new(labels, &device)?)?,
            // Past AIM's warm-up.
            clock: Clock { epoch: 1, epochs: 2, step: 0, steps_per_epoch: 100 },
            net,
        };
        let samples = One(&this.batch);
        let (net, clock, samples, prepared) = (&this.net, this.clock, &samples, &Prepared::default());
        let opt = this.opt.as_mut();
        this.method.before_epoch(&mut EpochStart { net, opt, samples, prepared, clock, seed: 0 })?;
        Ok(this)
    }

    /// One whole step: forward, backward, modulation, update.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn step(&mut self) -> Result<Report> {
        self.clock.step += 1;
        let (net, opt, batch, clock) = (&self.net, self.opt.as_mut(), &self.batch, self.clock);
        self.method.step(&mut Step { net, opt, batch, clock, seed: 0, trace: false })
    }
}

/// A split of one batch.
struct One<'a>(&'a Batch);

impl Samples for One<'_> {
    fn each(&self, _: Split, visit: &mut dyn FnMut(&Batch) -> Result<()>) -> Result<()> {
        visit(self.0)
    }
}

fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_yaml::from_str(text).map_err(|e| Error::invalid(text, e.to_string(), "mend the benchmark"))
}
