//! Methods that decide which samples an epoch shows.

use std::{collections::BTreeMap, ops::ControlFlow::Continue, path::Path};

use aim_core::{Grads, Report, capability};
use aim_data::Splits;
use aim_tests::{
    Descent, MODALITIES, One, World, bits, bundle_config, flat, log, requires, run_folder, run_table, scalar, small,
    step, write_bundle,
};
use aim_train::config::{Scale, TableConfig};
use aim_train::run::{learner, network};
use aim_train::standard;
use candle_core::{Device, Tensor};

fn run(rows: &str, folder: &Path, rest: &[&str]) {
    write_bundle(folder);
    let results = run_table(bundle_config(rows, rest), folder).unwrap();
    assert_eq!(results.failures, [""; 0]);
}

#[test]
fn without_copies_it_is_joint_training() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "  - {name: joint, method: joint}
  - {name: late, method: {name: valuation, warmup: 3}}
  - {name: none, method: {name: valuation, level: modality, warmup: 0, alpha: 0}}
  - {name: sample, method: {name: valuation, warmup: 1}}
  - {name: modality, method: {name: valuation, level: modality, warmup: 1}}";
    run(rows, folder.path(), &[]);
    let joint = bits(&run_folder(folder.path(), "joint"));
    let of = |row: &str| bits(&run_folder(folder.path(), row));
    assert!(of("late") == joint && of("none") == joint);
    assert!(of("sample") != joint && of("modality") != joint && of("sample") != of("modality"));
}

#[test]
fn every_method_that_stacks_sees_batches_with_missing_modalities() {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let mut ran = 0;
    for card in aim_balance::builtin() {
        let (name, uni_heads) = (card.name(), requires(card).wants(capability::UNI_HEADS));
        for fusion in ["concat", "separate", "shared"] {
            let row = format!(
                "  - {{name: {name}, method: [{name}, {{name: valuation, warmup: 1}}], train: {{epochs: 2}}, \
                 model: {{fusion: {fusion}, uni_heads: {uni_heads}}}}}"
            );
            let source = bundle_config(&row, &[]);
            if TableConfig::new(source.clone(), Scale::Normal, standard()).is_ok() {
                assert_eq!(run_table(source, folder.path()).unwrap().failures, [""; 0], "{name} with {fusion}");
                ran += 1;
            }
        }
    }
    assert!(ran > 20, "{ran} ran");
}

#[test]
fn masks_and_held_gates_change_a_run_and_neutral_settings_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let linear = "model: {fusion: sum-linear, uni_heads: true}";
    let gates = "model: {fusion: {mmtm: {squeeze: 4}}}";
    let rows = format!(
        "  - {{name: linear, method: joint-unimodal, {linear}}}
  - {{name: no-masks, method: {{name: amco, sigma: 1}}, {linear}}}
  - {{name: masks, method: {{name: amco, sigma: 0.3}}, {linear}}}
  - {{name: gates, method: joint, {gates}}}
  - {{name: free, method: {{name: greedy, window: 0}}, {gates}}}
  - {{name: slow, method: {{name: greedy, alpha: 1000}}, {gates}}}
  - {{name: held, method: greedy, {gates}}}"
    );
    run(&rows, folder.path(), &[]);
    let of = |row: &str| bits(&run_folder(folder.path(), row));
    assert!(of("no-masks") == of("linear") && of("masks") != of("linear"));
    assert!(of("free") == of("gates") && of("slow") == of("gates") && of("held") != of("gates"));
}

#[test]
fn arm_shows_samples_again() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "  - {name: once, method: arm}
  - {name: late, method: {name: arm, resample: true, warmup: 3}}
  - {name: again, method: {name: arm, resample: true, warmup: 1}}
  - {name: min-max, method: {name: arm, min_max: 0.1}}";
    run(rows, folder.path(), &["model.fusion=shared", "model.modalities=[heart, breath]"]);
    let once = bits(&run_folder(folder.path(), "once"));
    let of = |row: &str| bits(&run_folder(folder.path(), row));
    assert!(of("late") == once && of("again") != once && of("min-max") != once);
}

const HEADS: &str = "model: {uni_heads: true}";

/// What the method of that name requires.
fn named(name: &str) -> aim_balance::Requirements {
    requires(aim_balance::builtin().get(name, "method").unwrap())
}

#[test]
fn without_weights_before_its_turns_remix_is_joint_training() {
    let folder = tempfile::tempdir().unwrap();
    let rows = format!(
        "  - {{name: joint, method: joint, {HEADS}}}
  - {{name: late, method: {{name: remix, warmup: 3, warmup_weight: 0}}, {HEADS}}}
  - {{name: skip, method: {{name: remix, warmup: 1}}, {HEADS}}}
  - {{name: zero, method: {{name: remix, warmup: 1, absent: zero}}, {HEADS}}}
  - {{name: order, method: {{name: remix, warmup: 1, order: [heart, motion, breath]}}, {HEADS}}}"
    );
    run(&rows, folder.path(), &[]);
    let joint = bits(&run_folder(folder.path(), "joint"));
    let of = |row: &str| bits(&run_folder(folder.path(), row));
    assert!(of("late") == joint);
    let other = [joint, of("skip"), of("zero"), of("order")];
    assert!((0..4).all(|a| (0..a).all(|b| other[a] != other[b])));

    let refused = bundle_config(&format!("  - {{name: a, method: {{name: remix, order: [heart]}}, {HEADS}}}"), &[]);
    let error = TableConfig::new(refused, Scale::Normal, standard()).unwrap_err().to_string();
    assert!(error.contains("method.order") && error.contains("every modality once"), "{error}");
}

#[test]
fn the_log_shows_to_whom_remix_gives_the_samples() {
    let folder = tempfile::tempdir().unwrap();
    run(&format!("  - {{name: remix, method: {{name: remix, warmup: 1}}, {HEADS}}}"), folder.path(), &[]);
    let log = log(&run_folder(folder.path(), "remix"));
    let of = |epoch: &BTreeMap<String, f64>, what: &str| MODALITIES.map(|name| epoch[&format!("{what}.{name}")]);
    let (warmup, later) = log.split_first().unwrap();
    assert!(of(warmup, "kept") == [1.; 3] && of(warmup, "assigned") == [0.; 3] && warmup.contains_key("loss.heart"));
    for epoch in later {
        let assigned = of(epoch, "assigned");
        assert_eq!(assigned.iter().sum::<f64>(), 90., "every sample is given to one modality: {assigned:?}");
        // Batches of 32: a modality's share of them is that of its turn.
        let batches = assigned.map(|samples| (samples / 32.).ceil());
        let shares = batches.map(|own| own / batches.iter().sum::<f64>());
        assert!(of(epoch, "kept").iter().zip(shares).all(|(a, b)| (a - b).abs() < 1e-6), "{assigned:?}");
        assert!(of(epoch, "divergence").iter().all(|bits| (0. ..=3f64.log2()).contains(bits)));
        assert!(epoch.contains_key("loss.own") && !epoch.contains_key("loss.heart"));
    }
}

#[test]
fn batches_of_remix_have_one_modality_and_turns_come_last_first() {
    let world = World::three("{epochs: 3, batch: 16}");
    let config = world.config("{name: remix, warmup: 1}", named("remix"), "concat").unwrap();
    let mut learner = learner(&config, &world.data, 0, &Device::Cpu).unwrap();
    let mut kept: Vec<Vec<usize>> = vec![vec![]; 3];
    let whole = |report: &Report, name: &str| scalar(report, &format!("kept.{name}")) == 1.;
    learner
        .run(&Splits::new(&world.data, 16, &Device::Cpu), |clock, report| {
            let own: Vec<usize> = (0..3).filter(|m| whole(report, &world.data.modalities[*m])).collect();
            assert!(own.len() == if clock.epoch == 0 { 3 } else { 1 }, "{clock:?}");
            kept[clock.epoch].extend(own);
            Ok(Continue(()))
        })
        .unwrap();
    assert!(kept[1..].iter().all(|turns| turns.iter().rev().is_sorted()), "{kept:?}");
}

#[test]
fn encoders_that_a_batch_leaves_out_rest_or_have_gradients_of_zeros() {
    let world = World::two(40, "name: cnn, widths: [4, 8]", "{epochs: 3, batch: 20}");
    let mut batch = world.data.train.batch(&(0..20).collect::<Vec<_>>(), &Device::Cpu).unwrap();
    batch.present = Some(Tensor::new(&[[1f32, 0.]], &Device::Cpu).unwrap().repeat((20, 1)).unwrap());
    for rests in [true, false] {
        batch.resting = if rests { vec![1] } else { vec![] };
        let config = world.config("{name: remix, warmup: 0}", named("remix"), "concat").unwrap();
        let net = network(&config, &world.data, 0, &Device::Cpu).unwrap();
        let mut method = config.method.build(aim_core::Net::spec(&net)).unwrap();
        let params = aim_core::Net::params(&net);
        let (before, mut opt) = (params.snapshot().unwrap(), Descent(0., Grads::default()));
        step(method.as_mut(), &net, &One(batch.clone()), 0, &mut opt);
        let of = |m: usize| {
            let own = opt.1.clone().filter(params, |role| role.encoder() == Some(m));
            flat(&own).into_iter().flat_map(|(_, g)| g).collect::<Vec<_>>()
        };
        assert!(of(0).iter().any(|g| *g != 0.));
        assert!(of(1).iter().all(|g| *g == 0.) && of(1).is_empty() == rests);
        let heads: Vec<_> = opt.1.iter().map(|(name, _)| name.to_string()).filter(|n| n.starts_with("uni_")).collect();
        assert_eq!(heads, ["uni_head.sound.bias", "uni_head.sound.weight"]);
        let moved = |name: &str| {
            let bits = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let own = params.buffers().filter(|(k, _)| k.starts_with(&format!("encoders.{name}.")));
            let mut moved = own.map(|(k, now)| bits(now.as_tensor()) != bits(&before[k.as_ref()]));
            moved.any(|moved| moved)
        };
        assert!(moved("sound") && moved("image") != rests, "running statistics");
    }
}

#[test]
fn what_a_sample_of_remix_lacks_has_no_influence() {
    let gradient = |noise: f64| {
        let (net, mut samples) = small("fusion: concat, uni_heads: true");
        let rows = Tensor::new(&[[1f32, 0., 1.], [0., 1., 0.]], &Device::Cpu).unwrap().repeat((20, 1)).unwrap();
        for (m, x) in samples.0.inputs.iter_mut().enumerate() {
            let lacking = rows.narrow(1, m, 1).unwrap().affine(-noise, noise).unwrap();
            x.values = x.values.broadcast_add(&lacking).unwrap();
        }
        samples.0.present = Some(rows);
        flat(&aim_tests::gradient("{name: remix, warmup: 0}", &net, &samples, 0).0)
    };
    assert_eq!(gradient(0.), gradient(5.));
}

#[test]
fn remix_stacks_with_what_changes_another_part_of_a_step() {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let mut ran = 0;
    let wraps = [("sam", "{sam: {inner: {remix: {warmup: 1}}}}"), ("ema", "{ema: {inner: {remix: {warmup: 1}}}}")];
    let stacks =
        aim_balance::builtin().iter().map(|card| (card.name(), format!("[{{remix: {{warmup: 1}}}}, {}]", card.name())));
    for (name, method) in stacks.chain(wraps.map(|(name, method)| (name, method.to_owned()))) {
        let row = format!("  - {{name: {name}, method: {method}, {HEADS}}}");
        let source = bundle_config(&row, &[]);
        if TableConfig::new(source.clone(), Scale::Normal, standard()).is_ok() {
            assert_eq!(run_table(source, folder.path()).unwrap().failures, [""; 0], "{name}");
            ran += 1;
        }
    }
    assert!(ran > 8, "{ran} ran");
}

#[test]
fn samples_that_valuation_shows_again_join_the_turns_of_remix() {
    let folder = tempfile::tempdir().unwrap();
    let remix = "{name: remix, warmup: 1}";
    let rows = format!("  - {{name: both, method: [{remix}, {{name: valuation, warmup: 1}}], {HEADS}}}");
    run(&rows, folder.path(), &[]);
    for epoch in &log(&run_folder(folder.path(), "both"))[1..] {
        // Every copy keeps one modality, so that no batch mixes any: shares of batches sum to 1.
        let kept: f64 = MODALITIES.iter().map(|name| epoch[&format!("kept.{name}")]).sum();
        assert!((kept - 1.).abs() < 1e-6 && epoch["copies"] > 0., "{epoch:?}");
    }
}
