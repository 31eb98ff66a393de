//! Trains the policy: a causal transformer of three small layers that does arithmetic one character after another.

use std::{fs, path::Path};

use aim_core::{Clock, Grads, Kind, Params, Part, Rng, Role};
use aim_optim::{AdamW, OptimizerSettings, Scheduler, WarmupCosine, schedule};
use aim_pats::{
    arithmetic,
    model::{Cache, Config, Decoder},
    random,
};
use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, ops};
use serde_json::{Value, json};

/// A result of this example.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Characters that the policy knows; the first ends a text.
const CHARACTERS: &str = "\u{0}\n+-*0123456789";
const END: &str = "<end>";
const WIDTH: usize = 64;
const INNER: usize = 160;
const LAYERS: usize = 3;
const BATCH: usize = 48;
/// Samples and weights are keyed by it.
const SEED: u64 = 5;

/// Name of the folder of a policy: its steps, and a hash of all else that it depends on.
pub fn name(steps: usize) -> String {
    named(steps, &config(), &optimizer())
}

/// The first batch stands for the task.
fn named(steps: usize, config: &Value, optimizer: &(AdamW, WarmupCosine)) -> String {
    let parts = format!("{:?} {:?}", (config, tokenizer(), tokenizer_config()), (optimizer, batch(0)));
    format!("{steps}-steps-{:016x}", random::key(SEED, &[&parts]))
}

/// The optimizer and the schedule of its learning rate.
fn optimizer() -> (AdamW, WarmupCosine) {
    (AdamW { lr: 3e-3, ..AdamW::default() }, WarmupCosine { warmup_steps: 50, ..WarmupCosine::default() })
}

/// `config.json` of the policy.
fn config() -> Value {
    json!({
        "model_type": "llama", "vocab_size": CHARACTERS.len(), "hidden_size": WIDTH, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": 4, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
        "hidden_act": "silu", "rope_theta": 100.0, "eos_token_id": 0,
    })
}

/// `tokenizer.json`: a token a character.
fn tokenizer() -> Value {
    let name = |c: char| if c == '\0' { END.to_owned() } else { c.to_string() };
    let vocabulary: serde_json::Map<_, _> = CHARACTERS.chars().map(name).zip((0..).map(Value::from)).collect();
    json!({
        "version": "1.0",
        "added_tokens": [{
            "id": 0, "content": END, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true,
        }],
        "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    })
}

/// The question and a blank line is all the prompt.
fn tokenizer_config() -> Value {
    json!({"eos_token": END, "chat_template": "{{ messages[-1]['content'] + '\n\n' }}"})
}

/// Names and shapes of the weights.
fn shapes() -> Vec<(String, Vec<usize>)> {
    let tokens = CHARACTERS.len();
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![tokens, WIDTH]),
        ("model.norm.weight".to_owned(), vec![WIDTH]),
        ("lm_head.weight".to_owned(), vec![tokens, WIDTH]),
    ];
    for layer in 0..LAYERS {
        let mut add = |name: &str, shape: &[usize]| {
            shapes.push((format!("model.layers.{layer}.{name}.weight"), shape.to_vec()));
        };
        add("input_layernorm", &[WIDTH]);
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(&format!("self_attn.{name}"), &[WIDTH, WIDTH]);
        }
        add("post_attention_layernorm", &[WIDTH]);
        add("mlp.gate_proj", &[INNER, WIDTH]);
        add("mlp.up_proj", &[INNER, WIDTH]);
        add("mlp.down_proj", &[WIDTH, INNER]);
    }
    shapes
}

/// Fresh weights: ones in norms, normal values of variance one over the inputs elsewhere.
fn weights() -> Result<Params> {
    let mut params = Params::default();
    for (name, shape) in shapes() {
        let value = match shape[..] {
            [width] => Tensor::ones(width, DType::F32, &Device::Cpu)?,
            [_, inputs] => {
                let std = (inputs as f64).powf(-0.5);
                Rng::keyed(SEED, &name).normal_tensor(&shape, std, &Device::Cpu)?
            }
            _ => return Err(format!("{name}: {shape:?} is no shape of a weight").into()),
        };
        params.add(&name, Role { part: Part::Head { modality: None }, kind: Kind::Linear }, &value)?;
    }
    Ok(params)
}

/// Tokens of a text, which may end.
fn tokens(text: &str, ends: bool) -> Vec<u32> {
    let token = |c: char| CHARACTERS.find(c).map(|at| at as u32);
    text.chars().filter_map(token).chain(ends.then_some(0)).collect()
}

/// Tokens of a batch, all of one length, and the weight of each next token: 1 within solutions, 0 elsewhere.
fn batch(step: usize) -> (Vec<Vec<u32>>, Vec<f32>) {
    let (mut rows, mut begins) = (vec![], vec![]);
    let keys = (0..).map(|at: usize| random::key(SEED, &["train", &step.to_string(), &at.to_string()]));
    let questions = keys.map(arithmetic::expression).filter(|question| !arithmetic::held_out(question));
    for question in questions.take(BATCH) {
        let prompt = tokens(&format!("{question}\n\n"), false);
        begins.push(prompt.len());
        rows.push([prompt, tokens(&arithmetic::steps(&question).join("\n\n"), true)].concat());
    }
    let longest = rows.iter().map(Vec::len).max().unwrap_or_default();
    let mut counts = vec![];
    for (row, begin) in rows.iter_mut().zip(begins) {
        counts.extend((1..longest).map(|next| f32::from(u8::from(next >= begin && next < row.len()))));
        row.resize(longest, 0);
    }
    (rows, counts)
}

/// Mean cross-entropy of the next tokens of a batch.
fn loss(decoder: &Decoder, rows: &[Vec<u32>], counts: &[f32]) -> Result<Tensor> {
    let inputs: Vec<Vec<u32>> = rows.iter().map(|row| row[..row.len() - 1].to_vec()).collect();
    let targets: Vec<u32> = rows.iter().flat_map(|row| row[1..].to_vec()).collect();
    let hidden = decoder.forward(&inputs, &Cache::default(), &mut Cache::default())?;
    let logits = decoder.logits(&hidden.flatten(0, 1)?)?;
    let targets = Tensor::new(targets, &Device::Cpu)?.unsqueeze(1)?;
    let chosen = ops::log_softmax(&logits, 1)?.gather(&targets, 1)?.squeeze(1)?;
    let counted = (chosen * Tensor::new(counts, &Device::Cpu)?)?.sum_all()?;
    Ok((counted * (-1. / f64::from(counts.iter().sum::<f32>())))?)
}

/// Trains for some steps; the weights and the loss of each step.
pub fn train(steps: usize) -> Result<(Params, Vec<f32>)> {
    let params = weights()?;
    let config: Config = serde_json::from_value(config())?;
    let shown = params.iter().map(|(name, param)| (name.to_string(), param.var.as_tensor().clone())).collect();
    let decoder = Decoder::new(&config, &VarBuilder::from_tensors(shown, DType::F32, &Device::Cpu))?;
    let (adam, warmup) = optimizer();
    let mut adam = adam.build();
    let rate = Scheduler::new(&schedule(warmup), adam.lr(), 1);
    let mut losses = vec![];
    for step in 0..steps {
        rate.before_update(
            Clock { step, batch: step, epochs: 1, steps_per_epoch: steps, ..Clock::default() },
            adam.as_mut(),
        );
        let (rows, counts) = batch(step);
        let loss = loss(&decoder, &rows, &counts)?;
        adam.apply(&params, &Grads::of(&loss, &params)?)?;
        losses.push(loss.to_scalar()?);
        if step % 100 == 99 {
            eprintln!("step {}: loss {:.3}", step + 1, losses[step]);
        }
    }
    Ok((params, losses))
}

/// Makes the folder of a policy that was trained for some steps, unless it is there.
pub fn make(folder: &Path, steps: usize) -> Result<()> {
    // The weights are written last.
    let model = folder.join("model.safetensors");
    if model.exists() {
        return Ok(());
    }
    let (params, _) = train(steps)?;
    fs::create_dir_all(folder)?;
    for (name, value) in [("config", config()), ("tokenizer", tokenizer()), ("tokenizer_config", tokenizer_config())] {
        fs::write(folder.join(format!("{name}.json")), value.to_string())?;
    }
    let part = folder.join("part");
    candle_core::safetensors::save(&params.tensors().into_iter().collect(), &part)?;
    Ok(fs::rename(part, model)?)
}

#[cfg(test)]
mod tests {
    use aim_pats::{LanguageModel, Policy, Sampling};

    use super::*;

    #[test]
    fn only_solutions_count_and_all_of_them() {
        let (rows, counts) = batch(3);
        let counted = |row: usize| counts[row * (rows[0].len() - 1)..][..rows[0].len() - 1].to_vec();
        for (at, row) in rows.iter().enumerate() {
            let shown: String = row.iter().map(|id| CHARACTERS.as_bytes()[*id as usize] as char).collect();
            let (question, rest) = shown.split_once("\n\n").unwrap();
            assert!(!arithmetic::held_out(question));
            assert_eq!(rest.trim_end_matches('\0'), arithmetic::steps(question).join("\n\n"));
            // The next token counts from the first of the solution to the end.
            let solution = rest.trim_end_matches('\0').len() + 1;
            let expected = |next: usize| next >= question.len() + 2 && next < question.len() + 2 + solution;
            let weights: Vec<f32> = (1..row.len()).map(|next| f32::from(u8::from(expected(next)))).collect();
            assert_eq!(counted(at), weights, "{shown}");
        }
    }

    #[test]
    fn the_name_tells_policies_apart() {
        let (adam, warmup) = optimizer();
        let (mut config, mut other) = (config(), adam);
        assert_eq!(name(9), named(9, &config, &(adam, warmup.clone())));
        other.lr = 1e-3;
        let mut names = vec![name(9), name(10), named(9, &config, &(other, warmup.clone()))];
        config["num_hidden_layers"] = 4.into();
        names.push(named(9, &config, &(adam, warmup)));
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{names:?}");
        }
    }

    #[test]
    fn the_loss_falls_and_the_folder_is_a_model() {
        let (_, losses) = train(25).unwrap();
        assert!((losses[0] - (CHARACTERS.len() as f32).ln()).abs() < 1.5 && losses[24] < losses[0] - 0.5, "{losses:?}");
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), 2).unwrap();
        let mut model =
            LanguageModel::load(folder.path(), &Device::Cpu, Sampling { max_tokens: 9, ..Sampling::default() })
                .unwrap();
        let sampled = model.sample("7+3*14-5", &["7+42-5".into()], 4, 1).unwrap();
        assert_eq!(sampled.len(), 4);
        assert!(sampled.iter().all(|one| (1..=9).contains(&one.tokens) && one.text.len() <= one.tokens), "{sampled:?}");
    }
}
