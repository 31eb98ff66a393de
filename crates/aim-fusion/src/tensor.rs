//! Fusions that multiply modalities: the tensor of all products (Zadeh et al. 2017), and its low-rank form (Liu et al.
//! 2018).

use aim_backbones::{Build, Init, Linear};
use aim_config::{at_least, settings, whole};
use aim_core::{Capabilities, Capability, Error, Fusion, Handle, Joined, Kind, Part, Pass, Result, Role, capability};
use candle_core::Tensor;

use crate::{
    Features, FusionInfo,
    config::{ANY, fusion_settings},
};

const OFFERS: &[Capability] = &[capability::VIEWS, capability::UNIMODAL];

/// Largest number of products that a sample may have.
const MOST: usize = 1 << 20;

settings! {
    /// Settings of the fusion `tensor`.
    pub struct TensorConfig {
        /// Width that each feature is brought to before they are multiplied.
        pub width: usize = 16 => whole(1, 1024), "ours";
    }
}

fusion_settings!(
    TensorConfig,
    FusionInfo {
        name: "tensor",
        about: "one linear head over all products of entries of the modalities, one each or none (TFN)",
        unimodal: "the head, the other features zero",
        modalities: ANY,
    },
    OFFERS,
    |settings, build, on| TensorFusion::new(build, on, settings.width)?
);

settings! {
    /// Settings of the fusion `low-rank`.
    pub struct LowRankConfig {
        /// Number of products that are summed.
        pub rank: usize = 4 => whole(1, 1000), "released";
        /// Width of what the head reads.
        pub width: usize = 64 => at_least(1), "ours";
    }
}

fusion_settings!(
    LowRankConfig,
    FusionInfo {
        name: "low-rank",
        about: "the tensor of all products by factors of low rank, then a linear head (LMF)",
        unimodal: "the head, the other features zero",
        modalities: ANY,
    },
    OFFERS,
    |settings, build, on| LowRankFusion::new(build, on, settings.rank, settings.width)?
);

/// Each modality's logits: those of all where the other features are zero.
fn alone(features: &[Tensor], mut logits: impl FnMut(&[Tensor]) -> Result<Tensor>) -> Result<Vec<Tensor>> {
    let zeros = features.iter().map(Tensor::zeros_like).collect::<candle_core::Result<Vec<_>>>()?;
    let one = |m: usize| {
        let mut own = zeros.clone();
        own[m] = features[m].clone();
        logits(&own)
    };
    (0..features.len()).map(one).collect()
}

/// `z_m = W_m x_m`, the outer product of all `[z_m; 1]`, then a head. A modality that is masked is zeros, so that the 1
/// is all that it contributes.
pub struct TensorFusion {
    projections: Vec<Linear>,
    head: Linear,
}

impl TensorFusion {
    /// `tensor.<modality>.weight` `[width, feature]`, `head.*` `[classes, (width + 1)^M]`.
    ///
    /// # Errors
    /// If there would be too many products, or the names are taken.
    pub fn new(build: &mut Build, on: &Features<'_>, width: usize) -> Result<Self> {
        let products = u32::try_from(on.names.len()).ok().and_then(|count| (width + 1).checked_pow(count));
        let Some(products) = products.filter(|products| *products <= MOST) else {
            let problem = format!("makes more than {MOST} products of {} modalities", on.names.len());
            return Err(Error::invalid("model.fusion.width", problem, "use a smaller width, or the fusion `low-rank`"));
        };
        let project = |(name, feature): (&String, &usize)| {
            build.linear(&format!("tensor.{name}"), Part::Fusion, *feature, width, false)
        };
        let projections = on.names.iter().zip(on.widths).map(project).collect::<Result<_>>()?;
        Ok(Self { projections, head: build.linear("head", Part::Head { modality: None }, products, on.classes, true)? })
    }

    fn logits(&self, features: &[Tensor], pass: &Pass<'_>) -> Result<Tensor> {
        let mut products: Option<Tensor> = None;
        for (projection, x) in self.projections.iter().zip(features) {
            let z = projection.forward(x, pass)?;
            let one = Tensor::ones((z.dim(0)?, 1), z.dtype(), z.device())?;
            let z = Tensor::cat(&[z, one], 1)?;
            products = Some(match products {
                None => z,
                Some(all) => all.unsqueeze(2)?.broadcast_mul(&z.unsqueeze(1)?)?.flatten_from(1)?,
            });
        }
        let products = products.ok_or_else(|| Error::shape("features", &[0], "at least one modality"))?;
        self.head.forward(&products, pass)
    }
}

impl Fusion for TensorFusion {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let unimodal = alone(features, |own| self.logits(own, pass))?;
        Ok((self.logits(features, pass)?, unimodal).into())
    }
}

/// `z = sum_r w_r prod_m (F_m^r x_m + f_m^r)`, then a head.
pub struct LowRankFusion {
    factors: Vec<Linear>,
    weights: Handle,
    head: Linear,
    rank: usize,
}

impl LowRankFusion {
    /// `factors.<modality>.*` `[rank * width, feature]`, `factors.weights` `[1, rank]`, `head.*` `[classes, width]`.
    ///
    /// # Errors
    /// If the names are taken.
    pub fn new(build: &mut Build, on: &Features<'_>, rank: usize, width: usize) -> Result<Self> {
        let factor = |(name, feature): (&String, &usize)| {
            build.linear(&format!("factors.{name}"), Part::Fusion, *feature, rank * width, true)
        };
        let factors = on.names.iter().zip(on.widths).map(factor).collect::<Result<_>>()?;
        let role = Role { part: Part::Fusion, kind: Kind::Linear };
        let weights = build.param("factors.weights", role, &[1, rank], Init::Uniform, (rank, 1))?;
        let head = build.linear("head", Part::Head { modality: None }, width, on.classes, true)?;
        Ok(Self { factors, weights, head, rank })
    }

    fn logits(&self, features: &[Tensor], pass: &Pass<'_>) -> Result<Tensor> {
        let mut product: Option<Tensor> = None;
        for (factor, x) in self.factors.iter().zip(features) {
            let own = factor.forward(x, pass)?;
            product = Some(match product {
                None => own,
                Some(all) => (all * own)?,
            });
        }
        let product = product.ok_or_else(|| Error::shape("features", &[0], "at least one modality"))?;
        let (batch, wide) = product.dims2()?;
        let terms = product.reshape((batch, self.rank, wide / self.rank))?;
        let sum = terms.broadcast_mul(&pass.weight(&self.weights).reshape((1, self.rank, 1))?)?.sum(1)?;
        self.head.forward(&sum, pass)
    }
}

impl Fusion for LowRankFusion {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let unimodal = alone(features, |own| self.logits(own, pass))?;
        Ok((self.logits(features, pass)?, unimodal).into())
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

    fn features(values: &[f32]) -> Vec<Tensor> {
        values.iter().map(|x| Tensor::new(&[[*x]], &Device::Cpu).unwrap()).collect()
    }

    /// Fused logits, and those of each modality, of one class.
    fn logits(fusion: &dyn Fusion, values: &[f32]) -> Vec<f32> {
        let Joined { logits, unimodal, .. } = fusion.forward(&features(values), &mut Pass::eval()).unwrap();
        std::iter::once(&logits).chain(&unimodal).map(|t| t.to_vec2::<f32>().unwrap()[0][0]).collect()
    }

    #[test]
    fn products_by_hand() {
        let names = ["a", "b", "c"].map(String::from);
        let on = Features { names: &names, widths: &[1, 1, 1], frames: &[1, 1, 1], stages: &[], classes: 1 };
        let mut build = Build::new(0, &Device::Cpu);
        let fusion = TensorFusion::new(&mut build, &on, 1).unwrap();
        let params = build.finish();
        names.iter().zip([2., 1., 1.]).for_each(|(name, w)| set(&params, &format!("tensor.{name}.weight"), &[w]));
        // Products of (2a, 1), (b, 1) and (c, 1), the last varying fastest: abc, ab, ac, a, bc, b, c, 1.
        set(&params, "head.weight", &[1., 10., 100., 1000., 2., 20., 200., 2000.]);
        set(&params, "head.bias", &[0.5]);
        // 2a = 1, b = 3, c = -1: -3 + 30 - 100 + 1000 - 6 + 60 - 200 + 2000 + .5
        assert_eq!(logits(&fusion, &[0.5, 3., -1.]), [2781.5, 3000.5, 2060.5, 1800.5]);
        let wide = Features { widths: &[9, 9, 9], ..on };
        let refused = TensorFusion::new(&mut Build::new(0, &Device::Cpu), &wide, 200).err().unwrap().to_string();
        assert!(refused.contains("model.fusion.width: makes more than") && refused.contains("low-rank"), "{refused}");
    }

    #[test]
    fn factors_by_hand() {
        let names = ["a", "b"].map(String::from);
        let on = Features { names: &names, widths: &[1, 1], frames: &[1, 1], stages: &[], classes: 1 };
        let mut build = Build::new(0, &Device::Cpu);
        let fusion = LowRankFusion::new(&mut build, &on, 2, 1).unwrap();
        let params = build.finish();
        for (name, values) in [
            ("factors.a.weight", &[2., -1.][..]),
            ("factors.a.bias", &[1., 0.]),
            ("factors.b.weight", &[1., 3.]),
            ("factors.b.bias", &[0., 1.]),
            ("factors.weights", &[0.5, 2.]),
            ("head.weight", &[10.]),
            ("head.bias", &[1.]),
        ] {
            set(&params, name, values);
        }
        let section = crate::fusion(LowRankConfig { rank: 1001, ..LowRankConfig::default() }).section();
        let refused = crate::builtin().read(&section, "model.fusion").err().unwrap().to_string();
        assert!(refused.contains("rank") && refused.contains("1000"), "{refused}");
        // a = 1, b = 2: .5 (3 * 2) + 2 (-1 * 7) = -11. a alone: .5 (3 * 0) + 2 (-1 * 1) = -2. b alone: .5 (1 * 2) + 0.
        assert_eq!(logits(&fusion, &[1., 2.]), [-109., -19., 11.]);
    }
}
