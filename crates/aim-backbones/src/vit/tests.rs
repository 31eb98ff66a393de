//! The encoder against plain loops, and what it promises.

use aim_core::{Encoder, Grads, Kind, Params, Part, Pass, Role, Site};
use candle_core::Device;

use super::*;
use crate::Targets;
use crate::reference::{NAME, Reference, Rows, added, check, enlarge, pass, random, values};

const INPUT: [usize; 3] = [2, 4, 6];

fn config() -> VitConfig {
    VitConfig { patch: 2, width: 6, layers: 4, heads: 2, blocks: 2, ..VitConfig::default() }
}

fn encoder(input: &[usize], config: &VitConfig) -> (Vit, Params) {
    let mut build = Build::new(0, &Device::Cpu);
    build.set_low_rank(config.lora.as_ref());
    let vit = Vit::new(&mut build, NAME, 1, input, config).unwrap();
    let params = build.finish();
    enlarge(&params);
    (vit, params)
}

/// The feature of one image.
fn feature(reference: &Reference, image: &[f64]) -> Vec<f64> {
    let ([channels, height, width], VitConfig { patch, width: token, .. }) = (INPUT, config());
    let mut patches = Rows::new();
    for (top, left) in (0..height / patch).flat_map(|i| (0..width / patch).map(move |j| (i * patch, j * patch))) {
        let pixels = (0..channels).flat_map(|c| (0..patch).flat_map(move |i| (0..patch).map(move |j| (c, i, j))));
        patches.push(pixels.map(|(c, i, j)| image[(c * height + top + i) * width + left + j]).collect());
    }
    let mut tokens = vec![reference.weight("embeddings.cls_token").to_vec()];
    tokens.extend(reference.linear("embeddings.patch_embeddings.projection", &patches));
    let positions = reference.weight("embeddings.position_embeddings").chunks(token).map(<[f64]>::to_vec).collect();
    let tokens = reference.layers(added(&tokens, &positions), &[true; 7]);
    reference.layer_norm("layernorm", &tokens).swap_remove(0)
}

#[test]
fn features_and_gradients_are_those_of_plain_loops() {
    let (vit, params) = encoder(&INPUT, &config());
    check(&vit, &params, (config().shape(), Style::Vit), &random(&[3, 2, 4, 6], "batch"), feature);
}

#[test]
fn names_and_roles_are_those_of_the_checkpoints() {
    let (_, params) = encoder(&INPUT, &config());
    let mut want: Vec<(String, usize, Kind)> = vec![
        ("embeddings.cls_token".into(), 0, Kind::Embedding),
        ("embeddings.position_embeddings".into(), 0, Kind::Embedding),
        ("embeddings.patch_embeddings.projection.weight".into(), 0, Kind::Conv),
        ("embeddings.patch_embeddings.projection.bias".into(), 0, Kind::Bias),
        ("layernorm.weight".into(), 1, Kind::Norm),
        ("layernorm.bias".into(), 1, Kind::Norm),
    ];
    for layer in 0..4 {
        let mut pair = |name: &str, weight, bias| {
            let name = format!("encoder.layer.{layer}.{name}");
            want.push((format!("{name}.weight"), layer / 2, weight));
            want.push((format!("{name}.bias"), layer / 2, bias));
        };
        for name in ["query", "key", "value"] {
            pair(&format!("attention.attention.{name}"), Kind::Linear, Kind::Bias);
        }
        for name in ["attention.output.dense", "intermediate.dense", "output.dense"] {
            pair(name, Kind::Linear, Kind::Bias);
        }
        for name in ["layernorm_before", "layernorm_after"] {
            pair(name, Kind::Norm, Kind::Norm);
        }
    }
    want.sort_by(|a, b| a.0.cmp(&b.0));
    let got: Vec<_> = params.iter().map(|(name, p)| (name.to_string(), p.role)).collect();
    let role = |depth, kind| Role { part: Part::Encoder { modality: 1, depth }, kind };
    let want: Vec<_> = want.into_iter().map(|(n, depth, kind)| (format!("{NAME}.{n}"), role(depth, kind))).collect();
    assert_eq!(got, want);
    // ViT-Tiny/16 without its classifier has 5.5 million parameters.
    let mut build = Build::new(0, &Device::Cpu);
    Vit::new(&mut build, NAME, 0, &[3, 224, 224], &VitConfig::default()).unwrap();
    assert_eq!(build.finish().count(), 5_524_416);
}

#[test]
fn each_block_is_a_site_with_its_class_token() {
    let (vit, _) = encoder(&INPUT, &config());
    let mut pass = Pass::eval().keep();
    let feature = vit.forward(&random(&[3, 2, 4, 6], "batch").into(), &mut pass).unwrap();
    let kept = pass.into_kept();
    let site = |depth| Site::Stage { modality: 1, depth };
    assert_eq!(kept.raw(site(0)).unwrap().dims(), [3, 7, 6]);
    assert_eq!(kept.pooled(site(0)).unwrap().dims(), [3, 6]);
    assert_eq!(values(&kept.pooled(site(1)).unwrap()), values(&feature));
    assert!(kept.raw(site(2)).is_none());
    assert_eq!((vit.depth(), vit.width()), (2, 6));
}

#[test]
fn a_video_is_the_mean_of_its_frames() {
    let (image, _) = encoder(&INPUT, &config());
    let (video, _) = encoder(&[2, 3, 4, 6], &config());
    let x = random(&[2, 2, 3, 4, 6], "video");
    let frame = |t| image.forward(&x.narrow(2, t, 1).unwrap().squeeze(2).unwrap().into(), &mut Pass::eval()).unwrap();
    let mean = ((frame(0) + frame(1)).unwrap() + frame(2)).unwrap() / 3.;
    let got = video.forward(&x.clone().into(), &mut Pass::eval()).unwrap();
    for (got, want) in values(&got).iter().zip(values(&mean.unwrap())) {
        assert!((got - want).abs() < 1e-5, "{got} instead of {want}");
    }
}

#[test]
fn dropout_belongs_to_a_training_step() {
    let (vit, _) = encoder(&INPUT, &VitConfig { dropout: 0.2, ..config() });
    let (plain, _) = encoder(&INPUT, &config());
    let x = random(&[3, 2, 4, 6], "batch");
    let feature = |vit: &Vit, mut pass: Pass<'_>| values(&vit.forward(&x.clone().into(), &mut pass).unwrap());
    assert_eq!(feature(&vit, Pass::eval()), feature(&plain, Pass::eval()));
    assert_eq!(feature(&vit, pass(4)), feature(&vit, pass(4)));
    assert_ne!(feature(&vit, pass(4)), feature(&vit, pass(5)));
    assert_ne!(feature(&vit, pass(4)), feature(&plain, pass(4)));
}

#[test]
fn low_rank_additions_start_at_nothing_and_learn() {
    let (vit, params) = encoder(&INPUT, &VitConfig { lora: Some(LowRank::of(2)), ..config() });
    let (plain, _) = encoder(&INPUT, &config());
    let x = random(&[3, 2, 4, 6], "batch");
    let feature = vit.forward(&x.clone().into(), &mut Pass::eval()).unwrap();
    assert_eq!(values(&feature), values(&plain.forward(&x.clone().into(), &mut Pass::eval()).unwrap()));
    let grads = Grads::of(&feature.sqr().unwrap().sum_all().unwrap(), &params).unwrap();
    let added = params.iter().filter(|(_, p)| matches!(p.role.part, Part::Adapter { .. }));
    let shifts: Vec<_> = added.filter(|(name, _)| name.ends_with("lora_b")).collect();
    // The patches' projection, and the six linear maps of each of four layers.
    assert_eq!(shifts.len(), 25);
    assert!(shifts.iter().all(|(name, _)| values(grads.get(name).unwrap()).iter().any(|g| *g != 0.)));
}

#[test]
fn low_rank_additions_stand_where_they_are_wanted() {
    let names = |low_rank: LowRank| {
        let (_, params) = encoder(&INPUT, &VitConfig { lora: Some(low_rank), ..config() });
        let found = params.iter().filter_map(|(name, _)| Some(name.strip_suffix(".lora_b")?.to_owned()));
        found.collect::<Vec<_>>()
    };
    let attention = names(LowRank { targets: Targets::Attention, ..LowRank::of(2) });
    // Queries and values of four layers.
    assert!(attention.len() == 8 && attention.iter().all(|name| name.ends_with("query") || name.ends_with("value")));
    // Four layers in two blocks: six maps of each of the two layers of the second.
    assert_eq!(names(LowRank { first_block: 1, ..LowRank::of(2) }).len(), 12);
    assert_eq!(names(LowRank { first_block: 1, targets: Targets::Attention, ..LowRank::of(2) }).len(), 4);
}

#[test]
fn query_key_and_value_are_told_apart_in_three_equal_parts_or_not_at_all() {
    let names = |leaf: &str, shape: &[usize]| {
        let tensor = Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
        let theirs = Tensors::from([(format!("blocks.0.attn.qkv.{leaf}"), tensor)]);
        let own = config().translate(theirs, &INPUT).unwrap();
        own.into_keys().map(|name| name.replace("encoder.layer.0.attention.attention.", "")).collect::<Vec<_>>()
    };
    assert_eq!(names("weight", &[18, 6]), ["key.weight", "query.weight", "value.weight"]);
    assert_eq!(names("bias", &[18]), ["key.bias", "query.bias", "value.bias"]);
    for (leaf, shape) in [("weight", &[19, 6][..]), ("weight", &[18]), ("bias", &[17]), ("bias", &[])] {
        assert_eq!(names(leaf, shape), [format!("qkv.{leaf}")], "{shape:?}");
    }
}

#[test]
fn what_does_not_fit_is_said() {
    let build = |input: &[usize]| Vit::new(&mut Build::new(0, &Device::Cpu), NAME, 0, input, &config()).err();
    assert!(build(&[2, 5, 6]).unwrap().to_string().contains("multiples of the patch 2"));
    assert!(build(&[12]).is_some() && build(&[2, 0, 6]).is_some());
    let refused = |config: VitConfig, word: &str| {
        let section = crate::encoder(config).section();
        let refused = crate::builtin().read(&section, "model.encoders.image").err().unwrap();
        assert!(refused.to_string().contains(word), "{refused}");
    };
    refused(VitConfig { heads: 4, ..config() }, "heads");
    refused(VitConfig { layers: 5, ..config() }, "layers");
    refused(VitConfig { dropout: 1., ..config() }, "dropout");
    refused(VitConfig { patch: 0, ..config() }, "patch");
    crate::builtin().read(&crate::encoder(config()).section(), "model.encoders.image").unwrap();
}
