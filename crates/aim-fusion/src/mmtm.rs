//! Gates that all features set together (after MMTM, Vaezi Joze et al. 2020), for any number of modalities.

use aim_backbones::{Build, Linear};
use aim_config::{at_least, settings};
use aim_core::{Capabilities, Capability, Fusion, Joined, Part, Pass, Pool, Result, Site, capability};
use candle_core::Tensor;

use crate::gated::sigmoid;
use crate::heads::{apply, heads, total};
use crate::{
    FusionInfo,
    config::{ANY, fusion_settings},
};

const OFFERS: &[Capability] = &[capability::VIEWS, capability::UNIMODAL, capability::GATES];

settings! {
    /// Settings of the fusion `mmtm`.
    pub struct MmtmConfig {
        /// Width of the layer that all features enter.
        pub squeeze: usize = 0 => at_least(1).required(), "ours";
    }
}

fusion_settings!(
    MmtmConfig,
    FusionInfo {
        name: "mmtm",
        about: "each feature gated by all through a joint layer, mean of one linear head a modality",
        unimodal: "its head, the others zeroed",
        modalities: ANY,
    },
    OFFERS,
    |settings, build, on| Mmtm::new(build, on.names, on.widths, settings.squeeze, on.classes)?
);

/// `z = relu(squeeze([features]))`, `gate_m = 2 sigmoid(fc_m(z))`, mean of `head_m(gate_m * feature_m)`. Gates can be
/// changed or kept at [`Site::Gate`]. A modality's own logits are its head's with the other features replaced by zeros.
pub struct Mmtm {
    squeeze: Linear,
    gates: Vec<Linear>,
    heads: Vec<Linear>,
}

impl Mmtm {
    /// `mmtm.squeeze.*` `[squeeze, sum of widths]`, `mmtm.<modality>.*` `[width, squeeze]`, and a head for each
    /// modality.
    ///
    /// # Errors
    /// If the names are taken.
    pub fn new(build: &mut Build, names: &[String], widths: &[usize], squeeze: usize, classes: usize) -> Result<Self> {
        let total = widths.iter().sum();
        let joint = build.linear("mmtm.squeeze", Part::Fusion, total, squeeze, true)?;
        let gate = |(modality, (name, width)): (usize, (&String, &usize))| {
            build.linear(&format!("mmtm.{name}"), Part::Gate { modality }, squeeze, *width, true)
        };
        let gates = names.iter().zip(widths).enumerate().map(gate).collect::<Result<_>>()?;
        Ok(Self { squeeze: joint, gates, heads: heads(build, names, widths, classes)? })
    }

    fn squeezed(&self, features: &[Tensor], pass: &Pass<'_>) -> Result<Tensor> {
        Ok(aim_ops::relu(&self.squeeze.forward(&Tensor::cat(features, 1)?, pass)?)?)
    }

    fn gate(&self, modality: usize, z: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        Ok((sigmoid(&self.gates[modality].forward(z, pass)?)? * 2.)?)
    }

    /// Logits of one modality, its gate set by its own feature alone.
    fn alone(&self, modality: usize, features: &[Tensor], pass: &Pass<'_>) -> Result<Tensor> {
        let own = |(m, x): (usize, &Tensor)| if m == modality { Ok(x.clone()) } else { x.zeros_like() };
        let masked = features.iter().enumerate().map(own).collect::<candle_core::Result<Vec<_>>>()?;
        let gate = self.gate(modality, &self.squeezed(&masked, pass)?, pass)?;
        self.heads[modality].forward(&(&features[modality] * gate)?, pass)
    }
}

impl Fusion for Mmtm {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let z = self.squeezed(features, pass)?;
        let mut gated = Vec::with_capacity(features.len());
        for (modality, x) in features.iter().enumerate() {
            let gate = pass.visit(Site::Gate { modality }, self.gate(modality, &z, pass)?, Pool::None)?;
            gated.push(x.broadcast_mul(&gate)?);
        }
        let logits = (total(&apply(&self.heads, &gated, pass)?)? / features.len() as f64)?;
        let unimodal = (0..features.len()).map(|m| self.alone(m, features, pass)).collect::<Result<Vec<_>>>()?;
        Ok((logits, unimodal).into())
    }
}

#[cfg(test)]
mod tests {
    use aim_core::Params;
    use candle_core::Device;

    use super::*;

    fn set(params: &Params, name: &str, values: &[f32]) {
        let var = &params.get(name).unwrap().var;
        var.set(&Tensor::new(values, &Device::Cpu).unwrap().reshape(var.dims()).unwrap()).unwrap();
    }

    #[test]
    fn gates_by_hand() {
        let mut build = Build::new(0, &Device::Cpu);
        let names = ["a".to_owned(), "b".to_owned()];
        let mmtm = Mmtm::new(&mut build, &names, &[1, 1], 1, 2).unwrap();
        let params = build.finish();
        for (name, values) in [
            ("mmtm.squeeze.weight", &[1., 1.][..]),
            ("mmtm.a.weight", &[1.]),
            ("mmtm.b.weight", &[-1.]),
            ("head.a.weight", &[1., 0.]),
            ("head.b.weight", &[0., 1.]),
        ] {
            set(&params, name, values);
        }
        for name in ["mmtm.squeeze.bias", "mmtm.a.bias", "mmtm.b.bias"] {
            set(&params, name, &[0.]);
        }
        ["head.a.bias", "head.b.bias"].iter().for_each(|name| set(&params, name, &[0., 0.]));
        // z = relu(2 ln 3 - ln 3) = ln 3: sigmoid(ln 3) = 3/4 and sigmoid(-ln 3) = 1/4, so the gates are 3/2 and 1/2.
        // Alone, a sets its gate from z = 2 ln 3 (sigmoid 9/10) and b from relu(-ln 3) = 0 (sigmoid 1/2).
        let ln3 = 3f32.ln();
        let features = [2. * ln3, -ln3].map(|x| Tensor::new(&[[x]], &Device::Cpu).unwrap());
        let Joined { logits, unimodal, .. } = mmtm.forward(&features, &mut Pass::eval()).unwrap();
        let close = |t: &Tensor, expected: [f32; 2]| {
            let found = t.to_vec2::<f32>().unwrap();
            assert!(found[0].iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-5), "{found:?} {expected:?}");
        };
        close(&logits, [1.5 * 2. * ln3 / 2., 0.5 * -ln3 / 2.]);
        close(&unimodal[0], [1.8 * 2. * ln3, 0.]);
        close(&unimodal[1], [0., -ln3]);
    }
}
