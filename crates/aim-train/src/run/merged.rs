//! A trained network whose low-rank additions stand in the weights that they are added to.

use aim_backbones::{EncoderSpec, with_addition};
use aim_balance::joint::Joint;
use aim_core::{Error, Result, capability};
use candle_core::Tensor;

use super::trained::Parts;
use crate::{Registries, config::RunConfig};

/// The beginning of the names of an encoder's tensors.
fn prefix(modality: &str) -> String {
    format!("encoders.{modality}.")
}

/// The encoder that a tensor belongs to. One modality's name may begin as another's.
fn encoder<'c>(config: &'c RunConfig, tensor: &str) -> Option<&'c EncoderSpec> {
    let own = config.model.encoders.iter().filter(|(name, _)| tensor.starts_with(&prefix(name)));
    own.max_by_key(|(name, _)| name.len()).map(|(_, encoder)| encoder)
}

impl Parts {
    /// The same network without low-rank additions, `W + scale B A` in place of each `W`. A method that trains
    /// additions answers as joint training does.
    ///
    /// # Errors
    /// If the network has none, one lacks its weight, or the method has a state or a partner that needs them.
    pub fn merged(mut self, registries: &Registries) -> Result<Self> {
        let refused = |problem: &str| Err(Error::invalid("--merged", problem, "leave it out"));
        if !self.method.0.is_empty() {
            return refused("cannot merge a state of its own that the method answers with beside the weights");
        }
        let layers: Vec<String> =
            self.weights.keys().filter_map(|name| Some(name.strip_suffix(".lora_b")?.to_owned())).collect();
        if layers.is_empty() {
            return refused("joins low-rank additions, and the network has none");
        }
        for layer in layers {
            let Some(scale) =
                encoder(&self.identity.config, &layer).and_then(|encoder| Some(encoder.low_rank()?.scale))
            else {
                return refused("knows no scale of the additions");
            };
            let (a, b) = (self.take(&layer, "lora_a")?, self.take(&layer, "lora_b")?);
            let weight = with_addition(&self.take(&layer, "weight")?, &a, &b, scale)?;
            self.weights.insert(format!("{layer}.weight"), weight);
        }
        let config = &mut self.identity.config;
        for encoder in config.model.encoders.values_mut() {
            if let Some(plain) = encoder.without_low_rank() {
                *encoder = EncoderSpec::of(encoder.name(), plain);
            }
        }
        if let [only] = config.method.methods()
            && only.info().requires.wants(capability::ADAPTERS)
        {
            config.method = Joint {}.into();
        }
        config.clone().checked(registries)?;
        Ok(self)
    }

    fn take(&mut self, layer: &str, leaf: &str) -> Result<Tensor> {
        let name = format!("{layer}.{leaf}");
        self.weights.remove(&name).ok_or_else(|| {
            Error::invalid("--merged", format!("there is no tensor `{name}`"), "leave it out, and report this fault")
        })
    }
}
