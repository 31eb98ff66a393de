//! Methods that bring a fusion of their own: what stays joint training on that fusion, and what does not.

use aim_core::{
    CLASSIFIERS, Clock, EpochStart, Grads, Net, ORDER, Optim, Params, Plan, Prepared, Result, Rng, STAGES, Stateless,
    Step,
};
use aim_data::Splits;
use aim_ops::softmax;
use aim_tests::{
    MODALITIES, answers, bits, bundle_config, data, flat, gradient, mean_loss, method, run_folder, run_table, scalar,
    small, spec, split, step, write_bundle, write_split,
};
use candle_core::{Device, Tensor};

/// Runs rows of (name, method, fusion) on three modalities and gives the bits of each.
fn runs(rows: &[(&str, &str, &str)]) -> Vec<Vec<Vec<u8>>> {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let row = |(name, method, fusion): &(&str, &str, &str)| {
        format!("  - {{name: {name}, method: {method}, model: {{fusion: {fusion}}}}}\n")
    };
    let source = bundle_config(&rows.iter().map(row).collect::<String>(), &[]);
    assert_eq!(run_table(source, folder.path()).unwrap().failures, [""; 0]);
    rows.iter().map(|(name, ..)| bits(&run_folder(folder.path(), name))).collect()
}

#[test]
fn ma_afs() {
    let (fusion, off) = ("{scheduled: {hidden: 8}}", "mu: 0, entropy: 0, corrupt: 0, consistency: 0");
    let runs = runs(&[
        ("joint", "{name: joint}", fusion),
        ("off", &format!("{{name: ma-afs, {off}}}"), fusion),
        ("on", "{name: ma-afs, consistency: 1}", fusion),
        ("again", "{name: ma-afs, consistency: 1}", fusion),
    ]);
    assert!(runs[1] == runs[0] && runs[2] == runs[3] && runs[2] != runs[0]);
}

/// Remembers which parameters each update was for, and leaves them alone.
#[derive(Default)]
struct Recorder(Vec<Vec<String>>);

impl Stateless for Recorder {}

impl Optim for Recorder {
    fn apply(&mut self, _: &Params, grads: &Grads) -> Result<()> {
        self.0.push(grads.iter().map(|(name, _)| name.to_string()).collect());
        Ok(())
    }
    fn lr(&self) -> f64 {
        0.
    }
    fn set_lr(&mut self, _: f64) {}
}

#[test]
fn equilibrium_learns_one_modality_after_the_other_and_orders_them_by_their_shares() {
    let (net, samples) = small("fusion: {memory: {hidden: 4}}");
    let mut method = spec("equilibrium").build(net.spec()).unwrap();
    let (mut opt, order) = (Recorder::default(), || net.params().buffer(ORDER).unwrap().to_vec1::<u32>().unwrap());
    let data = data(&samples);
    for epoch in 0..2 {
        let clock = Clock { epoch, epochs: 2, step: epoch, batch: 0, steps_per_epoch: 1 };
        let (net, batch, trace) = (&net as &dyn Net, &samples.0, false);
        let mut start = EpochStart {
            net,
            opt: &mut opt,
            samples: &Splits::new(&data, samples.0.len(), &Device::Cpu),
            prepared: &Prepared::default(),
            clock,
            seed: 0,
            plan: Plan::default(),
        };
        method.before_epoch(&mut start).unwrap();
        let report = method.step(&mut Step { net, opt: &mut opt, batch, clock, seed: 0, trace }).unwrap();
        let shares: Vec<_> = MODALITIES.iter().map(|m| report.values(&format!("share.{m}")).unwrap()).collect();
        if epoch == 0 {
            assert!(order() == [0, 1, 2] && shares.iter().all(Option::is_none));
        } else {
            let ranked: Vec<f64> = order().iter().map(|m| shares[*m as usize].as_ref().unwrap()[0]).collect();
            assert!(ranked.is_sorted() && ranked[0] < ranked[2], "{ranked:?}");
            assert_ne!(order(), [0, 1, 2], "choose data whose shares are in another order");
        }
        let updates = opt.0.split_off(0);
        assert_eq!(updates.len(), 3);
        for (update, m) in updates.iter().zip(order()) {
            let own = |name: &&String| name.starts_with(&format!("encoders.{}.", MODALITIES[m as usize]));
            assert!(update.iter().filter(own).count() == 2 && update.len() == 6, "{update:?}");
        }
    }
}

#[test]
fn equilibrium() {
    let fusion = "{memory: {hidden: 8}}";
    let runs = runs(&[
        ("joint", "{name: joint}", fusion),
        ("weak", "{name: equilibrium}", fusion),
        ("again", "{name: equilibrium, order: weak-first}", fusion),
        ("strong", "{name: equilibrium, order: strong-first}", fusion),
    ]);
    assert!(runs[1] == runs[2] && runs[1] != runs[3] && runs[1] != runs[0]);
}

/// Keeps the gradient of each update and leaves parameters alone.
#[derive(Default)]
struct Updates(Vec<Grads>);

impl Stateless for Updates {}

impl Optim for Updates {
    fn apply(&mut self, _: &Params, grads: &Grads) -> Result<()> {
        self.0.push(grads.clone());
        Ok(())
    }
    fn lr(&self) -> f64 {
        0.
    }
    fn set_lr(&mut self, _: f64) {}
}

#[test]
fn sub_steps_of_aug_before_any_check_are_those_of_unimodal_training() {
    let (net, samples) = small("fusion: {growing: {hidden: 5, most: 2}}");
    let mut opt = Updates::default();
    step(method("aug", &net).as_mut(), &net, &samples, 0, &mut opt);
    assert_eq!(opt.0.len(), 3);
    for (m, update) in opt.0.iter().enumerate() {
        let loss = mean_loss(&answers(&net, &samples).unimodal[m], &samples);
        assert_eq!(flat(update), flat(&Grads::of(&loss, net.params()).unwrap()), "{}", MODALITIES[m]);
        assert_eq!(update.iter().count(), 6, "an encoder, a classifier and the output layer");
    }
}

#[test]
fn di_mml_without_common_head_and_contrast_is_unimodal_training() {
    let ((own, samples), (sum, _)) = (small("fusion: detached, uni_heads: true"), small("fusion: sum"));
    for (name, param) in own.params().iter() {
        let other = name.replace("uni_head.", "head.");
        if let Some(value) = sum.params().get(&other) {
            param.var.set(value.var.as_tensor()).unwrap();
        }
    }
    let of = |section: &str, net, epoch| flat(&gradient(section, net, &samples, epoch).0);
    let detached = of("{name: di-mml, align: 0, starts: 90, fuse_epochs: 0}", &own, 5);
    let renamed = detached.into_iter().map(|(name, g)| (name.replace("uni_head.", "head."), g));
    assert_eq!(renamed.collect::<Vec<_>>(), of("ensemble", &sum, 5));
}

#[test]
fn what_aug_leaves_to_its_newest_classifier() {
    let (net, samples) = small("fusion: {growing: {hidden: 5, most: 3}}");
    net.params().buffer(CLASSIFIERS).unwrap().set(&Tensor::new(&[3u32, 1, 2], &Device::Cpu).unwrap()).unwrap();
    let stages = answers(&net, &samples).extras[STAGES].clone();
    let logits = |i: usize| stages.narrow(1, i, 1).unwrap().squeeze(1).unwrap();
    let p = |x: &Tensor| {
        let (rows, labels) =
            (softmax(x).unwrap().to_vec2::<f32>().unwrap(), samples.0.labels.to_vec1::<u32>().unwrap());
        rows.into_iter().zip(labels).map(|(row, y)| f64::from(row[y as usize])).collect::<Vec<_>>()
    };
    let of = |section: &str, name: &str| {
        scalar(&step(method(section, &net).as_mut(), &net, &samples, 0, &mut Updates::default()), name)
    };
    let (first, second, newest) = (p(&logits(0)), p(&logits(1)), p(&logits(2)));
    let sum = p(&(logits(0) + logits(1)).unwrap());
    let mean = |q: &dyn Fn(usize) -> f64| {
        newest.iter().enumerate().map(|(i, p)| -(1. - 0.3 * q(i)) * p.ln()).sum::<f64>() / newest.len() as f64
    };
    for (residual, want) in [("ensemble", mean(&|i| sum[i])), ("separate", mean(&|i| first[i] + second[i]))] {
        let found = of(&format!("{{name: aug, lambda: 0.3, residual: {residual}}}"), "loss.heart.residual");
        assert!((found - want).abs() < 1e-5, "{residual}: {found}, not {want}");
    }
    let score = of("aug", "score.motion");
    let both = p(&(logits(4) + logits(5)).unwrap());
    assert!((score - both.iter().sum::<f64>()).abs() < 1e-4);
}

#[test]
fn mods() {
    let fusion = "{mods: {width: 8, tokens: 3, layers: 2, heads: 2}}";
    let runs = runs(&[
        ("joint", "{name: joint}", fusion),
        ("off", "{name: mods, alpha: 0}", fusion),
        ("on", "{name: mods}", fusion),
        ("again", "{name: mods, double_exp: false}", fusion),
    ]);
    assert!(runs[1] == runs[0] && runs[2] == runs[3] && runs[2] != runs[0]);
}

#[test]
fn sequences_meet_every_kind_of_fusion() {
    let folder = tempfile::tempdir().unwrap();
    for (name, samples) in [("train", 60), ("validation", 30), ("test", 30)] {
        let mut tensors = split(name, samples);
        let heart = Rng::keyed(0, name).normal_tensor(&[samples, 2, 6], 1., &Device::Cpu).unwrap();
        tensors.insert("x.heart".into(), heart);
        write_split(folder.path(), name, &tensors);
    }
    let fusions = ["concat", "{mods: {width: 8, tokens: 3, layers: 1, heads: 2}}"];
    let row = |fusion: &&str| {
        let name = fusion.chars().filter(char::is_ascii_lowercase).collect::<String>();
        format!("  - {{name: {name}, method: {{name: joint}}, model: {{fusion: {fusion}}}}}\n")
    };
    let mut source = bundle_config(&fusions.iter().map(row).collect::<String>(), &["train.epochs=1"]);
    source.set("model.encoders.heart={name: sequence, widths: [4]}").unwrap();
    assert_eq!(run_table(source, folder.path()).unwrap().failures, [""; 0]);
}

#[test]
fn aim_where_encoders_see_each_other() {
    let fusion = "{inner-mmtm: {from: 0}}";
    let runs = runs(&[
        ("joint", "{name: joint}", fusion),
        ("off", "{name: aim, warmup: 0, beta: 0}", fusion),
        ("on", "{name: aim, warmup: 0, dap_steps: 3}", fusion),
        ("again", "{name: aim, warmup: 0, dap_steps: 3, reliance: dual}", fusion),
        ("mix", "{name: aim, warmup: 0, dap_steps: 3, reliance: mix}", fusion),
    ]);
    assert!(runs[1] == runs[0] && runs[2] == runs[3] && runs[2] != runs[0] && runs[4] != runs[2]);
}
