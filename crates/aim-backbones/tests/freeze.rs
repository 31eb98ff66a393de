//! Frozen blocks of every encoder that has them: what is left to train, and what stays as it is.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use aim_backbones::{Build, EncoderSpec, builtin};
use aim_core::{Draws, Encoder, Grads, Params, Part, Pass, Rng};
use candle_core::{Device, Tensor};
use serde_json::{Value, json};

/// Encoders of two blocks, with the shape of a sample.
fn cases() -> [(Value, &'static [usize]); 6] {
    [
        (json!({"name": "mlp", "widths": [4, 3]}), &[5]),
        (json!({"name": "cnn", "widths": [3, 4]}), &[9]),
        (json!({"name": "cnn", "widths": [3, 4]}), &[2, 9]),
        (json!({"name": "cnn", "widths": [3, 4]}), &[2, 6, 6]),
        (json!({"name": "sequence", "widths": [4, 3]}), &[2, 4]),
        (json!({"name": "tcn", "widths": [3, 4], "dropout": 0.}), &[2, 6]),
    ]
}

fn read(section: &Value, freeze: &[usize]) -> EncoderSpec {
    let mut section = section.clone();
    if !freeze.is_empty() {
        section["freeze"] = json!({"depth": freeze});
    }
    builtin().read(&section, "model.encoders.m").unwrap()
}

/// The encoder as a network makes it.
fn build(spec: &EncoderSpec, input: &[usize]) -> (Box<dyn Encoder>, Params) {
    let mut build = Build::new(3, &Device::Cpu);
    build.set_low_rank(spec.low_rank());
    build.set_frozen(spec.freeze());
    let encoder = spec.build(&mut build, "m", 0, input).unwrap();
    (encoder, build.finish())
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The gradients of a mixture of the feature.
fn gradients(encoder: &dyn Encoder, params: &Params, input: &[usize], mut pass: Pass<'_>) -> Grads {
    let random = |shape: &[usize], name| Rng::keyed(1, name).uniform_tensor(shape, 0.7, &Device::Cpu).unwrap();
    let feature = encoder.forward(&random(&[&[4], input].concat(), "batch").into(), &mut pass).unwrap();
    let mix = random(feature.dims(), "mix");
    Grads::of(&(feature * mix).unwrap().sum_all().unwrap(), params).unwrap()
}

fn training() -> Pass<'static> {
    Pass::train(Draws { seed: 0, epoch: 0, step: 0 })
}

#[test]
fn frozen_blocks_are_no_parameters_and_keep_their_statistics() {
    for (section, input) in cases() {
        for frozen in [0, 1] {
            let place = format!("{section} over {input:?} without block {frozen}");
            let ((encoder, params), (whole, all)) =
                (build(&read(&section, &[frozen]), input), build(&read(&section, &[]), input));
            let (before, others) = (params.snapshot().unwrap(), all.snapshot().unwrap());
            assert!(before.keys().eq(others.keys()), "{place}: the same names are saved");
            let same = |(name, t): (&String, &Tensor)| values(t) == values(&others[name]);
            assert!(before.iter().all(same), "{place}: with the same initial values");
            let is_left = |part: Part| part == Part::Encoder { modality: 0, depth: 1 - frozen };
            let trained = all.iter().filter(|(_, p)| is_left(p.role.part)).map(|(name, _)| name).collect::<Vec<_>>();
            assert!(params.iter().map(|(name, _)| name).eq(trained.iter().copied()), "{place}");
            // A pass that trains leaves the frozen block's statistics alone, and updates the other's.
            let grads = gradients(&*encoder, &params, input, training());
            assert!(grads.iter().map(|(name, _)| name).eq(trained), "{place}");
            for (name, now) in params.tensors() {
                let own = name.contains(".running_") && !name.contains(&format!(".blocks.{frozen}."));
                assert_eq!(values(&now) != values(&before[&name]), own, "{place}: {name}");
            }
            // What is left has the gradients that it has beside trained blocks, where norms use the same statistics.
            all.load(&params.tensors()).unwrap();
            let some = gradients(&*encoder, &params, input, Pass::eval());
            let every = gradients(&*whole, &all, input, Pass::eval());
            let equal = |(name, grad): (&Arc<str>, &Tensor)| values(grad) == values(every.get(name).unwrap());
            assert!(some.iter().all(equal), "{place}");
        }
    }
}

#[test]
fn a_frozen_norm_uses_its_running_statistics_in_training() {
    let section = json!({"name": "cnn", "widths": [3, 4]});
    for input in [&[9][..], &[2, 9], &[2, 6, 6]] {
        let (encoder, _) = build(&read(&section, &[0, 1]), input);
        let x = Rng::keyed(1, "batch").uniform_tensor(&[&[4], input].concat(), 0.7, &Device::Cpu).unwrap();
        let feature = |x: Tensor, mut pass: Pass<'_>| values(&encoder.forward(&x.into(), &mut pass).unwrap());
        let (trained, evaluated) = (feature(x.clone(), training()), feature(x, Pass::eval()));
        assert_eq!(trained, evaluated, "over {input:?}");
    }
}

#[test]
fn additions_to_frozen_blocks_are_trained() {
    for (mut section, input) in cases() {
        section["lora"] = json!({"rank": 1});
        let (encoder, params) = build(&read(&section, &[0, 1]), input);
        assert!(params.iter().all(|(_, p)| matches!(p.role.part, Part::Adapter { .. })), "{section}");
        let grads = gradients(&*encoder, &params, input, training());
        for (name, _) in params.iter().filter(|(name, _)| name.ends_with("lora_b")) {
            assert!(values(grads.get(name).unwrap()).iter().any(|g| *g != 0.), "{section} over {input:?}: {name}");
        }
    }
}

#[test]
fn blocks_that_are_not_there_cannot_be_frozen() {
    for (mut section, _) in cases() {
        section["freeze"] = json!({"depth": [1, 2]});
        let refused = builtin().read(&section, "model.encoders.m").err().unwrap().to_string();
        assert_eq!(refused, "model.encoders.m.freeze.depth: names block 2; use blocks from 0 to 1", "{section}");
    }
}
