//! Tiny random models against PyTorch's `transformers`; `golden/make.py` made the files.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use aim_pats::{
    LanguageModel, MathReward, Policy, ProcessReward, Sampling,
    model::{Cache, Config, Decoder},
};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::Deserialize;

#[derive(Deserialize)]
struct Language {
    question: String,
    steps: Vec<String>,
    prompt: Vec<u32>,
    /// Tokens of the prompt that the rows follow.
    prefix: usize,
    rows: Vec<Vec<u32>>,
    logits: Vec<f32>,
    /// Most probable continuation of the prompt.
    greedy: Vec<u32>,
}

#[derive(Deserialize)]
struct Reward {
    question: String,
    steps: Vec<String>,
    candidates: Vec<String>,
    /// Scores of the candidates as first steps.
    first: Vec<f64>,
    /// Scores after the steps.
    later: Vec<f64>,
}

const LANGUAGES: [&str; 2] = ["qwen2", "llama"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read<T: serde::de::DeserializeOwned>(name: &str, file: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(folder(name).join(file)).unwrap()).unwrap()
}

fn tensors(name: &str) -> std::collections::HashMap<String, Tensor> {
    candle_core::safetensors::load(folder(name).join("model.safetensors"), &Device::Cpu).unwrap()
}

fn decoder(name: &str) -> Decoder {
    let config: Config = read(name, "config.json");
    Decoder::new(&config, &VarBuilder::from_tensors(tensors(name), DType::F32, &Device::Cpu)).unwrap()
}

fn language(name: &str, max_tokens: usize) -> LanguageModel {
    LanguageModel::load(&folder(name), &Device::Cpu, Sampling { temperature: 0., max_tokens }).unwrap()
}

/// Largest difference, relative to the largest expected value.
fn distance(found: &Tensor, expected: &[f32]) -> f32 {
    let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
    found.iter().zip(expected).fold(0f32, |most, (a, b)| most.max((a - b).abs())) / largest
}

#[test]
fn logits_after_a_prefix_that_rows_share() {
    for name in LANGUAGES {
        let (expected, decoder): (Language, _) = (read(name, "expected.json"), decoder(name));
        let (mut shared, mut own) = (Cache::default(), Cache::default());
        let prefix = vec![expected.prompt[..expected.prefix].to_vec()];
        decoder.forward(&prefix, &Cache::default(), &mut shared).unwrap();
        // Two tokens at once, then one by one.
        let mut parts = vec![];
        for range in [0..2, 2..3, 3..4, 4..5] {
            let tokens: Vec<Vec<u32>> = expected.rows.iter().map(|row| row[range.clone()].to_vec()).collect();
            parts.push(decoder.logits(&decoder.forward(&tokens, &shared, &mut own).unwrap()).unwrap());
        }
        let logits = Tensor::cat(&parts, 1).unwrap();
        assert!(distance(&logits, &expected.logits) < 1e-5, "{name}: {}", distance(&logits, &expected.logits));
        // The same without a prefix of its own.
        let whole: Vec<Vec<u32>> = expected.rows.iter().map(|row| [&prefix[0][..], row].concat()).collect();
        let hidden = decoder.forward(&whole, &Cache::default(), &mut Cache::default()).unwrap();
        let logits = decoder.logits(&hidden.narrow(1, expected.prefix, 5).unwrap()).unwrap();
        assert!(distance(&logits, &expected.logits) < 1e-5, "{name}: {}", distance(&logits, &expected.logits));
    }
}

#[test]
fn the_prompt_and_the_most_probable_continuation() {
    for name in LANGUAGES {
        let expected: Language = read(name, "expected.json");
        let end = expected.greedy.iter().position(|token| *token == 1).map_or(expected.greedy.len(), |at| at + 1);
        for max_tokens in [1, 5, expected.greedy.len()] {
            let continuations = language(name, max_tokens).sample(&expected.question, &expected.steps, 3, 0).unwrap();
            let tokens = tokenizers::Tokenizer::from_file(folder(name).join("tokenizer.json")).unwrap();
            let kept = &expected.greedy[..end.min(max_tokens)];
            let text = tokens.decode(kept, true).unwrap();
            assert!(!text.contains("\n\n"));
            for continuation in continuations {
                assert_eq!((continuation.text, continuation.tokens), (text.clone(), kept.len()), "{name}");
                assert!(continuation.last);
            }
        }
    }
}

#[test]
fn what_was_kept_of_other_texts_changes_nothing() {
    let expected: Language = read("qwen2", "expected.json");
    let mut used = language("qwen2", 8);
    let prompts = [&expected.steps[..], &[], &expected.steps[..1], &expected.steps[..]];
    for steps in prompts {
        let fresh = language("qwen2", 8).sample(&expected.question, steps, 2, 1).unwrap();
        assert_eq!(used.sample(&expected.question, steps, 2, 1).unwrap(), fresh);
    }
}

#[test]
fn the_cache_is_one_prefix_and_the_continuations() {
    let expected: Language = read("qwen2", "expected.json");
    let mut model = language("qwen2", 5);
    let mut bytes = |rows: usize| {
        model.sample(&expected.question, &expected.steps, rows, 0).unwrap();
        model.cache_bytes()
    };
    // Keys and values of two layers, two heads of width 8 each, f32; the last token is not read again.
    let position = 2 * 2 * 2 * 8 * 4;
    for rows in [8, 1, 4] {
        assert_eq!(bytes(rows), (position * expected.prompt.len(), position * rows * 4));
    }
}

#[test]
fn a_step_ends_with_the_context() {
    let expected: Language = read("qwen2", "expected.json");
    let steps = vec![expected.steps[0].clone(); 35];
    let room = |steps: &[String]| {
        let found = language("qwen2", 1000).sample(&expected.question, steps, 1, 0)?;
        Ok::<_, aim_pats::Error>((found[0].tokens, found[0].last))
    };
    // 85 tokens of the question and 12 of each step leave 7 of 512 positions.
    assert_eq!(room(&steps).unwrap(), (7, true));
    let error = room(&[&steps[..], &steps[..]].concat()).unwrap_err().to_string();
    assert!(error.contains("more than the model's 512 positions"), "{error}");
}

#[test]
fn rewards_at_the_last_separator() {
    let expected: Reward = read("reward", "expected.json");
    let mut reward = MathReward::load(&folder("reward"), &Device::Cpu).unwrap();
    let close = |found: Vec<f64>, expected: &[f64]| {
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} {expected:?}");
    };
    for _ in 0..2 {
        close(reward.score(&expected.question, &[], &expected.candidates).unwrap(), &expected.first);
        close(reward.score(&expected.question, &expected.steps, &expected.candidates).unwrap(), &expected.later);
        let one = &expected.candidates[1..2];
        close(reward.score(&expected.question, &expected.steps, one).unwrap(), &expected.later[1..2]);
    }
    assert_eq!(reward.score(&expected.question, &[], &[]).unwrap(), [0f64; 0]);
}

/// candle-transformers' own Qwen2 computes the same.
#[test]
fn logits_of_candle_transformers() {
    use candle_transformers::models::qwen2;
    let expected: Language = read("qwen2", "expected.json");
    let mut config: serde_json::Value = read("qwen2", "config.json");
    config["sliding_window"] = 512.into();
    let config: qwen2::Config = serde_json::from_value(config).unwrap();
    let vb = VarBuilder::from_tensors(tensors("qwen2"), DType::F32, &Device::Cpu);
    let mut model = qwen2::ModelForCausalLM::new(&config, vb).unwrap();
    let input = Tensor::new(&expected.prompt[..], &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let theirs = model.forward(&input, 0).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let decoder = decoder("qwen2");
    let hidden = decoder.forward(&[expected.prompt], &Cache::default(), &mut Cache::default()).unwrap();
    assert!(distance(&decoder.next(&hidden).unwrap(), &theirs) < 1e-5);
}

#[test]
fn gradients_reach_every_weight() {
    let (name, expected): (_, Language) = ("qwen2", read("qwen2", "expected.json"));
    let config: Config = read(name, "config.json");
    let vars: std::collections::HashMap<String, candle_core::Var> =
        tensors(name).into_iter().map(|(name, value)| (name, candle_core::Var::from_tensor(&value).unwrap())).collect();
    let shown = || vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let loss = || {
        let decoder = Decoder::new(&config, &VarBuilder::from_tensors(shown(), DType::F32, &Device::Cpu)).unwrap();
        let rows = vec![expected.prompt[..20].to_vec()];
        let hidden = decoder.forward(&rows, &Cache::default(), &mut Cache::default()).unwrap();
        decoder.logits(&hidden).unwrap().sqr().unwrap().mean_all().unwrap()
    };
    let value = |loss: Tensor| loss.to_scalar::<f32>().unwrap();
    let gradients = loss().backward().unwrap();
    for (name, var) in &vars {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
        // Along the gradient itself the loss changes by its square.
        let square = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        if name.ends_with("k_proj.bias") {
            continue; // Softmax takes away what all keys have in common, but for its rotation.
        }
        assert!(square > 0., "{name}");
        let (before, step) = (var.as_tensor().copy().unwrap(), 1e-2 / square.sqrt());
        let moved = |by: f32| {
            var.set(&(&before + (gradient * f64::from(by)).unwrap()).unwrap()).unwrap();
            value(loss())
        };
        let slope = (moved(step) - moved(-step)) / (2. * step);
        var.set(&before).unwrap();
        assert!((slope / square - 1.).abs() < 0.05, "{name}: {slope} {square}");
    }
}
