//! Fusions against PyTorch's figures in `tests/golden`, made by the script there.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use aim_backbones::Build;
use aim_core::{Draws, Grads, Pass};
use aim_fusion::{Features, builtin};
use candle_core::{Device, Tensor, Var};
use serde_json::{Value, json};

/// Number of frames of each modality, which fusions that know no frames do not read.
const FRAMES: [usize; 3] = [3, 1, 2];

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

/// How a file was made: the fusion, its settings, and whether the pass trains.
struct Case<'a> {
    file: &'a str,
    name: &'a str,
    settings: Value,
    train: bool,
}

impl Case<'_> {
    fn check(&self, modalities: usize) {
        let (name, train) = (self.name, self.train);
        let file = format!("{}-{modalities}.safetensors", self.file);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(&file);
        let golden = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let names: Vec<String> = ["a", "b", "c"][..modalities].iter().map(|name| (*name).to_owned()).collect();
        let inputs: Vec<&Tensor> = (0..modalities).map(|m| &golden[&format!("x.{m}")]).collect();
        let widths: Vec<usize> = inputs.iter().map(|x| x.dim(1).unwrap()).collect();
        let mut build = Build::new(0, &Device::Cpu);
        let mut section = self.settings.clone();
        section["name"] = name.into();
        let spec = builtin().read(&section, "model.fusion").unwrap();
        let on = Features { names: &names, widths: &widths, frames: &FRAMES[..modalities], stages: &[], classes: 3 };
        let fusion = spec.build(&mut build, &on).unwrap();
        let params = build.finish();
        let weights =
            golden.iter().filter_map(|(name, t)| Some((name.strip_prefix("w.")?.to_owned(), t.clone()))).collect();
        params.load(&weights).unwrap();
        assert!(params.tensors().keys().eq(weights.keys()), "{file}: parameters");

        let features: Vec<Var> = inputs.into_iter().map(|x| Var::from_tensor(x).unwrap()).collect();
        let inputs: Vec<Tensor> = features.iter().map(|x| x.as_tensor().clone()).collect();
        let mut pass = if train { Pass::train(Draws { seed: 0, epoch: 0, step: 0 }) } else { Pass::eval() };
        let joined = fusion.forward(&inputs, &mut pass).unwrap();
        close(&format!("{file}: logits"), &joined.logits, &golden["logits"]);
        for (key, want) in &golden {
            let got = match key.split_once('.') {
                Some(("u", m)) => &joined.unimodal[m.parse::<usize>().unwrap()],
                Some(("e", name)) => &joined.extras[name],
                Some(("b", name)) => params.buffer(name).unwrap().as_tensor(),
                _ => continue,
            };
            close(&format!("{file}: {key}"), got, want);
        }
        let loss = joined.logits.mul(&golden["probe"]).unwrap().sum_all().unwrap();
        let grads = Grads::of(&loss, &params).unwrap();
        for (name, want) in golden.iter().filter_map(|(name, t)| Some((name.strip_prefix("g.")?, t))) {
            close(&format!("{file}: gradient of {name}"), grads.get(name).unwrap(), want);
        }
        let store = aim_ops::backward(&loss).unwrap();
        for (m, x) in features.iter().enumerate() {
            close(&format!("{file}: gradient of feature {m}"), store.get(x).unwrap(), &golden[&format!("gx.{m}")]);
        }
    }
}

fn check(name: &str, settings: Value, modalities: usize) {
    Case { file: name, name, settings, train: false }.check(modalities);
}

#[test]
fn logits_and_gradients_of_two_and_three_modalities_are_those_of_pytorch() {
    for modalities in [2, 3] {
        let attended = json!({"width": 6, "layers": 2, "heads": 2, "dropout": 0.});
        check("cross-attention", attended.clone(), modalities);
        let mut bottleneck = attended;
        bottleneck["tokens"] = 2.into();
        check("bottleneck", bottleneck, modalities);
        check("tensor", json!({"width": 2}), modalities);
        check("low-rank", json!({"rank": 3, "width": 4}), modalities);
        check("mmtm", json!({"squeeze": 3}), modalities);
        check("memory", json!({"hidden": 3}), modalities);
        for by in ["confidence", "entropy"] {
            let (file, settings) = (format!("decision-{by}"), json!({"by": by}));
            Case { file: &file, name: "decision", settings, train: false }.check(modalities);
        }
    }
}

#[test]
fn a_memory_aligns_samples_in_training_as_in_pytorch() {
    for modalities in [2, 3] {
        let settings = json!({"hidden": 3});
        Case { file: "memory-train", name: "memory", settings, train: true }.check(modalities);
    }
}

#[test]
fn logits_and_gradients_of_pairs_are_those_of_pytorch() {
    check("symmetric-film", json!({}), 2);
    check("symmetric-gated", json!({}), 2);
    check("gated-to", json!({"width": 3}), 2);
}
