//! Fusions that read the tokens of encoders: against PyTorch's figures in `tests/golden`, made by `tokens.py` there,
//! and the laws of padding and absence.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::path::Path;

use aim_core::{Batch, Error, Grads, Input, Net, Pass, Rng, capability, conformance};
use aim_fusion::{LateFusion, ModelConfig, builtin};
use candle_core::{DType, Device, Tensor};
use common::{close, values};
use serde_json::{Value, json};

/// An encoder's section and the shape of a sample.
type Kind = (Value, &'static [usize]);

fn config(kinds: &[Kind], fusion: &Value) -> Result<ModelConfig, Error> {
    let encoders = ["a", "b", "c"].iter().zip(kinds).map(|(name, (section, _))| {
        let spec = aim_backbones::builtin().read(section, "model.encoders").unwrap();
        ((*name).to_owned(), spec)
    });
    Ok(ModelConfig::new(encoders, builtin().read(fusion, "model.fusion")?))
}

fn built(config: &ModelConfig, kinds: &[Kind]) -> Result<LateFusion, Error> {
    let shapes: Vec<_> = config.encoders.keys().cloned().zip(kinds.iter().map(|(_, shape)| shape.to_vec())).collect();
    LateFusion::new(config, &shapes, 3, 0, &Device::Cpu)
}

fn network(kinds: &[Kind], fusion: &Value) -> LateFusion {
    built(&config(kinds, fusion).unwrap(), kinds).unwrap()
}

fn layers(name: &str) -> Value {
    json!({"name": name, "width": 8, "heads": 2, "layers": 3, "blocks": 3, "dropout": 0.})
}

fn vit(shape: &'static [usize]) -> Kind {
    let mut vit = layers("vit");
    vit["patch"] = 4.into();
    (vit, shape)
}

/// A transformer over vectors, or over ids of these words.
fn text(vocabulary: Option<usize>) -> Kind {
    let mut text = layers("transformer");
    match vocabulary {
        Some(words) => text["vocabulary"] = words.into(),
        None => text["layout"] = "time-first".into(),
    }
    (text, if vocabulary.is_some() { &[5] } else { &[5, 3] })
}

fn tcn() -> Kind {
    (json!({"name": "tcn", "widths": [4, 3], "dropout": 0.}), &[2, 5])
}

fn mlp() -> Kind {
    (json!({"name": "mlp", "widths": [4]}), &[6])
}

/// Encoders whose features are made of 4, 5 and 5 tokens.
fn kinds() -> [Kind; 3] {
    [vit(&[1, 8, 8]), text(None), tcn()]
}

/// Both fusions.
fn fusions() -> [Value; 2] {
    let sizes = json!({"width": 6, "layers": 2, "heads": 2, "dropout": 0., "reads": "tokens"});
    let [mut cross, mut bottleneck] = [sizes.clone(), sizes];
    cross["name"] = "cross-attention".into();
    bottleneck["name"] = "bottleneck".into();
    bottleneck["tokens"] = 2.into();
    [cross, bottleneck]
}

fn inputs(kinds: &[Kind]) -> Vec<Tensor> {
    let input = |(m, (_, shape)): (usize, &Kind)| {
        let shape = [&[5], *shape].concat();
        Rng::keyed(0, &format!("input.{m}")).normal_tensor(&shape, 1., &Device::Cpu).unwrap()
    };
    kinds.iter().enumerate().map(input).collect()
}

fn batch(inputs: Vec<Input>) -> Batch {
    Batch::of(inputs, Tensor::new(&[0u32, 1, 2, 1, 0], &Device::Cpu).unwrap()).unwrap()
}

fn logits(net: &LateFusion, batch: &Batch) -> Vec<f32> {
    let net: &dyn Net = net;
    values(&net.forward(batch, &mut Pass::eval()).unwrap().logits)
}

#[test]
fn logits_and_gradients_are_those_of_pytorch() {
    for fusion in fusions() {
        let file = format!("tokens-{}.safetensors", fusion["name"].as_str().unwrap());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(&file);
        let golden = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let net = network(&kinds(), &fusion);
        let net: &dyn Net = &net;
        let weights =
            golden.iter().filter_map(|(name, t)| Some((name.strip_prefix("w.")?.to_owned(), t.clone()))).collect();
        net.params().load(&weights).unwrap();
        assert!(net.params().tensors().keys().eq(weights.keys()), "{file}: parameters");
        let x = |m: usize| golden[&format!("x.{m}")].clone();
        let padded = Input::padded(x(2), golden["valid"].clone()).unwrap();
        let mut batch = batch(vec![x(0).into(), x(1).into(), padded]);
        batch.present = Some(golden["present"].clone());
        let logits = net.forward(&batch, &mut Pass::eval()).unwrap().logits;
        close(&format!("{file}: logits"), &logits, &golden["logits"]);
        let grads = Grads::of(&logits.mul(&golden["probe"]).unwrap().sum_all().unwrap(), net.params()).unwrap();
        for (name, want) in golden.iter().filter_map(|(name, t)| Some((name.strip_prefix("g.")?, t))) {
            close(&format!("{file}: gradient of {name}"), grads.get(name).unwrap(), want);
        }
    }
}

#[test]
fn networks_whose_fusion_reads_tokens_conform() {
    let kinds = [vit(&[1, 2, 8, 8]), text(None), tcn()];
    for fusion in fusions() {
        for kinds in [&kinds[..], &[vit(&[1, 8, 8]), mlp()]] {
            let net = network(kinds, &fusion);
            let batch = batch(inputs(kinds).into_iter().map(Input::from).collect());
            conformance::check(&net, &batch).unwrap_or_else(|e| panic!("{fusion}: {e}"));
            conformance::slopes(&net, &batch).unwrap_or_else(|e| panic!("{fusion}: {e}"));
        }
    }
}

#[test]
fn features_are_tokens_side_by_side() {
    for fusion in fusions() {
        let net = network(&kinds(), &fusion);
        assert!(net.spec().capabilities.has(capability::UNPOOLED));
        assert_eq!((&net.spec().frames[..], &net.spec().widths[..]), (&[4, 5, 5][..], &[32, 40, 15][..]));
        let sequence = (json!({"name": "sequence", "widths": [4]}), &[2, 3][..]);
        let others = network(&[vit(&[1, 2, 8, 8]), sequence, mlp()], &fusion);
        assert_eq!((&others.spec().frames[..], &others.spec().widths[..]), (&[8, 3, 1][..], &[64, 12, 4][..]));
        let words = network(&[text(Some(9)), mlp()], &fusion);
        assert_eq!((&words.spec().frames[..], &words.spec().widths[..]), (&[5, 1][..], &[40, 4][..]));
    }
}

#[test]
fn the_tokens_of_a_video_are_those_of_its_frames_in_turn() {
    let [fusion, _] = fusions();
    let video = network(&[vit(&[1, 2, 8, 8]), mlp()], &fusion);
    let image = network(&[vit(&[1, 8, 8]), mlp()], &fusion);
    let x = inputs(&[vit(&[1, 2, 8, 8])]).remove(0);
    let tokens = |net: &LateFusion, x: Tensor| net.encode(0, &x.into(), &mut Pass::eval()).unwrap();
    let whole = tokens(&video, x.clone());
    for t in 0..2 {
        let frame = x.narrow(2, t, 1).unwrap().squeeze(2).unwrap().contiguous().unwrap();
        close("frame", &whole.narrow(1, t * 32, 32).unwrap(), &tokens(&image, frame));
    }
}

#[test]
fn what_stands_at_padding_is_no_token() {
    let kinds = [text(Some(9)), text(None), tcn()];
    let ids = |last: f32| Tensor::new(&[[3f32, 1., last, last, last]], &Device::Cpu).unwrap().repeat((5, 1)).unwrap();
    let rest = inputs(&kinds);
    // Other values at the last three positions of 5, along the axis that is time.
    let wild = |x: &Tensor, time: usize| {
        let (real, padded) = (x.narrow(time, 0, 2).unwrap(), x.narrow(time, 2, 3).unwrap());
        Tensor::cat(&[real, ((padded * 9.).unwrap() + 1.).unwrap()], time).unwrap()
    };
    let valid = || Tensor::new(&[[1f32, 1., 0., 0., 0.]], &Device::Cpu).unwrap().repeat((5, 1)).unwrap();
    let padded = |x: &Tensor| Input::padded(x.clone(), valid()).unwrap();
    for fusion in fusions() {
        let net = network(&kinds, &fusion);
        let want = logits(&net, &batch(vec![padded(&ids(2.)), padded(&rest[1]), padded(&rest[2])]));
        let changed = [ids(7.), wild(&rest[1], 1), wild(&rest[2], 2)];
        let got = logits(&net, &batch(changed.iter().map(padded).collect()));
        assert_eq!(got, want, "{fusion}");
        for m in 0..3 {
            let mut inputs = vec![padded(&ids(2.)), padded(&rest[1]), padded(&rest[2])];
            inputs[m].valid = None;
            assert_ne!(logits(&net, &batch(inputs)), want, "{fusion}: tokens of modality {m} count without a mask");
        }
        // Padding is zeros in the feature, and what is real is not.
        for (m, x) in changed.iter().enumerate() {
            let feature = net.encode(m, &padded(x), &mut Pass::eval()).unwrap();
            let tokens = feature.reshape((5, 5, feature.dim(1).unwrap() / 5)).unwrap().abs().unwrap().sum(2).unwrap();
            let real = tokens.ne(0f32).unwrap().to_dtype(DType::F32).unwrap();
            assert!(values(&(real - valid()).unwrap()).iter().all(|x| *x <= 0.), "modality {m}");
            assert!(values(&tokens.narrow(1, 0, 1).unwrap()).iter().any(|x| *x > 0.), "modality {m}");
        }
    }
}

#[test]
fn a_sample_without_tokens_of_a_modality_is_one_that_lacks_it() {
    let kinds = [vit(&[1, 8, 8]), tcn()];
    let x = inputs(&kinds);
    let nothing = Input::padded(x[1].clone(), Tensor::zeros((5, 5), DType::F32, &Device::Cpu).unwrap()).unwrap();
    for fusion in fusions() {
        let net = network(&kinds, &fusion);
        let mut lacking = batch(vec![x[0].clone().into(), x[1].clone().into()]);
        let all = logits(&net, &lacking);
        lacking.present = Some(Tensor::new(&[1f32, 0.], &Device::Cpu).unwrap().broadcast_as((5, 2)).unwrap());
        let want = logits(&net, &lacking);
        assert_ne!(all, want);
        assert_eq!(logits(&net, &batch(vec![x[0].clone().into(), nothing.clone()])), want, "{fusion}");
    }
}

#[test]
fn features_are_read_by_default() {
    for mut fusion in fusions() {
        assert_eq!(config(&kinds(), &fusion).unwrap().fusion.section()["reads"], "tokens");
        fusion["reads"] = "feature".into();
        let said = config(&kinds(), &fusion).unwrap();
        fusion.as_object_mut().unwrap().remove("reads");
        let default = config(&kinds(), &fusion).unwrap();
        assert_eq!(said, default);
        let rows = builtin().find(said.fusion.name()).unwrap().rows();
        assert!(rows.iter().any(|(setting, default)| setting.name == "reads" && default == "feature"));
        let net = built(&default, &kinds()).unwrap();
        assert_eq!((&net.spec().frames[..], &net.spec().widths[..]), (&[1, 1, 1][..], &[8, 8, 3][..]));
    }
}

#[test]
fn what_has_no_tokens_or_would_hide_padding_is_refused() {
    for fusion in fusions() {
        let kinds = [mlp(), mlp()];
        let told = built(&config(&kinds, &fusion).unwrap(), &kinds).err().unwrap().to_string();
        let want = "model.fusion.reads: is tokens, but no encoder has any; use one of sequence, vit, transformer, tcn, or \
                    leave it out";
        assert_eq!(told, want);
        let kinds = [tcn(), mlp()];
        let normed = ModelConfig { feature_norm: true, ..config(&kinds, &fusion).unwrap() };
        let told = built(&normed, &kinds).err().unwrap().to_string();
        assert!(told.starts_with("model.feature_norm: makes tokens of padded frames"), "{told}");
        assert!(told.ends_with("leave it out, or leave `reads` of the fusion out"), "{told}");
    }
    let unknown = json!({"name": "cross-attention", "reads": "words"});
    let told = config(&kinds(), &unknown).err().unwrap().to_string();
    assert!(told.contains("model.fusion.reads") && told.contains("feature | tokens"), "{told}");
}
