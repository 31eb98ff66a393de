//! A network and a batch that are small enough to compute by hand with.

use aim_core::{Batch, Result, Rng, Samples, Split};
use aim_fusion::LateFusion;
use candle_core::{Device, Tensor};

use crate::{CLASSES, MODALITIES};

/// One batch, which is every split.
pub struct One(pub Batch);

impl Samples for One {
    fn each(&self, _: Split, visit: &mut dyn FnMut(&Batch) -> Result<()>) -> Result<()> {
        visit(&self.0)
    }
    fn shuffled(&self, split: Split, _: u64, visit: &mut dyn FnMut(&Batch) -> Result<()>) -> Result<()> {
        self.each(split, visit)
    }
}

/// A network of three small MLPs, with these sections of the model beside the encoders, and a batch for it.
///
/// # Panics
/// If the sections are wrong.
pub fn small(sections: &str) -> (LateFusion, One) {
    let encoder = |name: &&str| format!("{name}: {{name: mlp, widths: [4]}}");
    let encoders = MODALITIES.iter().map(encoder).collect::<Vec<_>>().join(", ");
    let model = serde_yaml::from_str(&format!("{{encoders: {{{encoders}}}, {sections}}}")).unwrap();
    let shapes = MODALITIES.map(|name| (name.to_owned(), vec![3]));
    // With most other seeds no modality adds anything to chance, and all Shapley shares are equal.
    let net = LateFusion::new(&model, &shapes, CLASSES, 1, &Device::Cpu).unwrap();
    let mut rng = Rng::keyed(0, "batch");
    let inputs = MODALITIES.map(|_| rng.normal_tensor(&[40, 3], 1., &Device::Cpu).unwrap()).to_vec();
    let labels: Vec<u32> = (0..40).map(|i| i % 3).collect();
    (net, One(Batch::new(inputs, Tensor::new(labels, &Device::Cpu).unwrap()).unwrap()))
}
