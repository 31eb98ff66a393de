//! The networks that are measured.

use aim_backbones::EncoderSpec;
use aim_balance::MethodSpec;
use aim_config::yaml::parse;
use aim_core::{Error, Result, Rng};
use aim_fusion::{
    BoostedConfig, ConcatConfig, DeepConfig, FusionSpec, ModelConfig, SeparateConfig, SharedConfig, fusion,
};

/// A network with the batch that it is trained on.
#[derive(Debug)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// Number of classes.
    pub classes: usize,
    /// Samples in a batch.
    pub batch: usize,
    /// Steps that take some ten seconds.
    pub steps: usize,
    pub(crate) inputs: &'static [Input],
}

/// A modality.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) name: &'static str,
    /// The shape of a sample.
    pub(crate) shape: &'static [usize],
    /// Words that a sample's ids name; without it a sample is of numbers.
    vocabulary: Option<usize>,
    /// The section of its encoder.
    encoder: &'static str,
}

const fn input(name: &'static str, shape: &'static [usize], encoder: &'static str) -> Input {
    Input { name, shape, vocabulary: None, encoder }
}

impl Input {
    /// One value of a random sample: a normal draw, or a word's id, which is never that of padding.
    pub(crate) fn value(&self, rng: &mut Rng) -> f32 {
        match self.vocabulary {
            None => rng.normal() as f32,
            Some(words) => (1 + rng.below(words - 1)) as f32,
        }
    }
}

const CNN: &str = "{name: cnn, widths: [16, 32, 64]}";
const MLP: &str = "{name: mlp, widths: [256, 256, 256]}";
const RESNET: &str = "{name: resnet18}";
const RESNET50: &str = "{name: resnet50}";
const VIT: &str = "{name: vit}";
/// The words of `minilm-l6`, 32 a sample.
const TEXT: Input = Input { name: "text", shape: &[32], vocabulary: Some(30_522), encoder: "{name: minilm-l6}" };

/// Every preset.
pub static PRESETS: &[Preset] = &[
    Preset {
        name: "resnet18-av",
        classes: 6,
        batch: 8,
        steps: 10,
        inputs: &[input("audio", &[1, 257, 188], RESNET), input("visual", &[3, 1, 224, 224], RESNET)],
    },
    Preset {
        name: "cnn-av",
        classes: 51,
        batch: 64,
        steps: 500,
        inputs: &[input("audio", &[1, 32, 16], CNN), input("visual", &[6, 26, 52], CNN)],
    },
    Preset {
        name: "mlp-tri",
        classes: 2,
        batch: 64,
        steps: 2000,
        inputs: &[input("audio", &[100], MLP), input("visual", &[73], MLP), input("text", &[100], MLP)],
    },
    Preset {
        name: "vit-av",
        classes: 6,
        batch: 8,
        steps: 10,
        inputs: &[input("audio", &[3, 224, 224], VIT), input("visual", &[3, 224, 224], VIT)],
    },
    Preset { name: "bert-vit", classes: 6, batch: 8, steps: 20, inputs: &[TEXT, input("visual", &[3, 224, 224], VIT)] },
    Preset {
        name: "resnet50-av",
        classes: 6,
        batch: 8,
        steps: 5,
        inputs: &[input("audio", &[1, 257, 188], RESNET50), input("visual", &[3, 1, 224, 224], RESNET50)],
    },
];

/// What may stand behind the encoders: the fusion, heads of their own, low-rank additions.
fn heads() -> [(FusionSpec, bool, bool); 7] {
    [
        (fusion(ConcatConfig {}), false, false),
        (fusion(ConcatConfig {}), true, false),
        (fusion(SeparateConfig {}), false, false),
        (fusion(SharedConfig {}), false, false),
        (fusion(DeepConfig { hidden: [256, 64] }), false, false),
        (fusion(BoostedConfig { hidden: 256 }), false, false),
        (fusion(ConcatConfig {}), false, true),
    ]
}

impl Preset {
    /// The preset of that name.
    ///
    /// # Errors
    /// If there is none; the message lists those that exist.
    pub fn named(name: &str) -> Result<&'static Self> {
        let known = || PRESETS.iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
        PRESETS
            .iter()
            .find(|p| p.name == name)
            .ok_or_else(|| Error::invalid("preset", format!("there is no `{name}`"), format!("use one of {}", known())))
    }

    /// Names of the modalities and shapes of their samples.
    pub(crate) fn modalities(&self) -> Vec<(String, Vec<usize>)> {
        self.inputs.iter().map(|i| (i.name.to_owned(), i.shape.to_vec())).collect()
    }

    /// The network for a method: concat, unless the method needs other heads.
    ///
    /// # Errors
    /// If the method's section is wrong, or no heads suit it.
    pub(crate) fn model(&self, method: &MethodSpec) -> Result<ModelConfig> {
        let names: Vec<String> = self.modalities().into_iter().map(|(name, _)| name).collect();
        let mut refused = None;
        for (fusion, uni_heads, lora) in heads() {
            let model = ModelConfig { uni_heads, ..ModelConfig::new(self.encoders(lora)?, fusion) };
            match method.check(&names, &model.capabilities(), &|capability| capability.setting().into()) {
                Ok(()) => return Ok(model),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(|| Error::invalid("method", "suits no heads", "name another method")))
    }

    fn encoders(&self, lora: bool) -> Result<Vec<(String, EncoderSpec)>> {
        let encoder = |input: &Input| {
            let addition = if lora { ", lora: {rank: 4}}" } else { "}" };
            let section = parse(&(input.encoder.trim_end_matches('}').to_owned() + addition))?;
            Ok((input.name.to_owned(), aim_backbones::builtin().read(&section, input.name)?))
        };
        self.inputs.iter().map(encoder).collect()
    }
}
