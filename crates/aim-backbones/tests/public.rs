//! Encoders against the public models whose names they carry: PyTorch's figures in `tests/golden`, made by the script
//! there.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, path::Path};

use aim_backbones::{Build, EncoderSpec, Starting, Tensors, builtin};
use aim_config::Registry;
use aim_core::{Draws, Encoder, Grads, Input, Params, Pass, Rng};
use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

fn read(section: &Value) -> EncoderSpec {
    let mut section = section.clone();
    let encoders: &Registry<_> = builtin();
    let card = encoders.get(section["name"].as_str().unwrap(), "encoder").unwrap();
    if card.settings().iter().any(|setting| setting.name == "weights") {
        section["weights"] = json!({"file": "public"});
    }
    encoders.read(&section, "model.encoders.m").unwrap()
}

fn build(spec: &EncoderSpec, input: &[usize]) -> (Box<dyn Encoder>, Params) {
    let mut build = Build::new(3, &Device::Cpu);
    let encoder = spec.build(&mut build, "m", 0, input).unwrap();
    (encoder, build.finish())
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// A state dict of these names and shapes, each tensor of random values of its own.
fn state(list: &str) -> Tensors {
    let one = |line: &str| {
        let (name, shape) = line.split_once(' ').unwrap();
        let shape: Vec<usize> = shape.split(' ').map(|length| length.parse().unwrap()).collect();
        (name.to_owned(), Rng::keyed(7, name).uniform_tensor(&shape, 1., &Device::Cpu).unwrap())
    };
    list.lines().map(one).collect()
}

/// What stands in the names of libraries, behind a dot, and in the encoders' own.
const RENAMED: [(&str, &str); 22] = [
    // timm's ViT.
    (".blocks.", ".encoder.layer."),
    (".norm1.", ".layernorm_before."),
    (".attn.proj.", ".attention.output.dense."),
    (".norm2.", ".layernorm_after."),
    (".patch_embed.proj.", ".embeddings.patch_embeddings.projection."),
    (".norm.", ".layernorm."),
    // That of transformers, and what both call alike.
    (".layers.", ".encoder.layer."),
    (".attention.q_proj.", ".attention.attention.query."),
    (".attention.k_proj.", ".attention.attention.key."),
    (".attention.v_proj.", ".attention.attention.value."),
    (".attention.o_proj.", ".attention.output.dense."),
    (".mlp.fc1.", ".intermediate.dense."),
    (".mlp.fc2.", ".output.dense."),
    // DistilBERT.
    (".transformer.layer.", ".encoder.layer."),
    (".attention.q_lin.", ".attention.self.query."),
    (".attention.k_lin.", ".attention.self.key."),
    (".attention.v_lin.", ".attention.self.value."),
    (".attention.out_lin.", ".attention.output.dense."),
    (".sa_layer_norm.", ".attention.output.LayerNorm."),
    (".ffn.lin1.", ".intermediate.dense."),
    (".ffn.lin2.", ".output.dense."),
    (".output_layer_norm.", ".output.LayerNorm."),
];

/// A public tensor under the encoder's own name; timm's joined query, key and value as three, in this order.
fn own(name: &str, tensor: &Tensor) -> Vec<(String, Tensor)> {
    let whole = |name: &str| vec![(name.to_owned(), tensor.clone())];
    match name {
        "cls_token" => return whole("embeddings.cls_token"),
        "pos_embed" => return whole("embeddings.position_embeddings"),
        _ => {}
    }
    let name = RENAMED.iter().fold(format!(".{name}"), |name, (theirs, own)| name.replace(theirs, own));
    let Some((layer, leaf)) = name[1..].split_once(".attn.qkv.") else { return whole(&name[1..]) };
    let rows = tensor.dim(0).unwrap() / 3;
    let third = |(i, part): (usize, &str)| {
        (format!("{layer}.attention.attention.{part}.{leaf}"), tensor.narrow(0, i * rows, rows).unwrap())
    };
    ["query", "key", "value"].into_iter().enumerate().map(third).collect()
}

#[test]
fn a_state_dict_of_every_public_model_loads_with_nothing_missing() {
    let mut presets = vec![];
    for file in fs::read_dir(Path::new(GOLDEN).join("names")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let preset = name.split('.').next().unwrap().to_owned();
        let image = ["resnet", "vit"].iter().any(|kind| preset.starts_with(kind));
        let input: &[usize] = if image { &[3, 224, 224] } else { &[16] };
        let spec = read(&json!({"name": preset}));
        let (_, params) = build(&spec, input);
        let mut state = state(&fs::read_to_string(&path).unwrap());
        let adopted = Starting { encoder: &spec, modality: ("m", 0), input }.adopt(&state, &params).unwrap();
        assert!(adopted.missing.is_empty() && adopted.misshaped.is_empty(), "{name}: {adopted}");
        let head = |name: &String| name.starts_with("fc.") || name.starts_with("head.");
        assert!(adopted.unexpected.iter().all(head), "{name}: {adopted}");
        state.retain(|name, _| !head(name));
        let (want, got): (Tensors, _) = (state.iter().flat_map(|(name, t)| own(name, t)).collect(), params.tensors());
        assert!(got.keys().eq(want.keys().map(|own| format!("encoders.m.{own}")).collect::<Vec<_>>().iter()), "{name}");
        for ((own, want), got) in want.iter().zip(got.values()) {
            assert!(values(want) == values(got), "{name}: {own} has other values than the file");
        }
        presets.push(preset);
    }
    let sizes = builtin().iter().filter(|card| card.name() != card.defaults().info().name);
    for card in sizes {
        assert!(presets.iter().any(|preset| preset == card.name()), "there is no list of names for {}", card.name());
    }
}

/// The part of a case below a name.
fn part(case: &Tensors, prefix: &str) -> Tensors {
    let below = |(name, t): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), t.clone()));
    case.iter().filter_map(below).collect()
}

/// Tables of positions with rows of zeros behind those of a case.
fn whole(mut tensors: Tensors, params: &Params) -> Tensors {
    let name = "embeddings.position_embeddings.weight";
    if let (Some(table), Some(own)) = (tensors.get(name), params.get(&format!("encoders.m.{name}"))) {
        let (rows, width) = own.var.dims2().unwrap();
        let rest = Tensor::zeros((rows - table.dim(0).unwrap(), width), DType::F32, &Device::Cpu).unwrap();
        tensors.insert(name.into(), Tensor::cat(&[table.clone(), rest], 0).unwrap());
    }
    tensors
}

/// Equal but for 1e-4 of the largest value, and rounding.
fn close(what: &str, got: &Tensor, want: &Tensor) {
    assert_eq!(got.dims(), want.dims(), "{what}");
    let (got, want) = (values(got), values(want));
    let most = want.iter().fold(0f32, |most, x| most.max(x.abs()));
    let apart = got.iter().zip(&want).map(|(g, w)| (g - w).abs()).fold(0f32, f32::max);
    assert!(apart <= 1e-4 * most + 2e-5, "{what}: {apart} apart, the largest value is {most}");
}

fn check(case: &str, section: &Value) {
    let golden: Tensors =
        candle_core::safetensors::load(Path::new(GOLDEN).join(format!("{case}.safetensors")), &Device::Cpu)
            .unwrap()
            .into_iter()
            .collect();
    let spec = read(section);
    let x = &golden["x"];
    let (encoder, params) = build(&spec, &x.dims()[1..]);
    let starting = Starting { encoder: &spec, modality: ("m", 0), input: &x.dims()[1..] };
    let adopted = starting.adopt(&whole(part(&golden, "w."), &params), &params).unwrap();
    assert!(adopted.unexpected.is_empty() && adopted.share() == 1., "{case}: {adopted}");
    let input = || match golden.get("valid") {
        Some(valid) => Input::padded(x.clone(), valid.clone()).unwrap(),
        None => x.clone().into(),
    };
    for mode in ["eval", "train"] {
        let draws = Draws { seed: 0, epoch: 0, step: 0 };
        let mut pass = if mode == "eval" { Pass::eval() } else { Pass::train(draws) };
        let feature = encoder.forward(&input(), &mut pass).unwrap();
        close(&format!("{case}, {mode}"), &feature, &golden[&format!("{mode}.feature")]);
        let loss = feature.mul(&golden["probe"]).unwrap().sum_all().unwrap();
        let grads = Grads::of(&loss, &params).unwrap();
        let want = spec.translate(part(&golden, &format!("{mode}.g.")), &x.dims()[1..]).unwrap();
        let want = whole(want, &params);
        assert_eq!(want.len(), params.iter().count(), "{case}, {mode}: gradients");
        for (name, want) in want {
            close(
                &format!("{case}, {mode}, gradient of {name}"),
                grads.get(&format!("encoders.m.{name}")).unwrap(),
                &want,
            );
        }
    }
    for (name, want) in part(&golden, "after.") {
        close(&format!("{case}, {name}"), params.buffer(&format!("encoders.m.{name}")).unwrap(), &want);
    }
}

#[test]
fn features_and_gradients_are_those_of_torchvision() {
    check("resnet-basic", &json!({"name": "resnet18", "layers": [1, 2, 1, 1], "base_width": 3}));
    check("resnet-bottleneck", &json!({"name": "resnet50", "layers": [2, 1, 1, 1], "base_width": 2}));
    check("resnet-video", &json!({"name": "resnet18", "layers": [1, 1], "base_width": 3}));
}

#[test]
fn features_and_gradients_are_those_of_vision_transformers() {
    let sizes = json!({"name": "vit", "patch": 2, "width": 12, "heads": 3, "layers": 2, "blocks": 2});
    check("vit-class", &sizes);
    let of = |key: &str, value: Value| {
        let mut section = sizes.clone();
        section[key] = value;
        section
    };
    check("vit-mean", &of("feature", "mean".into()));
    check("vit-timm", &of("eps", 1e-6.into()));
}

#[test]
fn features_and_gradients_are_those_of_transformers_over_words() {
    let of = |family: &str, feature: &str, eps: f64| {
        json!({
            "name": "transformer", "vocabulary": 11, "width": 12, "heads": 3, "layers": 2, "blocks": 2, "dropout": 0.,
            "family": family, "feature": feature, "eps": eps
        })
    };
    check("bert-first", &of("bert", "first", 1e-12));
    check("bert-mean", &of("bert", "mean", 1e-12));
    check("roberta-first", &of("roberta", "first", 1e-5));
    check("distilbert-mean", &of("distilbert", "mean", 1e-12));
}

#[test]
fn features_and_gradients_over_padded_vectors_are_those_of_the_vectors_alone() {
    let sizes = json!({
        "name": "transformer", "layout": "time-first", "width": 6, "heads": 2, "layers": 2, "blocks": 2, "dropout": 0.,
        "feature": "mean"
    });
    check("transformer-vectors", &sizes);
    check("sequence", &json!({"name": "sequence", "widths": [5, 4]}));
}

#[test]
fn features_and_gradients_are_those_of_temporal_convolutions() {
    check("tcn-last", &json!({"name": "tcn", "widths": [5, 5, 4], "dropout": 0., "feature": "last"}));
    check("tcn-mean", &json!({"name": "tcn", "widths": [4, 6], "kernel": 2, "dropout": 0., "feature": "mean"}));
}

#[test]
fn positions_are_interpolated_as_by_pytorch() {
    let golden = candle_core::safetensors::load(Path::new(GOLDEN).join("positions.safetensors"), &Device::Cpu).unwrap();
    let name = "embeddings.position_embeddings";
    let spec = read(&json!({"name": "vit", "patch": 2, "width": 4, "heads": 1, "layers": 4}));
    // The last grid has as many cells as the table's.
    for [height, width] in [[2, 5], [6, 6], [4, 1], [1, 9]] {
        let input = [3, 2 * height, 2 * width];
        let state = Tensors::from([(name.to_owned(), golden["table"].clone())]);
        let table = spec.translate(state, &input).unwrap().remove(name).unwrap();
        close("the class token's", &table.narrow(1, 0, 1).unwrap(), &golden["table"].narrow(1, 0, 1).unwrap());
        let cells = table.narrow(1, 1, height * width).unwrap();
        close("the cells'", &cells, &golden[&format!("grid.{height}x{width}")]);
    }
}
