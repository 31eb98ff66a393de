//! A process reward in the form of Qwen2.5-Math-PRM (Zhang et al. 2025): a head of two classes, read at a separator
//! behind each step.

use std::path::Path;

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::ops;
use candle_transformers::models::with_tracing::{Linear, linear};

use crate::{
    Error, ProcessReward, Result,
    chat::{Chat, Message, SYSTEM},
    model::{Cache, Config, Decoder, Prefix, common, json, weights},
};

/// The token behind each step.
const SEPARATOR: &str = "<extra_0>";

/// A Qwen2 with a head of two classes: wrong and right. Copies share the weights.
///
/// Keys and values of what candidates have in common are computed once and kept for the next step.
#[derive(Clone, Debug)]
pub struct MathReward {
    decoder: Decoder,
    first: Linear,
    second: Linear,
    chat: Chat,
    separator: u32,
    prefix: Prefix,
}

impl MathReward {
    /// Reads a folder as it lies on the Hub.
    ///
    /// # Errors
    /// If a file is missing or is none of such a model.
    pub fn load(folder: &Path, device: &Device) -> Result<Self> {
        let config: Config = json(&folder.join("config.json"))?;
        let vb = weights(folder, device)?;
        let chat = Chat::load(folder)?;
        let separator = chat.id(SEPARATOR).ok_or_else(|| {
            let place = folder.join("tokenizer.json");
            let remedy = "choose a reward of the form of Qwen2.5-Math-PRM";
            Error::invalid(place.display(), format!("there is no token {SEPARATOR}"), remedy)
        })?;
        let (width, head) = (config.hidden_size, vb.pp("score"));
        Ok(Self {
            decoder: Decoder::new(&config, &vb)?,
            first: linear(width, width, head.pp(0))?,
            second: linear(width, 2, head.pp(2))?,
            chat,
            separator,
            prefix: Prefix::default(),
        })
    }

    /// Tokens up to the separator behind the last step: nothing after it bears on its score.
    fn tokens(&self, question: &str, steps: &[String], candidate: &str) -> Result<Vec<u32>> {
        let solution: String =
            steps.iter().map(String::as_str).chain([candidate]).flat_map(|step| [step, SEPARATOR]).collect();
        let messages = [
            Message { role: "system", content: SYSTEM },
            Message { role: "user", content: question },
            Message { role: "assistant", content: &solution },
        ];
        let mut tokens = self.chat.encode(&self.chat.render(&messages, false)?)?;
        let last = tokens.iter().rposition(|token| *token == self.separator).ok_or_else(|| {
            Error::invalid("chat template", format!("leaves out {SEPARATOR}"), "use the reward's own template")
        })?;
        tokens.truncate(last + 1);
        Ok(tokens)
    }

    /// Probability of the class 1 in the last of some hidden states `[1, tokens, width]`.
    fn probability(&self, hidden: &Tensor) -> Result<f64> {
        let last = hidden.narrow(1, hidden.dim(1)? - 1, 1)?;
        let logits = self.second.forward(&self.first.forward(&last)?.relu()?)?.to_dtype(DType::F32)?;
        let shares = ops::softmax_last_dim(&logits)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(f64::from(shares[1]))
    }
}

impl ProcessReward for MathReward {
    fn score(&mut self, question: &str, steps: &[String], candidates: &[String]) -> Result<Vec<f64>> {
        let tokens = candidates.iter().map(|candidate| self.tokens(question, steps, candidate));
        let tokens = tokens.collect::<Result<Vec<_>>>()?;
        let Some(first) = tokens.first() else { return Ok(vec![]) };
        // Each has at least its separator to itself.
        let shared = tokens.iter().map(|row| common(first, row).min(row.len() - 1)).min().unwrap_or_default();
        self.prefix.go_to(&self.decoder, &first[..shared])?;
        let score = |row: &Vec<u32>| {
            let rest = [row[shared..].to_vec()];
            self.probability(&self.decoder.forward(&rest, &self.prefix.cache, &mut Cache::default())?)
        };
        tokens.iter().map(score).collect()
    }
}
