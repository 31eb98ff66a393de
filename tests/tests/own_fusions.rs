//! Methods that bring a fusion of their own: what stays joint training on that fusion, and what does not.

use aim_core::{Clock, EpochStart, Grads, Net, ORDER, Optim, Params, Plan, Prepared, Result, Rng, Stateless, Step};
use aim_data::Splits;
use aim_tests::{
    MODALITIES, bits, bundle_config, data, run_folder, run_table, small, spec, split, write_bundle, write_split,
};
use candle_core::Device;

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
