//! The laws that anyone's network can be tried against hold for the workspace's own.

use aim_core::{Batch, Rng, conformance};
use aim_fusion::LateFusion;
use aim_train::{config::RunConfig, standard};
use candle_core::{Device, Tensor};

/// The network of two modalities with this model section, and five samples for it.
fn network(model: &str, shapes: [&[usize]; 2]) -> (LateFusion, Batch) {
    let modalities = ["sound", "image"].map(String::from).into_iter().zip(shapes.map(<[usize]>::to_vec));
    let section = serde_yaml::from_str(model).unwrap_or_else(|e| panic!("{model}\n{e}"));
    let model = RunConfig::read_model(section, standard()).unwrap_or_else(|e| panic!("{model}\n{e}"));
    let net = LateFusion::new(&model, &modalities.collect::<Vec<_>>(), 3, 1, &Device::Cpu).unwrap();
    let input = |shape: &[usize]| {
        let shape: Vec<_> = std::iter::once(&5).chain(shape).copied().collect();
        Rng::keyed(0, "input").normal_tensor(&shape, 1., &Device::Cpu).unwrap()
    };
    let labels = Tensor::new(&[0u32, 1, 2, 1, 0], &Device::Cpu).unwrap();
    (net, Batch::new(shapes.map(input).to_vec(), labels).unwrap())
}

#[test]
fn every_fusion_conforms() {
    for fusion in [
        "concat",
        "sum",
        "mean",
        "film",
        "gated",
        "{gated-to: {width: 4}}",
        "symmetric-film",
        "symmetric-gated",
        "shared",
        "separate",
        "{deep: {hidden: [8, 8]}}",
        "{boosted: {hidden: 8}}",
        "{growing: {hidden: 8, most: 3}}",
        "detached",
        "sum-linear",
        "{mmtm: {squeeze: 4}}",
        "{inner-mmtm: {from: 0}}",
        "{scheduled: {hidden: 8}}",
        "{memory: {hidden: 8}}",
        "{cross-attention: {width: 8, layers: 1, heads: 2}}",
        "{bottleneck: {width: 8, tokens: 2, layers: 1, heads: 2}}",
        "{tensor: {width: 3}}",
        "{low-rank: {rank: 2, width: 4}}",
        "decision",
        "{decision: {by: entropy}}",
        "{mods: {width: 16, tokens: 3, layers: 2, heads: 2}}",
    ] {
        for extra in ["", ", uni_heads: true, feature_norm: true"] {
            let encoder = "{name: mlp, widths: [8, 6]}";
            let model = format!("{{encoders: {{sound: {encoder}, image: {encoder}}}, fusion: {fusion}{extra}}}");
            let (net, batch) = network(&model, [&[5], &[4]]);
            conformance::check(&net, &batch).unwrap_or_else(|e| panic!("{fusion}{extra}: {e}"));
        }
    }
}

#[test]
fn encoders_of_tokens_that_share_some_conform() {
    let image = "{name: vit, patch: 4, width: 8, layers: 2, heads: 2, blocks: 2, dropout: 0.1}";
    let sound = "{name: transformer, layout: time-first, width: 6, layers: 2, heads: 2, blocks: 2}";
    for extra in ["", ", uni_heads: true, feature_norm: true"] {
        let fusion = "{inner-bottleneck: {from: 0, tokens: 2}}";
        let model = format!("{{encoders: {{sound: {sound}, image: {image}}}, fusion: {fusion}{extra}}}");
        let (net, batch) = network(&model, [&[5, 3], &[1, 8, 8]]);
        conformance::check(&net, &batch).unwrap_or_else(|e| panic!("{extra}: {e}"));
    }
}

#[test]
fn every_encoder_conforms() {
    let encoders: [(&str, &[usize]); 13] = [
        ("name: mlp, widths: [8, 6]", &[5]),
        ("name: cnn, widths: [4, 6]", &[1, 8, 8]),
        ("name: cnn, widths: [4, 6]", &[2, 9]),
        ("name: cnn, widths: [4, 6]", &[9]),
        ("name: sequence, widths: [4, 3]", &[2, 6]),
        ("name: resnet18, base_width: 4", &[1, 16, 16]),
        ("name: vit, patch: 4, width: 8, layers: 2, heads: 2, blocks: 2, dropout: 0.1", &[1, 8, 8]),
        ("name: resnet50, layers: [1, 1], base_width: 2", &[1, 16, 16]),
        ("name: vit, patch: 4, width: 8, layers: 2, heads: 2, blocks: 2, feature: mean", &[1, 8, 8]),
        ("name: transformer, layout: time-first, width: 8, layers: 2, heads: 2, blocks: 2, feature: mean", &[5, 3]),
        ("name: transformer, layout: time-first, width: 8, layers: 2, heads: 2, blocks: 2", &[5, 3]),
        ("name: tcn, widths: [4, 6]", &[2, 6]),
        ("name: tcn, widths: [4, 6], layout: time-first, feature: mean", &[6, 2]),
    ];
    for (encoder, shape) in encoders {
        for lora in ["", ", lora: {rank: 2}"] {
            let model = format!("{{encoders: {{sound: {{{encoder}{lora}}}, image: {{name: mlp, widths: [4]}}}}}}");
            let (net, batch) = network(&model, [shape, &[4]]);
            let at = |e| panic!("{encoder}{lora}: {e}");
            conformance::check(&net, &batch).unwrap_or_else(at);
            conformance::slopes(&net, &batch).unwrap_or_else(at);
        }
    }
}
