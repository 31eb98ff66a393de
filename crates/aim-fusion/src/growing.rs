//! Heads that grow: each modality has a list of classifiers, and how many of them are in use is a buffer (AUG).

use aim_backbones::{Build, Linear};
use aim_config::{at_least, settings, whole};
use aim_core::{
    CLASSIFIERS, Capabilities, Capability, Error, Fusion, Handle, Joined, Part, Pass, Result, STAGES, capability,
};
use candle_core::Tensor;

use crate::{
    FusionInfo,
    config::{ANY, fusion_settings},
    heads::total,
};

const OFFERS: &[Capability] = &[capability::VIEWS, capability::UNIMODAL, capability::GROWING];

settings! {
    /// Settings of the fusion `growing`.
    pub struct GrowingConfig {
        /// Width of each classifier's hidden layer.
        pub hidden: usize = 256 => at_least(1), "paper";
        /// Classifiers that a modality can have at most; all are parameters from the start.
        pub most: usize = 10 => whole(1, 1000), "ours";
    }
}

fusion_settings!(
    GrowingConfig,
    FusionInfo {
        name: "growing",
        about: "classifiers of two layers for each modality, which a method adds in training, over one output layer; \
            mean over modalities of the sum of their logits",
        unimodal: "the sum of its classifiers' logits",
        modalities: ANY,
    },
    OFFERS,
    |settings, build, on| Growing::new(build, on.names, on.widths, (settings.hidden, settings.most), on.classes)?
);

/// Classifiers for each modality (linear, ReLU) over one linear layer that all share; fused logits are the mean over
/// modalities of the sum of theirs. The buffer [`CLASSIFIERS`] says how many are in use: 1 at first. The others are
/// parameters that no pass reaches, so that they have no gradient and an optimizer knows nothing of them.
pub struct Growing {
    classifiers: Vec<Vec<Linear>>,
    out: Linear,
    counts: Handle,
}

impl Growing {
    /// `aug_head.<modality>.0`, `.1` and so on over a hidden layer, `aug_head.out`, and the buffer
    /// `aug_head.classifiers`.
    ///
    /// # Errors
    /// If the names are taken.
    pub fn new(
        build: &mut Build,
        names: &[String],
        widths: &[usize],
        (hidden, most): (usize, usize),
        classes: usize,
    ) -> Result<Self> {
        let mut classifiers = Vec::with_capacity(names.len());
        for (modality, (name, width)) in names.iter().zip(widths).enumerate() {
            let layer = |i: usize| {
                let part = if i == 0 { Part::Head { modality: Some(modality) } } else { Part::Added { modality } };
                build.glorot_linear(&format!("aug_head.{name}.{i}"), part, *width, hidden)
            };
            classifiers.push((0..most).map(layer).collect::<Result<_>>()?);
        }
        let out = build.glorot_linear("aug_head.out", Part::Head { modality: None }, hidden, classes)?;
        let ones = Tensor::new(vec![1u32; names.len()], &candle_core::Device::Cpu)?;
        Ok(Self { classifiers, out, counts: build.buffer(CLASSIFIERS, &ones)? })
    }

    /// The classifiers of modality m that are in use.
    fn in_use(&self, m: usize, counts: &[u32]) -> Result<&[Linear]> {
        let own = &self.classifiers[m];
        let used = counts.get(m).and_then(|count| own.get(..*count as usize)).filter(|used| !used.is_empty());
        used.ok_or_else(|| {
            let problem = format!("has {counts:?}, where each modality has 1 to {} classifiers", own.len());
            Error::invalid(CLASSIFIERS, problem, "load weights of the same fusion")
        })
    }
}

impl Fusion for Growing {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let counts = pass.weight(&self.counts).to_vec1::<u32>()?;
        let (mut unimodal, mut stages) = (vec![], vec![]);
        for (m, x) in features.iter().enumerate() {
            let logits = |layer: &Linear| self.out.forward(&aim_ops::relu(&layer.forward(x, pass)?)?, pass);
            let own = self.in_use(m, &counts)?.iter().map(logits).collect::<Result<Vec<_>>>()?;
            unimodal.push(total(&own)?);
            stages.extend(own);
        }
        let logits = (total(&unimodal)? / unimodal.len() as f64)?;
        Ok(Joined { logits, unimodal, extras: [(STAGES, Tensor::stack(&stages, 1)?)].into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aim_core::{Grads, View};
    use candle_core::Device;

    fn counted(counts: &[u32]) -> View {
        View::from([(CLASSIFIERS.into(), Tensor::new(counts, &Device::Cpu).unwrap())])
    }

    fn rows(t: &Tensor) -> Vec<Vec<f32>> {
        t.to_vec2().unwrap()
    }

    #[test]
    fn logits_of_counted_classifiers_by_hand() {
        let mut build = Build::new(0, &Device::Cpu);
        let names = ["a".to_owned(), "b".to_owned()];
        let fusion = Growing::new(&mut build, &names, &[1, 1], (2, 3), 2).unwrap();
        let params = build.finish();
        let set = |name: &str, values: &[f32]| {
            let var = &params.get(name).unwrap().var;
            var.set(&Tensor::new(values, &Device::Cpu).unwrap().reshape(var.dims()).unwrap()).unwrap();
        };
        // Hidden units: relu(x), relu(-x); relu(x + 1), 0; relu(2 x), 1. Logits: u - v + 3 and u + v.
        set("aug_head.a.0.weight", &[1., -1.]);
        set("aug_head.a.1.weight", &[1., 0.]);
        set("aug_head.a.1.bias", &[1., 0.]);
        set("aug_head.b.0.weight", &[2., 0.]);
        set("aug_head.b.0.bias", &[0., 1.]);
        set("aug_head.out.weight", &[1., -1., 1., 1.]);
        set("aug_head.out.bias", &[3., 0.]);
        let features = [[[-2f32], [1.]], [[0.], [3.]]].map(|x| Tensor::new(&x, &Device::Cpu).unwrap());
        let first = fusion.forward(&features, &mut Pass::eval()).unwrap();
        assert_eq!(rows(&first.unimodal[0]), [[1., 2.], [4., 1.]]);
        assert_eq!(rows(&first.unimodal[1]), [[2., 1.], [8., 7.]]);
        assert_eq!(rows(&first.logits), [[1.5, 1.5], [6., 4.]]);
        let view = counted(&[2, 1]);
        let grown = fusion.forward(&features, &mut Pass::eval().view(&view)).unwrap();
        assert_eq!(rows(&grown.unimodal[0]), [[1. + 3., 2.], [4. + 5., 1. + 2.]]);
        let stages = grown.extras[STAGES].to_vec3::<f32>().unwrap();
        assert_eq!(stages[1], [[4., 1.], [5., 2.], [8., 7.]]);
        // Those that are not counted have no gradient.
        let grads = Grads::of(&grown.logits.sum_all().unwrap(), &params).unwrap();
        assert!(grads.get("aug_head.a.1.weight").is_some() && grads.get("aug_head.a.2.weight").is_none());
        for wrong in [[0, 1], [1, 4]] {
            let error = fusion.forward(&features, &mut Pass::eval().view(&counted(&wrong))).unwrap_err().to_string();
            assert!(error.contains("1 to 3 classifiers"), "{error}");
        }
    }
}
