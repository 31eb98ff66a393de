//! What one more token costs for w continuations of a prefix of 256 tokens: with its keys and values kept, and computed
//! anew. The model is random, of the form of a Qwen2 with 8 layers of width 512.
//!
//! ```text
//! cargo run --release -p aim-pats --example cache -- 8
//! ```

use std::{collections::HashMap, time::Instant};

use aim_pats::model::{Cache, Config, Decoder};
use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use serde_json::json;

const VOCABULARY: usize = 1000;
const PREFIX: usize = 256;
/// Tokens that each continuation has.
const OWN: usize = 256;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn decoder() -> Result<Decoder> {
    let config: Config = serde_json::from_value(json!({
        "model_type": "qwen2", "vocab_size": VOCABULARY, "hidden_size": 512, "intermediate_size": 1408,
        "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 2, "hidden_act": "silu",
        "max_position_embeddings": 1024, "rms_norm_eps": 1e-6, "tie_word_embeddings": true,
    }))?;
    let weights = VarMap::new();
    Decoder::new(&config, &VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu))?;
    let held = weights.data().lock().map_err(|e| e.to_string())?;
    let plain: HashMap<String, Tensor> =
        held.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
    Ok(Decoder::new(&config, &VarBuilder::from_tensors(plain, DType::F32, &Device::Cpu))?)
}

fn tokens(rows: usize, len: usize) -> Vec<Vec<u32>> {
    (0..rows).map(|row| (0..len).map(|at| ((7 * at + 3 * row) % VOCABULARY) as u32).collect()).collect()
}

/// A figure of this process's memory in MiB, where the system tells it.
fn memory(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.
}

fn main() -> Result<()> {
    let rows: usize = std::env::args().nth(1).map_or(Ok(8), |text| text.parse())?;
    let decoder = decoder()?;
    let (mut shared, mut own) = (Cache::default(), Cache::default());
    decoder.forward(&tokens(1, PREFIX), &Cache::default(), &mut shared)?;
    // The peak begins anew here.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = memory("VmRSS");
    let start = Instant::now();
    for at in 0..OWN {
        let next: Vec<Vec<u32>> = tokens(rows, OWN).iter().map(|row| vec![row[at]]).collect();
        decoder.next(&decoder.forward(&next, &shared, &mut own)?)?;
    }
    let cached = start.elapsed().as_secs_f64() / OWN as f64;
    let grown = memory("VmHWM") - before;
    // Half way through the continuations.
    let whole = tokens(rows, PREFIX + OWN / 2);
    let mut anew = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        decoder.next(&decoder.forward(&whole, &Cache::default(), &mut Cache::default())?)?;
        anew = anew.min(start.elapsed().as_secs_f64());
    }
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    println!(
        "w = {rows}: {:.2} ms a token cached, {:.1} ms anew ({:.1} x); keys and values {:.2} MiB of the prefix, {:.2} MiB of \
         {OWN} tokens each; the process grew by {grown:.1} MiB",
        1e3 * cached,
        1e3 * anew,
        anew / cached,
        mib(shared.bytes()),
        mib(own.bytes()),
    );
    Ok(())
}
