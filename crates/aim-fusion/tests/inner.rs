//! Networks whose encoders meet between blocks: against PyTorch's figures in `tests/golden`, made by `inner.py` there,
//! by hand, and the laws of absence.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::path::Path;

use aim_core::{Batch, Draws, Error, Grads, Net, Pass, Rng, Site, capability, conformance};
use aim_fusion::{LateFusion, ModelConfig, builtin};
use candle_core::{DType, Device, Tensor};
use common::{close, values};
use serde_json::{Value, json};

/// An encoder's section and the shape of a sample.
type Kind = (Value, &'static [usize]);

fn network(kinds: &[Kind], fusion: &Value) -> Result<LateFusion, Error> {
    let names = ["a", "b", "c"].map(str::to_owned);
    let encoders = names.iter().zip(kinds).map(|(name, (section, _))| {
        let spec = aim_backbones::builtin().read(section, "model.encoders").unwrap();
        (name.clone(), spec)
    });
    let config = ModelConfig::new(encoders, builtin().read(fusion, "model.fusion").unwrap());
    config.check()?;
    let shapes: Vec<_> = names.iter().cloned().zip(kinds.iter().map(|(_, shape)| shape.to_vec())).collect();
    LateFusion::new(&config, &shapes, 3, 0, &Device::Cpu)
}

fn maps() -> [Kind; 3] {
    [
        (json!({"name": "cnn", "widths": [4, 6]}), &[2, 12]),
        (json!({"name": "cnn", "widths": [3, 6]}), &[1, 8, 8]),
        (json!({"name": "mlp", "widths": [4, 3]}), &[5]),
    ]
}

fn tokens() -> [Kind; 3] {
    let sizes = |name: &str, width: usize| json!({"name": name, "width": width, "heads": 2, "layers": 3, "blocks": 3, "dropout": 0.});
    let vit = |width| {
        let mut vit = sizes("vit", width);
        vit["patch"] = 4.into();
        vit
    };
    let mut text = sizes("transformer", 8);
    text["layout"] = "time-first".into();
    [(vit(8), &[1, 8, 8]), (text, &[5, 3]), (vit(6), &[1, 2, 8, 8])]
}

fn mmtm(from: usize) -> Value {
    json!({"name": "inner-mmtm", "from": from, "reduction": 2})
}

fn bottleneck(from: usize) -> Value {
    json!({"name": "inner-bottleneck", "from": from, "tokens": 2})
}

fn draws() -> Draws {
    Draws { seed: 0, epoch: 0, step: 0 }
}

/// Samples of these modalities.
fn batch(kinds: &[Kind], key: &str) -> Batch {
    let input = |(m, (_, shape)): (usize, &Kind)| {
        let shape = [&[5], *shape].concat();
        Rng::keyed(0, &format!("{key}.{m}")).normal_tensor(&shape, 1., &Device::Cpu).unwrap()
    };
    let inputs = kinds.iter().enumerate().map(input).collect();
    Batch::new(inputs, Tensor::new(&[0u32, 1, 2, 1, 0], &Device::Cpu).unwrap()).unwrap()
}

fn check(name: &str, kinds: &[Kind], fusion: &Value, train: bool) {
    let file = format!("inner-{name}-{}{}.safetensors", kinds.len(), if train { "-train" } else { "" });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(&file);
    let golden = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let net = network(kinds, fusion).unwrap();
    let net: &dyn Net = &net;
    let weights =
        golden.iter().filter_map(|(name, t)| Some((name.strip_prefix("w.")?.to_owned(), t.clone()))).collect();
    net.params().load(&weights).unwrap();
    assert!(net.params().tensors().keys().eq(weights.keys()), "{file}: parameters");
    let inputs = (0..kinds.len()).map(|m| golden[&format!("x.{m}")].clone()).collect();
    let mut batch = Batch::new(inputs, Tensor::zeros(5, DType::U32, &Device::Cpu).unwrap()).unwrap();
    batch.present = Some(golden["present"].clone());
    let mut pass = if train { Pass::train(draws()) } else { Pass::eval() };
    let logits = net.forward(&batch, &mut pass).unwrap().logits;
    close(&format!("{file}: logits"), &logits, &golden["logits"]);
    let grads = Grads::of(&logits.mul(&golden["probe"]).unwrap().sum_all().unwrap(), net.params()).unwrap();
    for (name, want) in golden.iter().filter_map(|(name, t)| Some((name.strip_prefix("g.")?, t))) {
        close(&format!("{file}: gradient of {name}"), grads.get(name).unwrap(), want);
    }
}

#[test]
fn logits_and_gradients_are_those_of_pytorch_where_samples_lack_modalities() {
    for modalities in [2, 3] {
        check("mmtm", &maps()[..modalities], &mmtm(0), false);
        check("mmtm", &maps()[..modalities], &mmtm(0), true);
        check("bottleneck", &tokens()[..modalities], &bottleneck(1), false);
    }
}

fn cases() -> [(Vec<Kind>, Value); 4] {
    [
        (maps().to_vec(), mmtm(0)),
        (maps().to_vec(), mmtm(1)),
        (tokens().to_vec(), mmtm(1)),
        (tokens().to_vec(), bottleneck(0)),
    ]
}

#[test]
fn gates_by_hand() {
    let mlp = |shape| (json!({"name": "mlp", "widths": [1, 1]}), shape);
    let net = network(&[mlp(&[1][..]), mlp(&[1])], &json!({"name": "inner-mmtm", "from": 0, "reduction": 2})).unwrap();
    let mut weights = net.params().tensors();
    for (name, value) in &mut weights {
        let set = match name.as_str() {
            _ if name.ends_with(".bias") => 0.,
            "mmtm.0.b.weight" => -1.,
            // Behind the second block nothing is gated: 2 sigmoid(0) = 1.
            "mmtm.1.a.weight" | "mmtm.1.b.weight" => 0.,
            _ => 1.,
        };
        *value = Tensor::full(set, value.dims(), &Device::Cpu).unwrap();
    }
    net.params().load(&weights).unwrap();
    // z = relu(ln 3 + 0): the gates are 2 sigmoid(ln 3) = 3/2 and 2 sigmoid(-ln 3) = 1/2. Alone, b sees z = 0.
    let ln3 = 3f32.ln();
    let x = |x: f32| Tensor::new(&[[x]], &Device::Cpu).unwrap();
    let mut batch = Batch::new(vec![x(ln3), x(0.)], Tensor::new(&[0u32], &Device::Cpu).unwrap()).unwrap();
    let features = |batch: &Batch| {
        let features = net.features(batch, &mut Pass::eval()).unwrap();
        features.iter().map(|x| values(x)[0]).collect::<Vec<_>>()
    };
    let near = |got: Vec<f32>, want: [f32; 2]| {
        assert!(got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-5), "{got:?} is not {want:?}");
    };
    near(features(&batch), [1.5 * ln3, 0.]);
    // z = relu(ln 3 + 2 ln 3): 2 sigmoid(3 ln 3) = 27/14 and 2 sigmoid(-3 ln 3) = 1/14.
    batch.inputs[1] = x(2. * ln3).into();
    near(features(&batch), [27. / 14. * ln3, 2. / 14. * ln3]);
    batch.present = Some(Tensor::new(&[[0f32, 1.]], &Device::Cpu).unwrap());
    // z = 2 ln 3 of b alone: 2 sigmoid(-2 ln 3) = 1/5.
    assert!((features(&batch)[1] - 2. / 5. * ln3).abs() < 1e-5);
    let alone = net.encode(1, &batch.inputs[1], &mut Pass::eval()).unwrap();
    assert!((values(&alone)[0] - 2. / 5. * ln3).abs() < 1e-5);
}

/// The maps behind every block, and the feature, of modality m.
fn seen(net: &LateFusion, m: usize, batch: &Batch, pass: Pass<'_>) -> Vec<Vec<f32>> {
    let mut pass = pass.keep();
    let feature = net.features(batch, &mut pass).unwrap().swap_remove(m);
    let kept = pass.into_kept();
    let stages = (0..net.spec().depths[m]).map(|depth| Site::Stage { modality: m, depth });
    stages.map(|site| values(kept.raw(site).unwrap())).chain([values(&feature)]).collect()
}

#[test]
fn an_absent_modality_changes_nothing_in_the_others_maps() {
    for (kinds, fusion) in cases() {
        let net = network(&kinds, &fusion).unwrap();
        let (one, other) = (batch(&kinds, "one"), batch(&kinds, "other"));
        let mut changed = one.clone();
        changed.inputs[1] = other.inputs[1].clone();
        let maps = |batch: &Batch, pass: fn() -> Pass<'static>| seen(&net, 0, batch, pass());
        assert_ne!(maps(&one, Pass::eval), maps(&changed, Pass::eval), "{fusion}: encoders meet");
        let lacking = |batch: &Batch, row: [f32; 3]| {
            let present = Tensor::new(&row, &Device::Cpu).unwrap().broadcast_as((5, 3)).unwrap().contiguous().unwrap();
            Batch { present: Some(present), ..batch.clone() }
        };
        let without = lacking(&one, [1., 0., 1.]);
        let want = maps(&without, Pass::eval);
        assert_eq!(want, maps(&lacking(&changed, [1., 0., 1.]), Pass::eval), "{fusion}: lacked by every sample");
        assert_eq!(maps(&lacking(&one, [1.; 3]), Pass::eval), maps(&one, Pass::eval), "{fusion}: nobody lacks any");
        let left_out = || Pass::eval().subset(&[true, false, true]);
        assert_eq!(want, maps(&changed, left_out), "{fusion}: left out by the pass");
        let resting = Batch { resting: vec![1], ..without.clone() };
        assert_eq!(want, maps(&resting, Pass::eval), "{fusion}: its encoder rests");
        // One that is alone is one whose others are absent.
        let alone = net.encode(0, &one.inputs[0], &mut Pass::eval()).unwrap();
        let others_lacking = maps(&lacking(&one, [1., 0., 0.]), Pass::eval);
        assert_eq!(&values(&alone), others_lacking.last().unwrap(), "{fusion}: alone");
        // Each sample for itself: the others of the batch may have what it lacks.
        let mut some = without.clone();
        some.present = Some(Tensor::new(&[[1f32, 0., 1.], [1.; 3], [1.; 3], [1.; 3], [1.; 3]], &Device::Cpu).unwrap());
        let first = |maps: Vec<Vec<f32>>| maps.into_iter().map(|x| x[..x.len() / 5].to_vec()).collect::<Vec<_>>();
        assert_eq!(first(maps(&some, Pass::eval)), first(want), "{fusion}: lacked by one sample");
    }
}

#[test]
fn encoders_that_never_meet_are_those_of_a_late_fusion() {
    let mean = json!({"name": "mean"});
    for (kinds, fusion) in [(maps(), mmtm(2)), (tokens(), bottleneck(3)), (tokens(), mmtm(3))] {
        let (net, late) = (network(&kinds, &fusion).unwrap(), network(&kinds, &mean).unwrap());
        let batch = batch(&kinds, "one");
        let outcome = |net: &LateFusion| {
            let net: &dyn Net = net;
            let logits = net.forward(&batch, &mut Pass::train(draws())).unwrap().logits;
            let grads = Grads::of(&logits.sqr().unwrap().sum_all().unwrap(), net.params()).unwrap();
            let grads: Vec<_> = grads.iter().map(|(name, grad)| (name.to_string(), values(grad))).collect();
            let mut tensors = net.params().tensors();
            tensors.retain(|name, _| name != "bottleneck" && !name.starts_with("bottleneck."));
            let tensors: Vec<_> = tensors.iter().map(|(name, t)| (name.clone(), values(t))).collect();
            (values(&logits), grads, tensors)
        };
        assert_eq!(outcome(&net), outcome(&late), "{fusion}");
    }
}

#[test]
fn networks_whose_encoders_meet_conform() {
    for (kinds, fusion) in cases() {
        let net = network(&kinds, &fusion).unwrap();
        assert!(net.spec().capabilities.has(capability::INNER));
        conformance::check(&net, &batch(&kinds, "one")).unwrap_or_else(|e| panic!("{fusion}: {e}"));
    }
}

#[test]
fn everything_between_the_blocks_learns() {
    for (kinds, fusion) in cases() {
        let net = network(&kinds, &fusion).unwrap();
        let net: &dyn Net = &net;
        let logits = net.forward(&batch(&kinds, "one"), &mut Pass::train(draws())).unwrap().logits;
        let grads = Grads::of(&logits.sqr().unwrap().sum_all().unwrap(), net.params()).unwrap();
        let idle: Vec<_> = net.params().iter().filter(|(name, _)| grads.get(name).is_none()).collect();
        assert!(idle.is_empty(), "{fusion}: {idle:?}");
    }
}

#[test]
fn encoders_that_cannot_meet_as_a_fusion_says_are_refused() {
    let refused = |kinds: &[Kind], fusion| network(kinds, &fusion).err().unwrap().to_string();
    let told = refused(&maps()[1..], bottleneck(0));
    let want = "model.encoders.a: is `cnn`, and `inner-bottleneck` needs encoders whose layers take further tokens; use \
                one of vit, transformer, or a fusion behind the encoders";
    assert_eq!(told, want);
    let told = refused(&maps(), mmtm(3));
    let want = "model.fusion.from: is 3, but an encoder has 2 blocks; name one of them from 0 on, or 2 for none";
    assert_eq!(told, want);
    assert!(refused(&tokens(), bottleneck(4)).starts_with("model.fusion.from: is 4, but an encoder has 3 blocks"));
    let statistics: Kind = (json!({"name": "statistics"}), &[4]);
    let told = refused(&[maps()[2].clone(), statistics], mmtm(0));
    assert!(
        told.starts_with("model.encoders.b: is `statistics`, and `inner-mmtm` needs encoders whose blocks"),
        "{told}"
    );
}
