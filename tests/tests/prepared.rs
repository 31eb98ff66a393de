//! What is trained before a run: made once, shared, resumable; and what methods make of it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use aim_balance::gblend;
use aim_core::{
    Alone, Batch, Clock, Draws, EpochStart, Grads, Method, Net, Optim, Params, Pass, Plan, Preparation, Prepared,
    Report, Result, Role, Stateless, Step, View,
};
use aim_data::{Dataset, Source, Splits};
use aim_tests::{
    MODALITIES, bits, bundle_config, run_folder, run_options, run_table, run_with, train_run, write_bundle,
};
use aim_train::{
    config::{Identity, RunConfig, Select},
    experiment::{Options, restrict},
    run::{EpochLog, Folder, Stop, Watch, checksum, chosen, network},
    standard,
};
use candle_core::{D, DType, Device, Tensor};

const CPU: Device = Device::Cpu;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    folder
}

fn run(rows: &str, folder: &Path) {
    assert_eq!(run_table(bundle_config(rows, &[]), folder).unwrap().failures, [""; 0]);
}

fn prepared(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("runs/prepared")).map(|dir| dir.map(|e| e.unwrap().path()).collect());
    let mut found: Vec<PathBuf> = entries.unwrap_or_default();
    found.sort();
    found
}

#[test]
fn preparations_are_trained_once_for_all_rows() {
    let folder = folder();
    let rows = "  - {name: umt, method: {name: umt}}
  - {name: g2d, method: {sam: {inner: g2d}}}
  - {name: frozen, method: {name: frozen}, model: {fusion: shared}}
  - {name: lora, method: {name: lora}, model: {encoders: {heart: {lora: {rank: 2}}}}}";
    let results = run_with(bundle_config(rows, &[]), &Options { jobs: 4, ..run_options(folder.path()) }).unwrap();
    assert_eq!(results.failures, [""; 0]);
    let made = prepared(folder.path());
    assert_eq!(made.len(), MODALITIES.len(), "{made:?}");
    // Seconds differ from one training to the next.
    let seconds = || made.iter().map(|p| fs::read(p.join("seed0/timing.jsonl")).unwrap()).collect::<Vec<_>>();
    let before = seconds();
    run("  - {name: gblend, method: {name: gblend, estimate: offline}, model: {uni_heads: true}}", folder.path());
    assert_eq!(seconds(), before);
    assert_eq!(prepared(folder.path()).len(), MODALITIES.len() + 1, "G-Blend also needs the joint network");
}

#[test]
fn a_preparation_that_was_killed_goes_on_with_the_same_bits() {
    struct StopAfterFirst<'a>(&'a Stop);
    impl Watch for StopAfterFirst<'_> {
        fn epoch(&self, _: &EpochLog, _: usize, _: f64) {
            self.0.ask();
        }
        fn say(&self, line: &str) {
            panic!("{line}");
        }
    }

    let row = "  - {name: umt, method: {name: umt}}";
    let (alone, killed) = (folder(), folder());
    run(row, alone.path());

    let (config, data) = load(row, killed.path());
    let config = config.preparation(&Preparation::Alone { modality: MODALITIES[1].into() });
    let identity = Identity::new(&config, 0, checksum(&data).unwrap());
    let name = format!("{}.{}", config.name, identity.key().unwrap());
    let open =
        Folder::open(&killed.path().join("runs/prepared").join(&name).join("seed0"), &identity, standard()).unwrap();
    let (stop, data) = (Stop::default(), restrict(&config, &data).unwrap());
    let watched = (&StopAfterFirst(&stop) as &dyn Watch, &stop);
    assert!(train_run((&config, 0), &data, &open, watched, Duration::ZERO).is_err());
    assert_eq!(chosen(open.path(), Select::Last).unwrap().epochs(), 1);
    drop(open);

    run(row, killed.path());
    let all = |folder: &Path| {
        let runs = prepared(folder).into_iter().map(|p| p.join("seed0")).chain([run_folder(folder, "umt")]);
        runs.map(|run| bits(&run)).collect::<Vec<_>>()
    };
    assert_eq!(prepared(killed.path()).len(), MODALITIES.len(), "the run found what was begun");
    assert!(all(alone.path()) == all(killed.path()));
}

#[test]
fn neutral_settings_equal_joint_training_and_prepare_nothing() {
    let folder = folder();
    run(
        "  - {name: joint, method: {name: joint}}
  - {name: umt0, method: {name: umt, lambda: 0}}
  - {name: g2d0, method: {name: g2d, logits: 0, features: 0, priority: 0}}",
        folder.path(),
    );
    let joint = bits(&run_folder(folder.path(), "joint"));
    for row in ["umt0", "g2d0"] {
        assert!(bits(&run_folder(folder.path(), row)) == joint, "{row} differs from joint training");
    }
    assert!(prepared(folder.path()).is_empty());
}

#[test]
fn the_error_of_a_run_names_the_preparation_that_failed() {
    let folder = folder();
    let rows = "  - {name: umt, method: {name: umt}, optimizer: {name: sgd, lr: 1e18}}";
    let results = run_table(bundle_config(rows, &[]), folder.path()).unwrap();
    let text = &results.failures[0];
    assert!(text.contains("preparation `breath alone`") && text.contains("epoch 0"), "{text}");
}

/// A method's first step on the first batch of the bundle, after prepared networks of another seed.
struct Case {
    net: Box<dyn Net>,
    other: Box<dyn Net>,
    prepared: Prepared,
    data: Dataset,
    batch: Batch,
    method: Box<dyn Method>,
}

/// Keeps what it is given.
#[derive(Default)]
struct Recorder(Grads);

impl Stateless for Recorder {}

impl Optim for Recorder {
    fn apply(&mut self, _: &Params, grads: &Grads) -> Result<()> {
        self.0 = grads.clone();
        Ok(())
    }
    fn lr(&self) -> f64 {
        0.
    }
    fn set_lr(&mut self, _: f64) {}
}

fn whole(split: &dyn Source) -> Batch {
    split.batch(&(0..split.len()).collect::<Vec<_>>(), &CPU).unwrap()
}

fn load(row: &str, folder: &Path) -> (RunConfig, Dataset) {
    let (config, _) = RunConfig::single(&bundle_config(row, &[]), Some("umt"), standard()).unwrap();
    let data = aim_data::load(&config.data, Some(folder)).unwrap();
    (config, data)
}

impl Case {
    /// Encoders with batch norm or low-rank additions; the prepared networks have been trained a little.
    fn new(method: &str) -> Self {
        let folder = folder();
        let [a, b, c] = MODALITIES;
        let load = |lora: &str, method: &str| {
            let (mlp, cnn) = (format!("{{name: mlp, widths: [4, 8]{lora}}}"), "{name: cnn, widths: [4, 8]}");
            let model = format!("{{encoders: {{{a}: {mlp}, {b}: {cnn}, {c}: {mlp}}}, uni_heads: true}}");
            load(&format!("  - {{name: umt, method: {method}, model: {model}}}"), folder.path())
        };
        let (config, data) = load(", lora: {rank: 1}", method);
        let (simple, _) = load("", "{name: joint-unimodal}");
        let batch = data.train.batch(&(0..16).collect::<Vec<_>>(), &CPU).unwrap();
        let net = network(&config, &data, 0, &CPU).unwrap();
        let other = network(&simple, &data, 1, &CPU).unwrap();
        let mut teacher = simple.method.build(other.spec()).unwrap();
        let mut opt = simple.optimizer.build();
        for _ in 0..10 {
            let (opt, clock) = (opt.as_mut(), Clock::default());
            teacher.step(&mut Step { net: &other, opt, batch: &batch, clock, seed: 0, trace: false }).unwrap();
        }
        let method = config.method.build(net.spec()).unwrap();
        let prepared = prepare(&other);
        Self { net: Box::new(net), other: Box::new(other), prepared, data, batch, method }
    }

    /// The report of the first step and the gradient that it descends.
    fn step(&mut self) -> (Report, Grads) {
        let (net, opt) = (&*self.net, &mut Recorder::default());
        let clock = Clock { epochs: 2, steps_per_epoch: 1, ..Clock::default() };
        let (samples, prepared) = (&Splits::new(&self.data, self.data.train.len(), &CPU), &self.prepared);
        let mut start = EpochStart { net, opt, samples, prepared, clock, seed: 0, plan: Plan::default() };
        self.method.before_epoch(&mut start).unwrap();
        let mut step = Step { net, opt, batch: &self.batch, clock, seed: 0, trace: false };
        let report = self.method.step(&mut step).unwrap();
        (report, opt.0.clone())
    }

    /// Features of a network in evaluation.
    fn features(&self, net: &dyn Net) -> Vec<Tensor> {
        net.forward(&self.batch, &mut Pass::eval()).unwrap().features
    }

    /// Logits of the prepared modalities.
    fn taught(&self) -> Vec<Tensor> {
        let one = |(name, z): (&String, Tensor)| {
            let Alone { weight, bias, .. } = &self.prepared.alone[name];
            z.matmul(&weight.t().unwrap()).unwrap().broadcast_add(bias).unwrap()
        };
        self.net.spec().modalities.iter().zip(self.features(&*self.other)).map(one).collect()
    }
}

/// A network's encoders and additional heads as if they had been trained alone, and all of it as if jointly.
fn prepare(net: &dyn Net) -> Prepared {
    let all: View = net.params().snapshot().unwrap().into_iter().map(|(k, t)| (k.into(), t)).collect();
    let alone = |name: &String| {
        let encoder = all.iter().filter(|(k, _)| k.starts_with(&format!("encoders.{name}.")));
        let encoder = encoder.map(|(k, t)| (k.clone(), t.clone())).collect();
        let head = |kind: &str| all[format!("uni_head.{name}.{kind}").as_str()].clone();
        (name.clone(), Alone { encoder, weight: head("weight"), bias: head("bias") })
    };
    Prepared { alone: net.spec().modalities.iter().map(alone).collect(), joint: Some(all) }
}

fn values(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn number(t: &Tensor) -> f64 {
    values(t)[0]
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-4 * (1. + b.abs()), "{a} is not {b}");
}

/// Mean of the squared differences.
fn mse(a: &Tensor, b: &Tensor) -> f64 {
    let squares: Vec<f64> = values(a).iter().zip(values(b)).map(|(a, b)| (a - b) * (a - b)).collect();
    squares.iter().sum::<f64>() / squares.len() as f64
}

/// Fused logits and features of the run's network in training.
fn trained_features(case: &Case) -> (Tensor, Vec<Tensor>) {
    let pass = &mut Pass::train(Draws { seed: 0, epoch: 0, step: 0 }).norm(aim_core::Norm::Batch);
    let out = case.net.forward(&case.batch, pass).unwrap();
    (out.logits, out.features)
}

#[test]
fn umt_by_hand() {
    let mut case = Case::new("{name: umt, lambda: 3}");
    // A view of the run's network must answer as the other network does.
    let (taught, (_, features)) = (case.features(&*case.other), trained_features(&case));
    let (report, _) = case.step();
    let mut want = number(report.get("loss.ce").unwrap());
    for (m, name) in case.net.spec().modalities.iter().enumerate() {
        let apart = mse(&features[m], &taught[m]);
        close(number(report.get(&format!("loss.feature.{name}")).unwrap()), apart);
        assert!(apart > 1e-3);
        want += 3. * apart;
    }
    close(number(report.get("loss").unwrap()), want);
}

#[test]
fn a_teacher_has_no_part_in_the_low_rank_additions_of_the_run() {
    let mut case = Case::new("{name: umt, lambda: 3}");
    let taught = case.features(&*case.other);
    for (_, param) in case.net.params().iter().filter(|(name, _)| name.ends_with("lora_b")) {
        param.var.set(&param.var.ones_like().unwrap()).unwrap();
    }
    let (_, features) = trained_features(&case);
    let (report, _) = case.step();
    for (m, name) in case.net.spec().modalities.iter().enumerate() {
        close(number(report.get(&format!("loss.feature.{name}")).unwrap()), mse(&features[m], &taught[m]));
    }
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let sum: f64 = row.iter().map(|x| x.exp()).sum();
    row.iter().map(|x| x.exp() / sum).collect()
}

#[test]
fn g2d_by_hand() {
    let mut case = Case::new("{name: g2d, temperature: 2, logits: 0.5, features: 0.25}");
    let (taught, features) = (case.taught(), case.features(&*case.other));
    let (logits, own) = trained_features(&case);
    let labels: Vec<u32> = case.batch.labels.to_vec1().unwrap();
    let classes = case.net.spec().classes;
    let (report, grads) = case.step();
    let mut want = number(report.get("loss.ce").unwrap());
    let mut confidence = Vec::new();
    for (m, name) in case.net.spec().modalities.iter().enumerate() {
        let (mut kl, mut sure) = (0., 0.);
        let (taught, fused) = (values(&taught[m]), values(&logits));
        for (i, (t, s)) in taught.chunks(classes).zip(fused.chunks(classes)).enumerate() {
            let half = |row: &[f64]| softmax(&row.iter().map(|x| x / 2.).collect::<Vec<_>>());
            let pairs = half(t).into_iter().zip(half(s));
            kl += pairs.map(|(p, q)| p * (p / q).ln()).sum::<f64>() / labels.len() as f64;
            sure += softmax(t)[labels[i] as usize];
        }
        close(number(report.get(&format!("loss.kl.{name}")).unwrap()), kl);
        close(number(report.get(&format!("confidence.{name}")).unwrap()), sure);
        want += 0.5 * 4. * kl + 0.25 * mse(&own[m], &features[m]);
        confidence.push(sure);
    }
    close(number(report.get("loss").unwrap()), want);

    let weakest = (0..3).min_by(|a, b| confidence[*a].total_cmp(&confidence[*b])).unwrap();
    let size = |of: &dyn Fn(Role) -> bool| {
        grads
            .clone()
            .filter(case.net.params(), of)
            .iter()
            .map(|(_, g)| values(g).iter().map(|x| x.abs()).sum::<f64>())
            .sum()
    };
    for m in 0..3 {
        let weights: f64 = size(&|role| role.encoder() == Some(m) && role.is_weight());
        let others: f64 = size(&|role| role.encoder() == Some(m) && !role.is_weight());
        assert_eq!(weights > 0., m == weakest, "weights of encoder {m}");
        assert!(others > 0., "norm layers of encoder {m}");
    }
}

#[test]
fn mmlora_begins_at_the_sum_of_the_prepared_logits() {
    let mut case = Case::new("{name: lora}");
    let taught = case.taught().into_iter().reduce(|a, b| (a + b).unwrap()).unwrap();
    let (report, grads) = case.step();
    let got = values(report.get("logits").unwrap());
    got.iter().zip(values(&taught)).for_each(|(a, b)| close(*a, b));
    assert!(grads.iter().all(|(name, _)| name.contains("lora") || name.starts_with("head.")), "{grads:?}");
}

#[test]
fn frozen_encoders_are_the_prepared_ones_and_get_no_gradient() {
    let mut case = Case::new("{name: frozen}");
    let (_, grads) = case.step();
    for (own, other) in case.features(&*case.net).iter().zip(case.features(&*case.other)) {
        assert_eq!(values(own), values(&other));
    }
    assert!(grads.iter().all(|(name, _)| name.starts_with("head.")) && !grads.is_empty());
}

#[test]
fn finetuned_is_the_inner_method_from_the_prepared_encoders() {
    for (finetuned, inner) in [("{name: finetuned}", "{name: joint}"), ("{finetuned: {inner: mcr}}", "{name: mcr}")] {
        let (mut case, mut other) = (Case::new(finetuned), Case::new(inner));
        let start = |name: &str| name.starts_with("encoders.") || name.starts_with("uni_head.");
        let prepared = other.other.params().tensors().into_iter().filter(|(name, _)| start(name));
        let mut weights = other.net.params().snapshot().unwrap();
        weights.extend(prepared.map(|(name, t)| (name, t.copy().unwrap())));
        other.net.params().load(&weights).unwrap();
        let ((_, grads), (_, want)) = (case.step(), other.step());
        let all = |grads: &Grads| grads.iter().map(|(name, g)| (name.to_string(), values(g))).collect::<Vec<_>>();
        assert_eq!(all(&grads), all(&want), "{inner}");
        assert!(MODALITIES.iter().all(|m| grads.iter().any(|(name, _)| name.contains(m))), "{inner}");
    }
}

#[test]
fn gblend_weighs_the_prepared_networks_against_the_untrained_one() {
    let mut case = Case::new("{name: gblend, estimate: offline}");
    let losses = |unimodal: &dyn Net, fused: &dyn Net, split: &dyn Source| -> Vec<f64> {
        let batch = whole(split);
        let out = |net: &dyn Net| net.forward(&batch, &mut Pass::eval()).unwrap();
        let loss = |logits: &Tensor| {
            let all = logits.broadcast_sub(&logits.max_keepdim(D::Minus1).unwrap()).unwrap();
            let rows = values(&all);
            let one = |(row, y): (&[f64], &u32)| -softmax(row)[*y as usize].ln();
            let labels = split.labels();
            rows.chunks(logits.dim(1).unwrap()).zip(labels).map(one).sum::<f64>() / labels.len() as f64
        };
        out(unimodal).unimodal.iter().map(loss).chain([loss(&out(fused).logits)]).collect()
    };
    let both = |net: &dyn Net| (losses(net, net, &*case.data.train), losses(net, net, &*case.data.validation));
    let (before, after) = (both(&*case.net), both(&*case.other));
    let want = gblend::estimate((&before.0, &before.1), (&after.0, &after.1), gblend::LEAST);
    let (report, _) = case.step();
    let names = case.net.spec().modalities.iter().map(String::as_str).chain(["fused"]);
    for (name, weight) in names.zip(want.weights) {
        close(number(report.get(&format!("weight.{name}")).unwrap()), weight);
    }
}
