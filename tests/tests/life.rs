//! What methods begin, end and carry along while they train: each shows in the run's log and survives a kill.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use aim_balance::di_mml::separate;
use aim_core::{CLASSIFIERS, Pass, State};
use aim_data::Splits;
use aim_tests::{
    Course, MODALITIES, World, assert_same, bundle_config, cases::section, files, fusion, log, requires, run_folder,
    run_table, train_run, write_bundle,
};
use aim_train::{
    config::{Identity, RunConfig},
    experiment::restrict,
    run::{EpochLog, Folder, Stop, Watch, checksum},
    standard,
};
use candle_core::{Device, Tensor};

/// Steps of an epoch of [`world`].
const STEPS: usize = 3;

fn world(epochs: usize) -> World {
    World::three(&format!("{{epochs: {epochs}, batch: 30}}"))
}

fn config(world: &World, name: &str, settings: &str) -> RunConfig {
    let of = |name: &str| requires(aim_balance::builtin().get(name, "method").unwrap());
    let needs = of(if settings.contains("{aug:") { "aug" } else { name });
    world.config(&section(name, settings), needs, fusion(needs)).unwrap()
}

/// The states after each epoch of a run, the first before it.
fn states(config: &RunConfig, world: &World) -> Vec<State> {
    let mut course = Course::new(config, &world.data, 0).unwrap();
    let at = |epoch: usize, course: &mut Course<'_>| {
        course.train(epoch * STEPS).unwrap();
        course.state().unwrap()
    };
    (0..=config.train.epochs).map(|epoch| at(epoch, &mut course)).collect()
}

/// Names of the entries below `part` that are not the same in both.
fn changed(before: &State, after: &State, part: &str) -> Vec<String> {
    let bits = |t: &Tensor| safetensors::View::data(t).into_owned();
    let (before, after) = (before.part(part), after.part(part));
    let other = |(name, t): (&String, &Tensor)| (before.0.get(name).map(bits) != Some(bits(t))).then(|| name.clone());
    after.0.iter().filter_map(other).collect()
}

#[test]
fn classifiers_of_aug_join_with_fresh_moments() {
    let world = world(4);
    let needs = requires(aim_balance::builtin().get("aug", "method").unwrap());
    for compat in [false, true] {
        let method = section("aug", &format!("check_every: 1, tau: 0, compat: {compat}"));
        // Three checks cannot use up four classifiers.
        let config = world.config(&method, needs, "{growing: {hidden: 8, most: 4}}").unwrap();
        let states = states(&config, &world);
        let counts = |state: &State| state.numbers(&format!("net.{CLASSIFIERS}")).unwrap();
        let counts: Vec<Vec<f64>> = states.iter().map(counts).collect();
        assert_eq!((&counts[0], &counts[1]), (&vec![1.; 3], &vec![1.; 3]), "nothing is known before the first check");
        let total = |epoch: usize| counts[epoch].iter().sum::<f64>();
        assert_eq!([2, 3, 4].map(total), [4., 5., 6.], "each later epoch begins with one more: {counts:?}");
        for (m, name) in world.data.modalities.iter().enumerate() {
            for i in 0..4 {
                let of = |what: &str| format!("optimizer.aug_head.{name}.{i}.weight/{what}");
                let trained = (1..=4).filter(|epoch| counts[*epoch][m] > i as f64).count() * STEPS;
                let trained = if compat && i > 0 { 0 } else { trained };
                let steps = states[4].number(&of("steps")).unwrap_or(0.);
                assert_eq!(steps, trained as f64, "{name} {i}: its moments are as old as its training");
                let moved = changed(&states[0], &states[4], "net").contains(&format!("aug_head.{name}.{i}.weight"));
                assert_eq!(moved, trained > 0, "{name} {i}");
            }
        }
    }
}

#[test]
fn an_average_of_weights_counts_classifiers_as_they_are() {
    let world = world(3);
    let states = states(&config(&world, "ema", "inner: {aug: {check_every: 1, tau: 0}}"), &world);
    let counts = |state: &State, part: &str| state.numbers(&format!("{part}.{CLASSIFIERS}")).unwrap();
    assert_eq!(counts(&states[3], "method.average"), counts(&states[3], "net"));
    assert_eq!(counts(&states[3], "net").iter().sum::<f64>(), 5.);
}

#[test]
fn a_modality_has_no_more_classifiers_than_its_fusion() {
    let world = world(6);
    // Whoever is weakest gets one whatever the lead, so that all end with the most that there are.
    let states = states(&config(&world, "aug", "check_every: 1, sigma: 0, tau: 0"), &world);
    let counts = |state: &State| state.numbers(&format!("net.{CLASSIFIERS}")).unwrap();
    assert!(counts(&states[6]).iter().all(|count| (1. ..=3.).contains(count)), "{:?}", counts(&states[6]));
    assert!(counts(&states[6]).iter().sum::<f64>() > 3.);
}

/// Asks to stop behind this epoch.
struct StopBehind<'a>(&'a Stop, usize);

impl Watch for StopBehind<'_> {
    fn epoch(&self, log: &EpochLog, _: usize, _: f64) {
        if log.epoch == self.1 {
            self.0.ask();
        }
    }
    fn say(&self, _: &str) {}
}

/// Trains a run in a folder, stopped behind an epoch if one is given, and gives the files that it leaves.
fn run((name, row): (&str, &str), folder: &Path, stop_behind: Option<usize>) -> BTreeMap<PathBuf, Vec<u8>> {
    std::fs::create_dir_all(folder).unwrap();
    write_bundle(folder);
    let row = format!("  - {{name: {name}, {row}, train: {{epochs: 4}}}}");
    let (config, _) = RunConfig::single(&bundle_config(&row, &[]), Some(name), standard()).unwrap();
    let data = aim_data::load(&config.data, Some(folder)).unwrap();
    let identity = Identity::new(&config, 0, checksum(&data).unwrap());
    let data = restrict(&config, &data).unwrap();
    let open = Folder::open(&folder.join("run"), &identity, standard()).unwrap();
    let stop = Stop::default();
    let watch = StopBehind(&stop, stop_behind.unwrap_or(usize::MAX));
    let ended = train_run((&config, 0), &data, &open, (&watch, &stop), Duration::ZERO);
    assert_eq!(ended.is_ok(), stop_behind.is_none());
    files(&folder.join("run"))
}

#[test]
fn what_methods_carry_survives_a_kill_between_any_two_epochs() {
    let rows = [
        ("aug", "method: {name: aug, check_every: 1, tau: 0}, model: {fusion: {growing: {hidden: 8, most: 3}}}"),
        ("di-mml", "method: {name: di-mml, starts: 1, fuse_epochs: 1}, model: {fusion: detached, uni_heads: true}"),
        ("remix", "method: {name: remix, warmup: 1}, model: {uni_heads: true}"),
        ("asgml", "method: {name: asgml, every: 2}, model: {uni_heads: true}"),
        ("cggm", "method: cggm, model: {uni_heads: true}"),
    ];
    for row in rows {
        let folder = tempfile::tempdir().unwrap();
        let alone = run(row, &folder.path().join("alone"), None);
        for epoch in 0..3 {
            let killed = folder.path().join(format!("killed{epoch}"));
            run(row, &killed, Some(epoch));
            assert_same(&alone, &run(row, &killed, None));
        }
    }
}

#[test]
fn the_log_shows_classifiers_and_stages() {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let rows = "  - {name: aug, method: {name: aug, check_every: 1, tau: 0}, model: {fusion: {growing: {hidden: 8}}}}
  - {name: di-mml, method: {name: di-mml, starts: 1, fuse_epochs: 1}, model: {fusion: detached, uni_heads: true}}";
    let results = run_table(bundle_config(rows, &["train.epochs=4"]), folder.path()).unwrap();
    assert_eq!(results.failures, [""; 0]);
    let (aug, di_mml) = (log(&run_folder(folder.path(), "aug")), log(&run_folder(folder.path(), "di-mml")));
    let sum = |epoch: &BTreeMap<String, f64>| MODALITIES.iter().map(|name| epoch[&format!("classifiers.{name}")]).sum();
    assert_eq!(aug.iter().map(sum).collect::<Vec<f64>>(), [3., 4., 5., 6.]);
    assert_eq!(di_mml.iter().map(|epoch| epoch["stage"]).collect::<Vec<_>>(), [1., 1., 1., 2.]);
    let has = |key: &str| di_mml.iter().map(|epoch| epoch.contains_key(key)).collect::<Vec<_>>();
    assert_eq!(has("effective.heart"), [false, true, true, false]);
    assert_eq!(has("loss.align.heart"), [true, true, true, false]);
}

#[test]
fn di_mml_separates_once_and_then_trains_the_fused_head_alone() {
    let world = world(5);
    let config = config(&world, "di-mml", "starts: 1, fuse_epochs: 2");
    let states = states(&config, &world);
    let of = |state: &State, name: &String| state.numbers(&format!("method.effective.{name}")).ok();
    let masks = |state: &State| world.data.modalities.iter().map(|name| of(state, name)).collect::<Vec<_>>();
    assert_eq!(masks(&states[1]), [None, None, None]);
    assert!((3..=5).all(|epoch| masks(&states[epoch]) == masks(&states[2])), "separated once");

    // What was separated is what the network of that time says of the training split.
    let mut course = Course::new(&config, &world.data, 0).unwrap();
    course.train(STEPS).unwrap();
    let (mut features, mut labels) = (vec![vec![]; 3], vec![]);
    let splits = Splits::new(&world.data, 30, &Device::Cpu);
    aim_core::Samples::each(&splits, aim_core::Split::Train, &mut |batch| {
        let out = course.net().forward(batch, &mut Pass::eval())?;
        features.iter_mut().zip(out.features).for_each(|(all, x)| all.push(x.detach()));
        labels.extend(batch.labels.to_vec1::<u32>()?);
        Ok(())
    })
    .unwrap();
    for (found, x) in masks(&states[2]).iter().zip(&features) {
        let mask = separate(&Tensor::cat(x, 0).unwrap(), &labels, 3).unwrap().effective;
        let mask: Vec<f64> = mask.into_iter().map(|own| f64::from(u8::from(own))).collect();
        assert_eq!(found.as_ref(), Some(&mask));
    }

    let heads = ["fused_head.bias", "fused_head.weight"];
    let first = changed(&states[0], &states[3], "net");
    assert!(heads.iter().all(|head| !first.contains(&(*head).into())) && first.len() > 10, "{first:?}");
    assert!(states[3].0.keys().all(|key| !key.starts_with("optimizer.fused_head")), "its moments begin with it");
    assert_eq!(changed(&states[3], &states[5], "net"), heads);
    assert_eq!(states[5].number("optimizer.fused_head.weight/steps").unwrap(), 2. * STEPS as f64);
}

#[test]
fn probes_of_asgml_learn_between_batches_and_set_the_scales() {
    let world = world(2);
    let states = |settings: &str| states(&config(&world, "asgml", settings), &world);
    // Behind the second of three batches in each epoch.
    let found = states("every: 2, probe_steps: 4");
    for (epoch, state) in found.iter().enumerate().skip(1) {
        for name in MODALITIES {
            let of = |what: &str| state.number(&format!("method.op0.{what}")).unwrap();
            assert_eq!(of(&format!("probe.{name}.steps")), 4. * epoch as f64);
            assert!((1. ..=1.5).contains(&of(&format!("scale.{name}"))));
        }
        let scales = MODALITIES.map(|name| state.number(&format!("method.op0.scale.{name}")).unwrap());
        assert!(scales.iter().any(|scale| *scale > 1.), "the weakest is boosted: {scales:?}");
        let moved = changed(&found[epoch - 1], state, "method");
        assert!(moved.iter().any(|name| name == "op0.probe.heart.weight"), "{moved:?}");
    }
    assert!(found[0].0.keys().all(|key| !key.contains("probe")));
    let never = states("every: 4");
    assert!(never[2].0.keys().all(|key| !key.contains("probe")), "no epoch has a fourth batch");
}

#[test]
fn a_batch_that_measures_nothing_leaves_what_asgml_knows_alone() {
    let world = world(2);
    let config = config(&world, "asgml", "every: 1");
    let mut course = Course::new(&config, &world.data, 0).unwrap();
    course.train(STEPS).unwrap();
    let before = course.state().unwrap();
    let moving = |name: &str| before.number(&format!("method.op0.scale.{name}")).unwrap() > 1.;
    assert!(MODALITIES.iter().any(|name| moving(name)), "its scales are on their way");
    course.step(&world.data.train.batch(&[0], &Device::Cpu).unwrap()).unwrap();
    assert_eq!(changed(&before, &course.state().unwrap(), "method"), [""; 0]);
}

#[test]
fn classifiers_of_cggm_have_a_learning_rate_and_moments_of_their_own() {
    let trained = |rate: f64, own: f64| {
        let world = world(1).optimizer(&format!("{{name: adam, lr: {rate}}}"));
        states(&config(&world, "cggm", &format!("classifier_lr: {own}, lambda: 0")), &world).swap_remove(1)
    };
    let weights = |state: &State, part: &str| {
        let own = state.part("net").0.into_iter().filter(|(name, _)| name.starts_with(part));
        own.flat_map(|(_, t)| t.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect::<Vec<_>>()
    };
    let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0., f32::max);
    // Adam's steps have the length of the learning rate: at one that moves nobody else, classifiers go their own way.
    let (still, slow) = (trained(1e-9, 0.01), trained(1e-9, 0.));
    assert!(apart(&weights(&still, "encoders."), &weights(&slow, "encoders.")) < 1e-7);
    let moved = apart(&weights(&still, "uni_head."), &weights(&slow, "uni_head."));
    assert!((0.01..0.031).contains(&moved), "three steps of 0.01: {moved}");
    let fast = trained(0.01, 0.);
    assert!(apart(&weights(&fast, "encoders."), &weights(&slow, "encoders.")) > 0.01);
    assert_eq!(weights(&fast, "uni_head."), weights(&slow, "uni_head."), "a rate of 0 is one of nothing");
    assert_eq!(still.number("optimizer.uni_head.heart.weight/steps").unwrap(), 3.);
}
