//! What the cache of keys and values saves, and what it holds.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use aim_pats::model::{Cache, Config, Decoder};
use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use serde_json::json;

const WIDTH: usize = 96;
const LAYERS: usize = 2;
const KEY_HEADS: usize = 2;
const HEAD: usize = 16;
/// Tokens of the prefix.
const PREFIX: usize = 512;

fn decoder() -> Decoder {
    let config: Config = serde_json::from_value(json!({
        "model_type": "qwen2", "vocab_size": 50, "hidden_size": WIDTH, "intermediate_size": 200, "head_dim": HEAD,
        "num_hidden_layers": LAYERS, "num_attention_heads": 6, "num_key_value_heads": KEY_HEADS, "hidden_act": "silu",
        "max_position_embeddings": 600, "rms_norm_eps": 1e-6, "tie_word_embeddings": true,
    }))
    .unwrap();
    // Values do not matter here, shapes do.
    let weights = VarMap::new();
    Decoder::new(&config, &VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu)).unwrap();
    let plain: HashMap<String, Tensor> =
        weights.data().lock().unwrap().iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
    Decoder::new(&config, &VarBuilder::from_tensors(plain, DType::F32, &Device::Cpu)).unwrap()
}

fn tokens(rows: usize, len: usize) -> Vec<Vec<u32>> {
    (0..rows).map(|row| (0..len).map(|at| ((7 * at + 3 * row) % 50) as u32).collect()).collect()
}

/// The prefix's cache, and that of `rows` continuations of some tokens.
fn continued(decoder: &Decoder, rows: usize, len: usize) -> (Cache, Cache) {
    let (mut shared, mut own) = (Cache::default(), Cache::default());
    decoder.forward(&tokens(1, PREFIX), &Cache::default(), &mut shared).unwrap();
    for at in 0..len {
        let next: Vec<Vec<u32>> = tokens(rows, len).iter().map(|row| vec![row[at]]).collect();
        decoder.forward(&next, &shared, &mut own).unwrap();
    }
    (shared, own)
}

#[test]
fn memory_is_one_prefix_and_grows_by_the_continuations() {
    let decoder = decoder();
    let of_positions = |positions: usize| 2 * 4 * LAYERS * KEY_HEADS * HEAD * positions;
    for rows in [1, 2, 4, 8] {
        let (shared, own) = continued(&decoder, rows, 5);
        assert_eq!(shared.bytes(), of_positions(PREFIX));
        assert_eq!(own.bytes(), rows * of_positions(5));
        assert_eq!((shared.positions(), own.positions()), (PREFIX, 5));
    }
}

#[test]
fn a_cached_token_is_at_least_five_times_as_fast() {
    let decoder = decoder();
    let time = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    for rows in [1, 8] {
        let (shared, own) = continued(&decoder, rows, 1);
        let (one, whole) = (tokens(rows, 1), tokens(rows, PREFIX + 2));
        let (mut cached, mut anew) = (Duration::MAX, Duration::MAX);
        // In turns, so that whatever else the machine does slows both.
        for _ in 0..7 {
            cached = cached.min(time(&mut || {
                decoder.forward(&one, &shared, &mut own.clone()).unwrap();
            }));
            anew = anew.min(time(&mut || {
                decoder.forward(&whole, &Cache::default(), &mut Cache::default()).unwrap();
            }));
        }
        println!("{rows} rows: {anew:?} anew, {cached:?} cached");
        assert!(anew > 5 * cached, "{rows} rows: {anew:?} anew, {cached:?} cached");
    }
}
