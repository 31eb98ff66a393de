//! Encoders of published sizes under names of their own. A configuration may change single settings of them.

use std::sync::Arc;

use crate::{EncoderCard, Family, ResNetConfig, SequenceFeature, TransformerConfig, VitConfig, config::changed};

/// Declares presets: the name, and what differs from the encoder's defaults.
macro_rules! presets {
    ($($name:literal: $settings:ident { $($field:ident: $value:expr),* $(,)? };)+) => {
        /// The cards of all presets.
        pub(crate) fn all() -> Vec<EncoderCard> {
            vec![$({
                fn settings() -> $settings {
                    $settings { $($field: $value,)* ..$settings::default() }
                }
                EncoderCard::new($name, Arc::new(settings()), |section, place| changed(&settings(), section, place))
            }),+]
        }
    };
}

/// Words of BERT's tokenizer.
const UNCASED: Option<usize> = Some(30_522);

presets! {
    "resnet34": ResNetConfig { layers: vec![3, 4, 6, 3] };
    "resnet50": ResNetConfig { layers: vec![3, 4, 6, 3], bottleneck: true };
    "vit-tiny": VitConfig {};
    "vit-small": VitConfig { width: 384, heads: 6 };
    "vit-base": VitConfig { width: 768, heads: 12 };
    "bert-tiny": TransformerConfig { vocabulary: UNCASED, width: 128, layers: 2, heads: 2, blocks: 2 };
    "bert-mini": TransformerConfig { vocabulary: UNCASED };
    "bert-base": TransformerConfig { vocabulary: UNCASED, width: 768, layers: 12, heads: 12 };
    "minilm-l6": TransformerConfig {
        vocabulary: UNCASED, width: 384, layers: 6, heads: 12, blocks: 3, feature: SequenceFeature::Mean,
    };
    "distilbert-base": TransformerConfig {
        vocabulary: UNCASED, family: Family::DistilBert, width: 768, layers: 6, heads: 12, blocks: 3,
    };
    "roberta-base": TransformerConfig {
        vocabulary: Some(50_265), family: Family::Roberta, width: 768, layers: 12, heads: 12, eps: 1e-5,
    };
}
