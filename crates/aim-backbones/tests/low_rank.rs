//! Low-rank additions of every encoder that has them: what they add, where they are, and what is trained.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;

use aim_backbones::{
    Build, ConvSize, EncoderSpec, Freeze, LowRank, ResNetConfig, TcnConfig, Tensors, builtin, encoder, with_addition,
};
use aim_core::{Draws, Encoder, Grads, Kind, Params, Part, Pass, Rng, Role};
use candle_core::{Device, Tensor};
use serde_json::{Value, json};

const SCALE: f64 = 0.5;
/// The setting of low-rank additions.
const LORA: &str = "lora";

/// Every encoder with a setting `lora`, and the shape of a sample; `cnn` over each rank that it reads.
fn cases() -> Vec<(Value, Vec<usize>)> {
    vec![
        (json!({"name": "mlp", "widths": [4, 3]}), vec![5]),
        (json!({"name": "cnn", "widths": [3, 4]}), vec![9]),
        (json!({"name": "cnn", "widths": [3, 4]}), vec![2, 9]),
        (json!({"name": "cnn", "widths": [3, 4]}), vec![2, 6, 6]),
        (json!({"name": "sequence", "widths": [4, 3]}), vec![2, 4]),
        (json!({"name": "resnet18", "layers": [1, 1], "base_width": 2}), vec![1, 9, 9]),
        (json!({"name": "vit", "patch": 2, "width": 6, "heads": 2, "layers": 2, "blocks": 2}), vec![1, 4, 4]),
        (
            json!({"name": "transformer", "layout": "time-first", "width": 6, "heads": 2, "layers": 2, "blocks": 2}),
            vec![4, 3],
        ),
        // Wide enough that some units of every layer are above 0.
        (json!({"name": "tcn", "widths": [8, 8, 9], "feature": "mean"}), vec![2, 7]),
    ]
}

fn read(section: &Value, lora: bool) -> EncoderSpec {
    let mut section = section.clone();
    if lora {
        section["lora"] = json!({"rank": 2, "scale": SCALE});
    }
    builtin().read(&section, "model.encoders.m").unwrap()
}

fn build(spec: &EncoderSpec, input: &[usize], freeze: &[usize]) -> (Box<dyn Encoder>, Params) {
    let mut build = Build::new(3, &Device::Cpu);
    build.set_low_rank(spec.low_rank());
    build.set_frozen(Some(&Freeze { depth: freeze.to_vec() }));
    let encoder = spec.build(&mut build, "m", 0, input).unwrap();
    (encoder, build.finish())
}

fn random(shape: &[usize], name: &str) -> Tensor {
    Rng::keyed(1, name).uniform_tensor(shape, 0.7, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn batch(input: &[usize]) -> Tensor {
    random(&[&[4], input].concat(), "batch")
}

fn feature(encoder: &dyn Encoder, input: &[usize]) -> Vec<f32> {
    values(&encoder.forward(&batch(input).into(), &mut Pass::eval()).unwrap())
}

fn is_addition(role: Role) -> bool {
    matches!(role.part, Part::Adapter { .. })
}

#[test]
fn additions_beside_the_weights_are_those_within_them() {
    for (section, input) in cases() {
        let (adapted, params) = build(&read(&section, true), &input, &[]);
        let (plain, others) = build(&read(&section, false), &input, &[]);
        for (name, param) in params.iter() {
            param.var.set(&random(param.var.dims(), name)).unwrap();
        }
        let mut tensors = params.snapshot().unwrap();
        let names: Vec<String> =
            tensors.keys().filter_map(|name| Some(name.strip_suffix(".lora_a")?.to_owned())).collect();
        let mut merged = tensors.clone();
        for name in names {
            let [a, b] = ["a", "b"].map(|leaf| merged.remove(&format!("{name}.lora_{leaf}")).unwrap());
            let weight = with_addition(&merged[&format!("{name}.weight")], &a, &b, SCALE).unwrap();
            merged.insert(format!("{name}.weight"), weight);
        }
        tensors.retain(|name, _| !name.contains("lora"));
        others.load(&merged).unwrap();
        let within = feature(&*plain, &input);
        assert_eq!(feature(&*adapted, &input), within, "{section} over {input:?}");
        others.load(&tensors).unwrap();
        assert_ne!(feature(&*plain, &input), within, "{section} over {input:?}");
    }
}

#[test]
fn every_block_of_every_encoder_that_has_the_setting_has_additions() {
    for (section, input) in cases() {
        let (encoder, params) = build(&read(&section, true), &input, &[]);
        let depth = |role: Role| match role.part {
            Part::Adapter { modality: 0, depth } => Some(depth),
            _ => None,
        };
        let depths: BTreeSet<usize> = params.iter().filter_map(|(_, p)| depth(p.role)).collect();
        assert!(depths.into_iter().eq(0..encoder.depth()), "{section} over {input:?}");
    }
    for card in builtin().iter().filter(|card| card.settings().iter().any(|setting| setting.name == LORA)) {
        let name = card.defaults().info().name;
        assert!(cases().iter().any(|(section, _)| section["name"] == name), "there is no case of {name}");
    }
}

#[test]
fn a_convolution_over_a_sequence_is_adapted_as_a_linear_layer_over_its_windows() {
    let (input, output, kernel, length) = (2, 3, 4, 6);
    let mut build = Build::new(0, &Device::Cpu);
    build.set_low_rank(Some(&LowRank { scale: SCALE, ..LowRank::of(2) }));
    let (part, size) = (Part::Encoder { modality: 1, depth: 2 }, ConvSize { kernel, stride: 1, padding: 0 });
    let conv = build.conv1d("conv", part, (input, output), size).unwrap();
    let params = build.finish();
    let role = |kind| Role { part: Part::Adapter { modality: 1, depth: 2 }, kind };
    let mut tensors = Tensors::new();
    for (name, shape) in [("conv.lora_a", [2, input * kernel]), ("conv.lora_b", [output, 2])] {
        let param = params.get(name).unwrap();
        assert_eq!((param.var.dims(), param.role), (&shape[..], role(Kind::Linear)), "{name}");
        tensors.insert(name.into(), random(&shape, name));
    }
    assert_eq!(values(&params.get("conv.lora_b").unwrap().var), [0.; 6], "it begins at the weight alone");
    tensors.insert("conv.weight".into(), random(&[output, input, kernel], "conv.weight"));
    params.load(&tensors).unwrap();
    let x = random(&[1, input, length], "x");
    let got = values(&conv.forward(&x, &Pass::eval()).unwrap());
    let [x, weight, a, b] = [&x, &tensors["conv.weight"], &tensors["conv.lora_a"], &tensors["conv.lora_b"]].map(values);
    for o in 0..output {
        for t in 0..=length - kernel {
            let window: Vec<f32> = (0..input * kernel).map(|j| x[j / kernel * length + t + j % kernel]).collect();
            let dot = |row: &[f32]| row.iter().zip(&window).map(|(w, x)| f64::from(w * x)).sum::<f64>();
            let rows = |matrix: &[f32], i: usize| dot(&matrix[i * window.len()..(i + 1) * window.len()]);
            let addition: f64 = (0..2).map(|r| f64::from(b[o * 2 + r]) * rows(&a, r)).sum();
            let (got, want) = (f64::from(got[o * (length - kernel + 1) + t]), rows(&weight, o) + SCALE * addition);
            assert!((got - want).abs() < 1e-5, "output {o} at {t}: {got}, not {want}");
        }
    }
}

#[test]
fn gradients_reach_additions_and_not_the_frozen_weights_below() {
    for (section, input) in cases() {
        let spec = read(&section, true);
        let depth = build(&spec, &input, &[]).0.depth();
        let (encoder, params) = build(&spec, &input, &(0..depth).collect::<Vec<_>>());
        assert!(params.iter().all(|(_, p)| is_addition(p.role)), "{section}");
        let moved = |leaf: &str| {
            let mut pass = Pass::train(Draws { seed: 0, epoch: 0, step: 0 });
            let feature = encoder.forward(&batch(&input).into(), &mut pass).unwrap();
            let mix = random(feature.dims(), "mix");
            let grads = Grads::of(&(feature * mix).unwrap().sum_all().unwrap(), &params).unwrap();
            assert!(grads.iter().all(|(name, _)| name.contains(".lora_")), "{section} over {input:?}");
            for (name, _) in params.iter().filter(|(name, _)| name.ends_with(leaf)) {
                let grad = values(grads.get(name).unwrap());
                assert!(grad.iter().any(|g| *g != 0.), "{section} over {input:?}: {name} does not move");
            }
        };
        // A moves once B is no longer 0.
        moved("lora_b");
        for (name, param) in params.iter() {
            param.var.set(&random(param.var.dims(), name)).unwrap();
        }
        moved("lora_a");
    }
}

#[test]
fn additions_that_reach_nothing_are_refused() {
    let lora = Some(LowRank { first_block: 2, ..LowRank::of(1) });
    let tcn = encoder(TcnConfig { widths: vec![3, 4], lora: lora.clone(), ..TcnConfig::default() });
    let resnet = encoder(ResNetConfig { layers: vec![1, 1], lora, ..ResNetConfig::default() });
    for (spec, input) in [(tcn, &[2, 6][..]), (resnet, &[1, 9, 9])] {
        let read = builtin().read(&spec.section(), "model.encoders.m").err().unwrap().to_string();
        assert_eq!(read, "model.encoders.m.lora.first_block: is 2; use a block from 0 to 1");
        // Settings that are made in Rust are read by nobody.
        let mut build = Build::new(0, &Device::Cpu);
        build.set_low_rank(spec.low_rank());
        let built = spec.build(&mut build, "m", 0, input).err().unwrap().to_string();
        assert!(built.starts_with("encoders.m: has no layer that a low-rank addition reaches; "), "{built}");
    }
    let attention = json!({"name": "tcn", "widths": [3], "lora": {"rank": 1, "targets": "attention"}});
    let refused = builtin().read(&attention, "model.encoders.m").err().unwrap().to_string();
    assert!(refused.starts_with("model.encoders.m.lora.targets: "), "{refused}");
}
