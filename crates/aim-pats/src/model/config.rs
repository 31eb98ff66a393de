//! `config.json` of a model's folder.

use serde::Deserialize;

use crate::{Error, Result};

/// Rotations of every position are held: more would be a mistake.
const MOST_POSITIONS: usize = 1 << 21;

/// Widest head: more would be a mistake.
const WIDEST_HEAD: usize = 1024;

/// Which models are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Queries, keys and values have a bias.
    Qwen2,
    /// No layer has a bias.
    Llama,
}

/// The parts of `config.json` that decide what a model computes; names and defaults are those of `transformers`.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// Family of the model.
    pub model_type: Family,
    /// Number of tokens known.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width within the gated layers.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Heads of queries.
    pub num_attention_heads: usize,
    /// Heads of keys and values; as many as of queries if absent.
    pub num_key_value_heads: Option<usize>,
    /// Width of a head; `hidden_size / num_attention_heads` if absent.
    pub head_dim: Option<usize>,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Added to the mean square of normalised states.
    pub rms_norm_eps: f64,
    /// Whether the embedding is the last layer, too.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Non-linearity of the gated layers.
    hidden_act: String,
    rope_theta: Option<f32>,
    rope_scaling: Option<Rotation>,
    /// What `transformers` 5 writes in place of the two above.
    rope_parameters: Option<Rotation>,
    #[serde(default)]
    use_sliding_window: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
}

/// How positions turn queries and keys.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Rotation {
    rope_type: Option<Kind>,
    /// Its older name.
    r#type: Option<Kind>,
    rope_theta: Option<f32>,
    factor: Option<f32>,
    low_freq_factor: Option<f32>,
    high_freq_factor: Option<f32>,
    original_max_position_embeddings: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Default,
    Llama3,
}

/// Llama 3's stretch of slow rotations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub factor: f32,
    pub low: f32,
    pub high: f32,
    pub original: f32,
}

impl Config {
    /// Heads of keys and values.
    pub fn key_value_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of a head.
    pub fn head_width(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    fn rotation(&self) -> Option<&Rotation> {
        self.rope_parameters.as_ref().or(self.rope_scaling.as_ref())
    }

    /// Base of the rotations' wavelengths.
    pub(super) fn theta(&self) -> f32 {
        self.rotation().and_then(|rotation| rotation.rope_theta).or(self.rope_theta).unwrap_or(10_000.)
    }

    /// The stretch of slow rotations, if there is one.
    pub(super) fn stretch(&self) -> Result<Option<Stretch>> {
        let Some(rotation) = self.rotation() else { return Ok(None) };
        if rotation.rope_type.or(rotation.r#type) != Some(Kind::Llama3) {
            return Ok(None);
        }
        let parts = [rotation.factor, rotation.low_freq_factor, rotation.high_freq_factor];
        match (parts, rotation.original_max_position_embeddings) {
            ([Some(factor), Some(low), Some(high)], Some(original)) if factor > 0. && low > 0. && high > low => {
                Ok(Some(Stretch { factor, low, high, original: original as f32 }))
            }
            _ => Err(refused("the rotation `llama3` lacks one of its four numbers, or they do not fit")),
        }
    }

    /// Refuses what is not computed here.
    ///
    /// # Errors
    /// Sliding windows, biases where the family has none, other activations, heads that do not divide, no layers, sizes
    /// beyond all models.
    pub fn check(&self) -> Result<()> {
        let (queries, keys) = (self.num_attention_heads, self.key_value_heads());
        let divides = |whole: usize, part: usize| part > 0 && whole.is_multiple_of(part);
        let problem = if self.use_sliding_window {
            "attention in a sliding window is not supported"
        } else if self.attention_bias || self.mlp_bias {
            "biases of attention or of the gated layers are not supported"
        } else if self.hidden_act != "silu" {
            "another activation than silu is not supported"
        } else if !divides(queries, keys) || self.head_dim.is_none() && !divides(self.hidden_size, queries) {
            "its heads do not divide"
        } else if self.max_position_embeddings > MOST_POSITIONS {
            "it has more than 2^21 positions"
        } else if self.num_hidden_layers == 0 {
            "it has no layers"
        } else if !(1..=WIDEST_HEAD).contains(&self.head_width()) {
            "its heads are not 1 to 1024 wide"
        } else if !self.head_width().is_multiple_of(2) {
            "heads of an odd width cannot be rotated"
        } else {
            return self.stretch().map(drop);
        };
        Err(refused(problem))
    }
}

fn refused(problem: &str) -> Error {
    Error::invalid("config.json", problem, "choose another model of the Qwen2 or Llama family")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn with(key: &str, value: Value) -> Result<Config, String> {
        let mut config = json!({
            "model_type": "llama", "vocab_size": 9, "hidden_size": 12, "intermediate_size": 5, "num_hidden_layers": 1,
            "num_attention_heads": 3, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        });
        config[key] = value;
        let config: Config = serde_json::from_value(config).map_err(|e| e.to_string())?;
        config.check().map_err(|e| e.to_string()).map(|()| config)
    }

    #[test]
    fn absent_settings_have_their_defaults() {
        let config = with("architectures", json!(["LlamaForCausalLM"])).unwrap();
        assert_eq!((config.key_value_heads(), config.head_width(), config.theta()), (3, 4, 10_000.));
        assert!(config.stretch().unwrap().is_none() && !config.tie_word_embeddings);
    }

    #[test]
    fn what_is_not_computed_is_refused() {
        let stretch = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0});
        for (key, value, told) in [
            ("use_sliding_window", json!(true), "sliding window"),
            ("attention_bias", json!(true), "biases"),
            ("hidden_act", json!("gelu"), "silu"),
            ("num_attention_heads", json!(0), "do not divide"),
            ("num_attention_heads", json!(5), "do not divide"),
            ("num_key_value_heads", json!(2), "do not divide"),
            ("head_dim", json!(3), "odd width"),
            ("head_dim", json!(0), "1 to 1024 wide"),
            ("head_dim", json!(1026), "1 to 1024 wide"),
            ("num_hidden_layers", json!(0), "no layers"),
            ("max_position_embeddings", json!(1_u64 << 40), "2^21 positions"),
            ("rope_scaling", stretch, "lacks one of its four numbers"),
            ("rope_scaling", json!({"type": "yarn"}), "unknown variant `yarn`"),
            ("model_type", json!("mistral"), "unknown variant `mistral`"),
            ("hidden_size", json!(null), "invalid type"),
        ] {
            let error = with(key, value).unwrap_err();
            assert!(error.contains(told), "{key}: {error}");
        }
    }
}
