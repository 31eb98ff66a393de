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

impl Sampling {
    /// Refuses settings that mean nothing.
    ///
    /// # Errors
    /// A temperature that is no finite number from 0 on, no tokens.
    pub fn check(&self) -> Result<()> {
        if self.temperature >= 0. && self.temperature.is_finite() && self.max_tokens > 0 {
            return Ok(());
        }
        let problem = format!("{self:?} samples nothing");
        Err(Error::invalid("sampling", problem, "give a temperature from 0 on and at least 1 token"))
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
        sampling.check()?;
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
    use std::{
        collections::{HashMap, HashSet},
        fs,
    };

    use serde_json::{Value, json};

    use super::*;

    const QUESTION: &str = "Tom has 3 apples and buys 4. How many?";
    const MOST: usize = 60;

    /// A tiny random model with a token for the blank line, in place of the last one.
    fn model() -> LanguageModel {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/qwen2");
        let folder = tempfile::tempdir().unwrap();
        for file in fs::read_dir(golden).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        let path = folder.path().join("tokenizer.json");
        let mut tokenizer: Value = crate::model::json(&path).unwrap();
        let merges = tokenizer["model"]["merges"].as_array_mut().unwrap();
        let last: String =
            merges.pop().unwrap().as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
        merges.push(json!(["Ċ", "Ċ"]));
        let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        let id = vocabulary.remove(&last).unwrap();
        vocabulary.insert("ĊĊ".into(), id);
        fs::write(path, tokenizer.to_string()).unwrap();
        let sampling = Sampling { temperature: 1., max_tokens: MOST };
        LanguageModel::load(folder.path(), &Device::Cpu, sampling).unwrap()
    }

    /// One row, every token after all those before it.
    fn alone(model: &LanguageModel, prompt: &[u32], mut rng: ChaCha8Rng) -> Continuation {
        let mut tokens: Vec<u32> = vec![];
        loop {
            let all = vec![[prompt, &tokens[..]].concat()];
            let hidden = model.decoder.forward(&all, &Cache::default(), &mut Cache::default()).unwrap();
            let logits = model.decoder.next(&hidden).unwrap().to_vec2::<f32>().unwrap();
            tokens.push(draw(&logits[0], 1., &mut rng));
            let text = model.chat.decode(&tokens).unwrap();
            if let Some(at) = text.find("\n\n") {
                return Continuation { text: text[..at].to_owned(), last: false, tokens: tokens.len() };
            }
            if tokens.len() == MOST || tokens.ends_with(&[1]) {
                return Continuation { text, last: true, tokens: tokens.len() };
            }
        }
    }

    #[test]
    fn rows_side_by_side_are_those_sampled_alone() {
        let (mut model, steps) = (model(), ["He has 3 + 4.".to_owned()]);
        let prompt = model.prompt(QUESTION, &steps).unwrap();
        let mut all = vec![];
        for key in 0..4 {
            let rows = model.sample(QUESTION, &steps, 8, key).unwrap();
            let row = |at: usize| random::generator(random::key(key, &["row", &at.to_string()]));
            let expected: Vec<Continuation> = (0..8).map(|at| alone(&model, &prompt, row(at))).collect();
            assert_eq!(rows, expected, "key {key}");
            assert_eq!(model.sample(QUESTION, &steps, 8, key).unwrap(), rows);
            all.extend(rows);
        }
        // Rows and keys differ; some end with the blank line, some with the end token, some are too long.
        assert_eq!(all.iter().map(|row| &row.text).collect::<HashSet<_>>().len(), 32);
        let of = |last: bool, longest: bool| all.iter().any(|row| (row.last, row.tokens == MOST) == (last, longest));
        assert!(of(false, false) && of(true, false) && of(true, true), "{all:?}");
    }

    #[test]
    fn at_temperature_1_tokens_follow_the_softmax_of_the_logits() {
        const N: usize = 20_000;
        let mut model = model();
        model.sampling.max_tokens = 1;
        let prompt = model.prompt(QUESTION, &[]).unwrap();
        let hidden = model.decoder.forward(&[prompt], &Cache::default(), &mut Cache::default()).unwrap();
        let logits = model.decoder.next(&hidden).unwrap().to_vec2::<f32>().unwrap().concat();
        let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        // Tokens that are one text (those that are left out of it, parts of characters) count together.
        let text = |id: u32| model.chat.decode(&[id]).unwrap().replace(BLANK_LINE, "");
        let texts: Vec<String> = (0..logits.len() as u32).map(text).collect();
        let mut expected: HashMap<&str, f64> = HashMap::new();
        for (text, logit) in texts.iter().zip(&logits) {
            *expected.entry(text).or_default() += N as f64 * f64::from(*logit).exp() / total;
        }
        // Pearson's statistic over its degrees of freedom.
        let mut distance = |temperature: f64| {
            model.sampling.temperature = temperature;
            let mut counts: HashMap<String, f64> = HashMap::new();
            for row in model.sample(QUESTION, &[], N, 3).unwrap() {
                *counts.entry(row.text).or_default() += 1.;
            }
            let of = |(text, expected): (&&str, &f64)| (counts.get(*text).unwrap_or(&0.) - expected).powi(2) / expected;
            expected.iter().map(of).sum::<f64>() / (expected.len() - 1) as f64
        };
        let distances = [1., 0.8, 1.25].map(&mut distance);
        assert!(distances[0] < 1.3 && distances[1] > 10. && distances[2] > 10., "{distances:?}");
    }

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
