//! AIM acts on every encoder that has learnt blocks: prototypes, saliency, masks and auxiliary passes at every depth.

use std::collections::BTreeSet;

use aim_core::{Batch, EpochStart, Grads, Method, Net, Part, Plan, Prepared, Report, Rng, Step};
use aim_data::Splits;
use aim_fusion::LateFusion;
use aim_tests::{CLASSES, Descent, One, Still, at, data, flat, gradient, method};
use aim_train::{config::RunConfig, standard};
use candle_core::{Device, Tensor};

/// Samples of a batch.
const SAMPLES: usize = 12;
/// Words of a vocabulary.
const WORDS: usize = 7;

/// An encoder in its smallest form, the shape of a sample, and the channels behind each block; a text's samples are
/// ids.
struct Case {
    encoder: &'static str,
    input: &'static [usize],
    channels: &'static [usize],
}

/// Dropout is left out, so that an auxiliary pass differs from the plain one by its weights alone.
const CASES: [Case; 10] = [
    Case { encoder: "name: mlp, widths: [6, 4]", input: &[5], channels: &[6, 4] },
    Case { encoder: "name: cnn, widths: [4, 6]", input: &[1, 8, 8], channels: &[4, 6] },
    Case { encoder: "name: cnn, widths: [4, 6]", input: &[2, 9], channels: &[4, 6] },
    Case { encoder: "name: cnn, widths: [4, 6]", input: &[9], channels: &[4, 6] },
    Case { encoder: "name: resnet18, base_width: 3", input: &[1, 16, 16], channels: &[3, 6, 12, 24] },
    Case {
        encoder: "name: vit, patch: 4, width: 8, layers: 2, heads: 2, blocks: 2",
        input: &[1, 8, 8],
        channels: &[8, 8],
    },
    Case {
        encoder: "name: transformer, vocabulary: 7, width: 8, layers: 2, heads: 2, blocks: 2, dropout: 0",
        input: &[4],
        channels: &[8, 8],
    },
    Case {
        encoder: "name: transformer, layout: time-first, width: 8, layers: 2, heads: 2, blocks: 2, dropout: 0",
        input: &[4, 3],
        channels: &[8, 8],
    },
    Case { encoder: "name: sequence, widths: [5, 4]", input: &[2, 4], channels: &[5, 4] },
    Case { encoder: "name: tcn, widths: [4, 4, 6], dropout: 0", input: &[2, 7], channels: &[4, 4, 6] },
];

impl Case {
    fn reads_words(&self) -> bool {
        self.encoder.contains("vocabulary")
    }

    /// The encoder beside an MLP of two blocks, and a batch.
    fn network(&self) -> (LateFusion, One) {
        let encoders = format!("{{it: {{{}}}, other: {{name: mlp, widths: [4, 4]}}}}", self.encoder);
        let section = serde_yaml::from_str(&format!("{{encoders: {encoders}, fusion: concat}}")).unwrap();
        let model = RunConfig::read_model(section, standard()).unwrap();
        let shapes = [("it".to_owned(), self.input.to_vec()), ("other".to_owned(), vec![3])];
        let net = LateFusion::new(&model, &shapes, CLASSES, 1, &Device::Cpu).unwrap();
        let mut rng = Rng::keyed(0, "batch");
        let own = if self.reads_words() {
            let count = SAMPLES * self.input[0];
            let ids: Vec<f32> = (0..count).map(|_| 1. + rng.below(WORDS - 1) as f32).collect();
            Tensor::from_vec(ids, (SAMPLES, self.input[0]), &Device::Cpu).unwrap()
        } else {
            rng.normal_tensor(&[&[SAMPLES], self.input].concat(), 1., &Device::Cpu).unwrap()
        };
        let other = rng.normal_tensor(&[SAMPLES, 3], 1., &Device::Cpu).unwrap();
        let labels: Vec<u32> = (0..SAMPLES).map(|i| (i % CLASSES) as u32).collect();
        let batch = Batch::new(vec![own, other], Tensor::new(labels, &Device::Cpu).unwrap()).unwrap();
        (net, One(batch))
    }
}

fn begin(method: &mut dyn Method, net: &LateFusion, samples: &One) {
    let (prepared, opt, data) = (&Prepared::default(), &mut Still(0.1), data(samples));
    let splits = &Splits::new(&data, SAMPLES, &Device::Cpu);
    let mut start = EpochStart { net, opt, samples: splits, prepared, clock: at(0), seed: 0, plan: Plan::default() };
    method.before_epoch(&mut start).unwrap();
}

/// The report of a step in which nothing moves, unit masks included, and the gradient that it descends.
fn step(method: &mut dyn Method, net: &LateFusion, One(batch): &One) -> (Report, Grads) {
    let mut opt = Descent(0., Grads::default());
    let report = method.step(&mut Step { net, opt: &mut opt, batch, clock: at(0), seed: 0, trace: true }).unwrap();
    (report, opt.1)
}

fn numbers(report: &Report, name: &str, place: &str) -> Vec<f64> {
    report.values(name).unwrap().unwrap_or_else(|| panic!("{place}: no `{name}` is reported"))
}

/// Prototypes of every class and depth, by their place in the method's state: finite, and no two alike.
fn check_prototypes(method: &dyn Method, case: &Case, place: &str) {
    let state = method.state().unwrap();
    for (depth, channels) in case.channels.iter().enumerate() {
        let prototypes = state.0.get(&format!("proto.0.{depth}")).unwrap_or_else(|| panic!("{place}: none at {depth}"));
        assert_eq!(prototypes.dims(), [CLASSES, *channels], "{place}, depth {depth}");
        let rows = prototypes.to_vec2::<f32>().unwrap();
        assert!(rows.iter().flatten().all(|x| x.is_finite()), "{place}, depth {depth}: {rows:?}");
        let differ = (0..CLASSES).all(|a| (0..a).all(|b| rows[a] != rows[b]));
        assert!(differ, "{place}, depth {depth}: {rows:?}");
    }
    assert!(!state.0.contains_key(&format!("proto.0.{}", case.channels.len())), "{place}: too many depths");
}

/// Saliency of every weight of the encoder, finite, of which some is not 0 at each depth.
fn check_saliency(method: &dyn Method, net: &LateFusion, place: &str) {
    let state = method.state().unwrap();
    let mut telling = BTreeSet::new();
    for (name, param) in net.params().iter().filter(|(_, p)| p.role.is_weight()) {
        let Part::Encoder { modality: 0, depth } = param.role.part else { continue };
        let key = format!("saliency.0.of.{name}");
        let saliency: Vec<f64> = state.numbers(&key).unwrap_or_else(|e| panic!("{place}: {e}"));
        assert_eq!(saliency.len(), param.var.dims()[0], "{place}: {name}");
        assert!(saliency.iter().all(|s| s.is_finite()), "{place}: {name}: {saliency:?}");
        if saliency.iter().any(|s| *s != 0.) {
            telling.insert(depth);
        }
    }
    assert!(telling.into_iter().eq(0..net.spec().depths[0]), "{place}: the saliency of some depth is 0");
}

/// Every weight of the encoder loses some units and keeps some, at each depth in full strength.
fn check_masks(report: &Report, net: &LateFusion, place: &str) {
    let depths = net.spec().depths[0];
    assert_eq!(numbers(report, "lambda.it", place), vec![1.; depths], "{place}");
    assert_eq!(numbers(report, "keep.it", place), vec![0.1; depths], "{place}");
    let mut masked = BTreeSet::new();
    for (name, param) in net.params().iter().filter(|(_, p)| p.role.is_weight()) {
        let Part::Encoder { modality: 0, depth } = param.role.part else { continue };
        let units = numbers(report, &format!("units.{name}"), place);
        let kept = units.iter().sum::<f64>();
        assert_eq!(kept, (0.1 * units.len() as f64).ceil(), "{place}: {name}: {units:?}");
        masked.insert(depth);
    }
    assert!(masked.into_iter().eq(0..depths), "{place}: nothing is masked at some depth");
}

/// Answers of the auxiliary passes: as many as there are modalities, and none those of the plain pass.
fn check_passes(report: &Report, place: &str) {
    let plain = numbers(report, "logits", place);
    for name in ["it", "other"] {
        let auxiliary = numbers(report, &format!("logits_aux.{name}"), place);
        assert!(auxiliary.len() == plain.len() && auxiliary != plain, "{place}: that of {name} is the plain pass");
        let loss = numbers(report, &format!("loss.aux_{name}"), place)[0];
        assert!(auxiliary.iter().all(|x| x.is_finite()) && loss.is_finite(), "{place}: {name}");
    }
    let sum: f64 =
        ["loss.plain", "loss.aux_it", "loss.aux_other"].iter().map(|key| numbers(report, key, place)[0]).sum();
    assert!((numbers(report, "loss", place)[0] - sum).abs() < 1e-5, "{place}: the loss lacks a pass");
}

#[test]
fn aim_acts_at_every_depth_of_every_encoder() {
    for case in &CASES {
        for prototypes in ["dap", "class-mean"] {
            let place = format!("{} over {:?}, {prototypes}", case.encoder, case.input);
            let (net, samples) = case.network();
            assert_eq!(net.spec().depths[0], case.channels.len(), "{place}");
            // Auxiliary passes over the whole batch see what the plain one sees.
            let section = format!("{{name: aim, warmup: 0, dap_steps: 3, aux_fraction: 1, prototypes: {prototypes}}}");
            let mut aim = method(&section, &net);
            begin(aim.as_mut(), &net, &samples);
            check_prototypes(aim.as_ref(), case, &place);
            let (report, grads) = step(aim.as_mut(), &net, &samples);
            check_saliency(aim.as_ref(), &net, &place);
            check_masks(&report, &net, &place);
            check_passes(&report, &place);
            assert!(flat(&grads).iter().all(|(_, grad)| grad.iter().all(|g| g.is_finite())), "{place}");
        }
    }
}

#[test]
fn prototypes_of_words_are_learnt_as_embedded_words() {
    for case in &CASES {
        let (net, _) = case.network();
        let width = if case.reads_words() { &case.channels[..1] } else { &[] };
        assert_eq!(net.learnable(0), [case.input, width].concat(), "{}", case.encoder);
    }
}

#[test]
fn without_auxiliary_losses_it_is_joint_training_of_every_encoder_bit_for_bit() {
    for case in &CASES {
        let gradients = ["{name: aim, warmup: 0, beta: 0}", "joint", "{name: aim, warmup: 0, prototypes: none}"]
            .map(|section| flat(&gradient(section, &case.network().0, &case.network().1, 0).0));
        let [neutral, joint, aim] = gradients;
        assert!(neutral == joint, "{} over {:?}", case.encoder, case.input);
        assert!(aim != joint, "{} over {:?}: it acts otherwise", case.encoder, case.input);
    }
}

#[test]
fn every_encoder_with_learnt_blocks_is_tried() {
    let tried: BTreeSet<&str> = CASES.iter().map(|case| &case.encoder["name: ".len()..]).collect();
    for card in standard().encoders.iter() {
        let name = card.defaults().info().name;
        let known = tried.iter().any(|case| case.split(',').next() == Some(name));
        // Its features are worked out, not learnt.
        assert!(known || name == "statistics", "AIM has not met `{name}`");
    }
}
