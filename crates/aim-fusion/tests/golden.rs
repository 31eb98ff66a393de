//! Fusions against PyTorch's figures in `tests/golden`, made by the script there.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use aim_backbones::Build;
use aim_core::{Grads, Pass};
use aim_fusion::{Features, builtin};
use candle_core::{Device, Tensor, Var};
use serde_json::{Value, json};

/// Width of a frame and number of frames of each modality.
const SIZES: [(usize, usize); 3] = [(5, 3), (2, 1), (3, 2)];

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Equal but for 1e-4 of the largest value, and rounding.
fn close(what: &str, got: &Tensor, want: &Tensor) {
    assert_eq!(got.dims(), want.dims(), "{what}");
    let (got, want) = (values(got), values(want));
    let most = want.iter().fold(0f32, |most, x| most.max(x.abs()));
    let apart = got.iter().zip(&want).map(|(g, w)| (g - w).abs()).fold(0f32, f32::max);
    assert!(apart <= 1e-4 * most + 2e-5, "{what}: {apart} apart, the largest value is {most}");
}

fn check(name: &str, settings: &Value, modalities: usize) {
    let file = format!("{name}-{modalities}.safetensors");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(&file);
    let golden = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let sizes = &SIZES[..modalities];
    let names: Vec<String> = ["a", "b", "c"][..modalities].iter().map(|name| (*name).to_owned()).collect();
    let widths: Vec<usize> = sizes.iter().map(|(width, frames)| width * frames).collect();
    let frames: Vec<usize> = sizes.iter().map(|(_, frames)| *frames).collect();
    let mut build = Build::new(0, &Device::Cpu);
    let mut section = settings.clone();
    section["name"] = name.into();
    let spec = builtin().read(&section, "model.fusion").unwrap();
    let on = Features { names: &names, widths: &widths, frames: &frames, stages: &[], classes: 3 };
    let fusion = spec.build(&mut build, &on).unwrap();
    let params = build.finish();
    let weights =
        golden.iter().filter_map(|(name, t)| Some((name.strip_prefix("w.")?.to_owned(), t.clone()))).collect();
    params.load(&weights).unwrap();
    assert_eq!(weights.len(), params.iter().count(), "{file}: parameters");

    let features: Vec<Var> = (0..modalities).map(|m| Var::from_tensor(&golden[&format!("x.{m}")]).unwrap()).collect();
    let inputs: Vec<Tensor> = features.iter().map(|x| x.as_tensor().clone()).collect();
    let logits = fusion.forward(&inputs, &mut Pass::eval()).unwrap().logits;
    close(&format!("{file}: logits"), &logits, &golden["logits"]);
    let loss = logits.mul(&golden["probe"]).unwrap().sum_all().unwrap();
    let grads = Grads::of(&loss, &params).unwrap();
    for (name, want) in golden.iter().filter_map(|(name, t)| Some((name.strip_prefix("g.")?, t))) {
        close(&format!("{file}: gradient of {name}"), grads.get(name).unwrap(), want);
    }
    let store = aim_ops::backward(&loss).unwrap();
    for (m, x) in features.iter().enumerate() {
        close(&format!("{file}: gradient of feature {m}"), store.get(x).unwrap(), &golden[&format!("gx.{m}")]);
    }
}

#[test]
fn logits_and_gradients_of_two_and_three_modalities_are_those_of_pytorch() {
    for modalities in [2, 3] {
        let attended = json!({"width": 6, "layers": 2, "heads": 2, "dropout": 0.});
        check("cross-attention", &attended, modalities);
        let mut bottleneck = attended;
        bottleneck["tokens"] = 2.into();
        check("bottleneck", &bottleneck, modalities);
        check("tensor", &json!({"width": 2}), modalities);
        check("low-rank", &json!({"rank": 3, "width": 4}), modalities);
    }
}
