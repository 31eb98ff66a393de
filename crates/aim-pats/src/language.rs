//! A policy: a language model that samples several continuations of one prefix side by side.

use std::path::Path;

use candle_core::Device;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use crate::{
    Continuation, Error, Policy, Result,
    chat::{Chat, Message, SYSTEM},
    model::{Cache, Config, Decoder, Prefix, end_tokens, json, weights},
    random,
};

/// What ends a step.
const BLANK_LINE: &str = "\n\n";

/// How steps are sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 takes the most probable token.
    pub temperature: f64,
    /// Most tokens of a step; fewer where the model's context ends.
    pub max_tokens: usize,
}

impl Default for Sampling {
    /// As in the authors' code.
    fn default() -> Self {
        Self { temperature: 0.6, max_tokens: 1024 }
    }
}

/// A Qwen2 or Llama that was trained on instructions. Copies share the weights.
///
/// The keys and values of the question and the steps so far are computed once, held once for all continuations of a
/// step, and kept for the next.
#[derive(Clone, Debug)]
pub struct LanguageModel {
    decoder: Decoder,
    chat: Chat,
    ends: Vec<u32>,
    sampling: Sampling,
    prefix: Prefix,
    largest: usize,
}

impl LanguageModel {
    /// Reads a folder as it lies on the Hub: `config.json`, safetensors files, `tokenizer.json` and a chat template.
    ///
    /// # Errors
    /// If a file is missing or is none of such a model, or the sampling means nothing.
    pub fn load(folder: &Path, device: &Device, sampling: Sampling) -> Result<Self> {
        if !(sampling.temperature >= 0. && sampling.temperature.is_finite()) || sampling.max_tokens == 0 {
            let problem = format!("{sampling:?} samples nothing");
            return Err(Error::invalid("sampling", problem, "give a temperature from 0 on and at least 1 token"));
        }
        let config: Config = json(&folder.join("config.json"))?;
        let decoder = Decoder::new(&config, &weights(folder, device)?)?;
        let chat = Chat::load(folder)?;
        let mut ends = end_tokens(folder)?;
        ends.extend(chat.end());
        Ok(Self { decoder, chat, ends, sampling, prefix: Prefix::default(), largest: 0 })
    }

    /// Bytes of keys and values that the last call held at most, those of the prefix and those of the continuations.
    pub fn cache_bytes(&self) -> (usize, usize) {
        (self.prefix.cache.bytes(), self.largest)
    }

    /// Tokens of the question and the steps so far.
    fn prompt(&self, question: &str, steps: &[String]) -> Result<Vec<u32>> {
        let messages = [Message { role: "system", content: SYSTEM }, Message { role: "user", content: question }];
        let mut text = self.chat.render(&messages, true)?;
        for step in steps {
            text.push_str(step);
            text.push_str(BLANK_LINE);
        }
        self.chat.encode(&text)
    }
}

impl Policy for LanguageModel {
    fn sample(&mut self, question: &str, steps: &[String], n: usize, key: u64) -> Result<Vec<Continuation>> {
        let prompt = self.prompt(question, steps)?;
        let hidden = self.prefix.go_to(&self.decoder, &prompt)?;
        let most = self.sampling.max_tokens.min(self.decoder.positions() - prompt.len());
        let first = self.decoder.next(&hidden)?.to_vec2::<f32>()?.concat();
        let rng = |row: usize| random::generator(random::key(key, &["row", &row.to_string()]));
        let mut rows: Vec<Row> = (0..n).map(|at| Row { rng: rng(at), tokens: vec![], end: None }).collect();
        let (mut open, mut own) = ((0..n).collect::<Vec<usize>>(), Cache::default());
        let mut logits = vec![first; n];
        self.largest = 0;
        loop {
            for (at, logits) in open.iter().zip(&logits) {
                let row = &mut rows[*at];
                row.tokens.push(draw(logits, self.sampling.temperature, &mut row.rng));
                row.end = row.ended(&self.chat, &self.ends, most)?;
            }
            let still: Vec<u32> = (0..open.len()).filter(|i| rows[open[*i]].end.is_none()).map(|i| i as u32).collect();
            if still.is_empty() {
                break;
            }
            // Rows that have ended are no longer computed.
            if still.len() < open.len() && own.positions() > 0 {
                own.select(&still)?;
            }
            open = still.iter().map(|i| open[*i as usize]).collect();
            let tokens: Vec<Vec<u32>> =
                open.iter().map(|at| rows[*at].tokens[rows[*at].tokens.len() - 1..].to_vec()).collect();
            let hidden = self.decoder.forward(&tokens, &self.prefix.cache, &mut own)?;
            self.largest = self.largest.max(own.bytes());
            logits = self.decoder.next(&hidden)?.to_vec2()?;
        }
        Ok(rows.into_iter().map(Row::continuation).collect())
    }
}

/// A continuation on its way.
struct Row {
    rng: ChaCha8Rng,
    tokens: Vec<u32>,
    /// Its text and whether it is a last step, once it has ended.
    end: Option<(String, bool)>,
}

impl Row {
    fn ended(&self, chat: &Chat, ends: &[u32], most: usize) -> Result<Option<(String, bool)>> {
        let text = chat.decode(&self.tokens)?;
        if let Some((step, _)) = text.split_once(BLANK_LINE) {
            return Ok(Some((step.to_owned(), false)));
        }
        let over = self.tokens.len() >= most || self.tokens.last().is_some_and(|token| ends.contains(token));
        Ok(over.then_some((text, true)))
    }

    fn continuation(self) -> Continuation {
        let (text, last) = self.end.unwrap_or_default();
        Continuation { text, last, tokens: self.tokens.len() }
    }
}

/// A token drawn from the softmax of logits over the temperature; at 0 the first of the largest.
fn draw(logits: &[f32], temperature: f64, rng: &mut ChaCha8Rng) -> u32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let first = logits.iter().position(|logit| *logit == most).unwrap_or_default();
    if temperature == 0. {
        return first as u32;
    }
    let weight = |logit: &f32| (f64::from(logit - most) / temperature).exp();
    let mut left = rng.random::<f64>() * logits.iter().map(weight).sum::<f64>();
    for (at, logit) in logits.iter().enumerate() {
        left -= weight(logit);
        if left < 0. {
            return at as u32;
        }
    }
    first as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_tempered_softmax() {
        let logits = [1f32, 0., f32::NEG_INFINITY, 2.];
        let mut rng = random::generator(1);
        assert_eq!(draw(&logits, 0., &mut rng), 3);
        let mut counts = [0f64; 4];
        for _ in 0..20_000 {
            counts[draw(&logits, 0.5, &mut rng) as usize] += 1. / 20_000.;
        }
        // Softmax of (2, 0, -inf, 4) by hand: e^2 + 1 + e^4 = 62.987.
        for (share, expected) in counts.iter().zip([0.1173, 0.0159, 0., 0.8668]) {
            assert!((share - expected).abs() < 0.01, "{counts:?}");
        }
    }
}
