//! Options of training that published recipes use: accumulated gradients, early stopping, the task's loss, selection.

use std::{ops::ControlFlow::Continue, path::Path, time::Duration};

use aim_balance::{Requirements, builtin};
use aim_core::{Kind, Role};
use aim_tests::{
    Course, World, bundle_config, cases::active, fusion, requires, run_folder, run_table, split, train_run,
    write_bundle, write_report, write_split,
};
use aim_train::{
    config::{Identity, RunConfig, Select},
    run::{EpochLog, Folder, Outcome, Stop, Stopped, Watch, learner, splits},
    standard,
};
use candle_core::{Device, Tensor};

/// Weights after a whole run of joint training on 65 samples by this section of `train`.
fn trained(train: &str) -> Vec<f32> {
    let world = World::two(65, "name: mlp, widths: [8]", train).optimizer("{name: sgd, lr: 0.1, momentum: 0.9}");
    let mut config = world.config("joint", Requirements::NONE, "concat").unwrap();
    // Per update, so that its rates agree only if updates do.
    config.schedule = aim_optim::schedule(aim_optim::WarmupCosine { warmup_steps: 3, start: 0.1, min: 0.01 });
    let mut learner = learner(&config, &world.data, 0, &Device::Cpu).unwrap();
    let splits = splits(&config, &world.data, &Device::Cpu).unwrap();
    learner.run(&splits, |_, _| Ok(Continue(()))).unwrap();
    let all = learner.net().params().tensors();
    all.into_values().flat_map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0., f32::max)
}

#[test]
fn accumulated_batches_are_one_large_batch() {
    // Batches of 10 make six of 10 and one of 5: groups of 40 and 25 samples.
    for loss in [
        "",
        ", clip_norm: 0.2",
        ", label_smoothing: 0.1, class_weights: balanced",
        ", class_weights: [1, 5, 0.2, 1, 2, 1, 0.5, 3, 1, 1]",
    ] {
        let of = |batch, accumulate| trained(&format!("{{epochs: 3, batch: {batch}, accumulate: {accumulate}{loss}}}"));
        let (large, grouped, small) = (of(40, 1), of(10, 4), of(10, 1));
        assert!(distance(&large, &grouped) < 2e-5, "{loss}: {}", distance(&large, &grouped));
        assert!(distance(&large, &small) > 1e-2, "{loss}: {}", distance(&large, &small));
    }
}

#[test]
fn a_sampler_says_what_epochs_show() {
    // 12 samples of classes 0, 1, 2 in the ratio 4 to 1 to 1.
    let labels = [0, 0, 1, 0, 0, 2, 0, 0, 1, 0, 0, 2];
    let seen = |train: &str, groups: Vec<u32>| {
        let world = World::two(12, "name: mlp, widths: [8]", train);
        let config = world.config("joint", Requirements::NONE, "concat").unwrap();
        let (x, ids) =
            (world.data.train.batch(&(0..12).collect::<Vec<_>>(), &Device::Cpu).unwrap(), world.data.train.ids());
        let subset = aim_data::Subset::of(x.inputs, labels.into(), ids.to_vec()).unwrap();
        let train = std::sync::Arc::new(subset.grouped(groups).unwrap());
        let data = aim_data::Dataset { train, ..world.data.clone() };
        let splits = splits(&config, &data, &Device::Cpu).map_err(|e| e.to_string())?;
        let epoch = splits.training().epoch(0, 0).map(|batch| batch.unwrap().ids).collect::<Vec<_>>();
        Ok::<_, String>(epoch.concat())
    };
    let counts = |shown: &[usize]| [0, 1, 2].map(|class| shown.iter().filter(|i| labels[**i] == class).count());
    let plain = seen("{epochs: 1, batch: 5}", vec![]).unwrap();
    assert_eq!((counts(&plain), seen("{epochs: 1, batch: 5, sampler: shuffled}", vec![]).unwrap()), ([8, 2, 2], plain));
    assert_eq!(counts(&seen("{epochs: 1, batch: 5, sampler: balanced}", vec![]).unwrap()), [4, 4, 4]);
    // Two groups: the first two samples, and all others.
    let groups = (0..12).map(|i| u32::from(i > 1)).collect();
    let grouped = seen("{epochs: 1, batch: 5, sampler: groups}", groups).unwrap();
    assert_eq!(grouped.iter().filter(|i| **i < 2).count(), 6);
    let error = seen("{epochs: 1, batch: 5, sampler: groups}", vec![]).unwrap_err();
    assert!(error.contains("train.sampler: shows groups equally often") && error.contains("has none"), "{error}");
}

#[test]
fn every_method_is_trained_on_accumulated_batches_or_refused() {
    let world = World::two(60, "name: cnn, widths: [4, 8]", "{epochs: 2, batch: 20, accumulate: 2}");
    let mut refused = vec![];
    for card in builtin() {
        let needs = requires(card);
        match world.config(&active(card.name()), needs, fusion(needs)) {
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("train.accumulate: needs methods with one update a step"), "{error}");
                refused.push(card.name());
            }
            Ok(config) => {
                let course = || aim_tests::Course::new(&config, &world.data, 0).unwrap();
                let (mut alone, mut stopped) = (course(), course());
                // In the middle of a group, and behind the short one that ends an epoch.
                for step in [1, 3] {
                    stopped.train(step).unwrap();
                    let saved = stopped.save().unwrap();
                    stopped = aim_tests::Course::resumed(&config, &world.data, 0, &saved).unwrap();
                    assert!(stopped.save().unwrap() == saved, "{}, step {step}", card.name());
                }
                alone.finish().unwrap();
                stopped.finish().unwrap();
                assert!(alone.save().unwrap() == stopped.save().unwrap(), "{} goes another way", card.name());
            }
        }
    }
    refused.sort_unstable();
    assert_eq!(refused, ["aug", "ema", "equilibrium", "mbcd", "mla", "remix"]);
}

#[test]
fn a_method_of_several_updates_cannot_be_accumulated_by_hand_either() {
    let world = World::two(40, "name: mlp, widths: [8]", "{epochs: 1, batch: 20}");
    let needs = requires(builtin().find("mla").unwrap());
    let config = world.config("mla", needs, fusion(needs)).unwrap();
    let learner = learner(&config, &world.data, 0, &Device::Cpu).unwrap();
    let splits = splits(&config, &world.data, &Device::Cpu).unwrap();
    let error = learner.accumulate(2).run(&splits, |_, _| Ok(Continue(()))).unwrap_err().to_string();
    assert!(error.contains("train.accumulate") && error.contains("several"), "{error}");
}

#[test]
fn the_task_s_loss_acts_in_every_method_that_has_it() {
    let world = |more: &str| World::two(60, "name: cnn, widths: [4, 8]", &format!("{{epochs: 2, batch: 20{more}}}"));
    let plain = world("");
    let mut without = vec![];
    for (key, more) in [
        ("label_smoothing", ", label_smoothing: 0.2"),
        ("class_weights", ", class_weights: [1, 5, 0.2, 1, 2, 1, 0.5, 3, 1, 1]"),
    ] {
        let changed = world(more);
        for card in builtin() {
            let needs = requires(card);
            let weights = |world: &World| -> aim_core::Result<Vec<u8>> {
                let config = world.config(&active(card.name()), needs, fusion(needs))?;
                let mut course = aim_tests::Course::new(&config, &world.data, 0)?;
                course.finish()?;
                course.weights()
            };
            match weights(&changed) {
                Ok(changed) => assert!(changed != weights(&plain).unwrap(), "{key} does nothing in {}", card.name()),
                Err(error) => {
                    assert!(error.to_string().starts_with(&format!("train.{key}: ")), "{}: {error}", card.name());
                    without.push(card.name());
                }
            }
        }
    }
    assert_eq!(without, ["tcmax"; 2]);
}

#[test]
fn groups_follow_their_own_schedules() {
    let of = |schedule: &str| trained(&format!("{{epochs: 2, batch: 20, groups: [{{part: encoder{schedule}}}]}}"));
    let plain = of("");
    assert_eq!(of(", schedule: {name: warmup-cosine, warmup_steps: 3, start: 0.1, min: 0.01}"), plain, "the run's own");
    assert!(distance(&of(", schedule: constant"), &plain) > 1e-3);
    // The text of a configuration names them, and is read again as what it was.
    let world = World::two(65, "name: mlp, widths: [8]", "{groups: [{part: head, schedule: {name: step, every: 2}}]}");
    let config = world.config("joint", Requirements::NONE, "concat").unwrap();
    let text = serde_yaml::to_value(&config).unwrap();
    assert_eq!(text["train"]["groups"][0]["schedule"]["every"], 2);
    assert_eq!(RunConfig::read(text, standard()).unwrap(), config);
}

#[test]
fn norms_and_biases_do_not_decay_if_the_configuration_says_so() {
    let world = |decay: f64, groups: &str| {
        let encoder = "name: vit, patch: 4, width: 8, heads: 2, layers: 2, blocks: 2";
        World::two(20, encoder, &format!("{{epochs: 1, batch: 10{groups}}}"))
            .optimizer(&format!("{{name: sgd, lr: 0.1, weight_decay: {decay}}}"))
    };
    let config = |world: &World| world.config("joint", Requirements::NONE, "concat").unwrap();
    // Biases begin at 0, which nothing decays: what is compared is the second step.
    let first = world(0., "");
    let begun = config(&first);
    let mut course = Course::new(&begun, &first.data, 0).unwrap();
    course.train(1).unwrap();
    let saved = course.save().unwrap();
    let after = |decay: f64, groups: &str| -> Vec<(Role, Vec<f32>)> {
        let world = world(decay, groups);
        let config = config(&world);
        let mut course = Course::resumed(&config, &world.data, 0, &saved).unwrap();
        course.finish().unwrap();
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        course.net().params().iter().map(|(_, p)| (p.role, values(&p.var))).collect()
    };
    let (decayed, whole, named) = (after(0.5, ""), after(0., ""), after(0.5, ", groups: no-decay"));
    for ((named, decayed), whole) in named.iter().zip(&decayed).zip(&whole) {
        let spared = matches!(named.0.kind, Kind::Norm | Kind::Bias);
        assert_eq!(named, if spared { whole } else { decayed });
    }
    let all = decayed.iter().zip(&whole);
    let differ: Vec<_> = all.filter(|(a, b)| a.0.encoder().is_some() && a.1 != b.1).map(|(a, _)| a.0.kind).collect();
    for kind in [Kind::Conv, Kind::Linear, Kind::Norm, Kind::Bias, Kind::Embedding] {
        assert!(differ.contains(&kind), "{kind:?} does not decay in any case");
    }
}

#[test]
fn clipped_gradients_move_less_and_bounds_that_are_never_reached_change_nothing() {
    let weights = |more: &str| trained(&format!("{{epochs: 1, batch: 20{more}}}"));
    for key in ["clip_norm", "clip_value"] {
        assert!(weights(&format!(", {key}: 1000")) == weights(""), "{key}");
        assert!(weights(&format!(", {key}: 0.0001")) != weights(""), "{key}");
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    folder
}

/// Asks to stop when an epoch is done, and keeps what is said.
struct StopAfter<'a>(usize, &'a Stop, std::sync::Mutex<Vec<String>>);

impl Watch for StopAfter<'_> {
    fn epoch(&self, log: &EpochLog, _: usize, _: f64) {
        if log.epoch == self.0 {
            self.1.ask();
        }
    }
    fn say(&self, line: &str) {
        self.2.lock().unwrap().push(line.to_owned());
    }
}

/// The run of a configuration, stopped behind these epochs and taken up again: its outcome, its files, what is said in
/// the last part.
fn run(config: &RunConfig, folder: &Path, name: &str, stops: &[usize]) -> (Outcome, Vec<Vec<u8>>, Vec<String>) {
    let (data, path) = (aim_data::load(&config.data, None).unwrap(), folder.join(name));
    let mut last = None;
    for after in stops.iter().chain([&99]) {
        let open = Folder::open(&path, &Identity::new(config, 3, 0), standard()).unwrap();
        let stop = Stop::default();
        let watch = StopAfter(*after, &stop, std::sync::Mutex::default());
        let done = train_run((config, 3), &data, &open, (&watch, &stop), Duration::ZERO);
        assert_eq!(done.is_ok(), *after == 99);
        last = done.ok().zip(watch.2.into_inner().ok());
    }
    let (outcome, said) = last.unwrap();
    let file = |f: &str| std::fs::read(path.join(f)).unwrap();
    let files = ["last.safetensors", "best.safetensors", "metrics.jsonl", "predictions.csv", "result.json"];
    (outcome, files.map(file).to_vec(), said)
}

fn single(folder: &Path, train: &str) -> RunConfig {
    let rows = "  - {name: joint, method: {name: joint}}";
    let mut source = bundle_config(rows, &[&format!("train={train}")]);
    for split in ["train", "validation", "test"] {
        source.set(&format!("data.{split}={}", folder.join(format!("{split}.safetensors")).display())).unwrap();
    }
    RunConfig::single(&source, Some("joint"), standard()).unwrap().0
}

#[test]
fn training_stops_where_validation_has_got_no_better_for_as_long_as_it_waits() {
    let folder = folder();
    let config = single(folder.path(), "{epochs: 40, batch: 32, patience: 3}");
    let (outcome, files, said) = run(&config, folder.path(), "alone", &[]);
    let Some(Stopped { epochs, patience: 3, metric }) = &outcome.stopped else { panic!("{:?}", outcome.stopped) };
    assert_eq!((metric.as_str(), *epochs), ("accuracy", outcome.epoch + 4));
    // The best epoch is the first with its accuracy, and the three after it are no better.
    let text = String::from_utf8(files[2].clone()).unwrap();
    let log: Vec<EpochLog> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let accuracy: Vec<f64> = log.iter().map(|epoch| epoch.validation.accuracy()).collect();
    let best = accuracy.iter().copied().fold(0., f64::max);
    assert_eq!((log.len(), accuracy.iter().position(|a| *a == best)), (*epochs, Some(outcome.epoch)));
    assert!(outcome.to_string().contains(&format!("stopped after {epochs} epochs")), "{outcome}");
    let stopped = format!("stopped after {epochs} epochs: no higher accuracy on validation in the last 3");
    assert_eq!(said.last(), Some(&stopped), "{said:?}");

    // Killed anywhere, also while it waits and when there was nothing left to wait for, it stops at the same epoch.
    for (name, stops) in [("early", vec![0, 1]), ("waiting", vec![epochs - 3, epochs - 2])] {
        assert!(run(&config, folder.path(), name, &stops).1 == files, "{name}");
    }
    // Without patience the run is the same up to there, and goes on.
    let on = single(folder.path(), &format!("{{epochs: {epochs}, batch: 32}}"));
    let (whole, same, _) = run(&on, folder.path(), "whole", &[]);
    assert!(whole.stopped.is_none() && same[..4] == files[..4], "patience changes what is trained");
}

#[test]
fn a_run_that_gets_better_is_not_stopped() {
    let folder = folder();
    let (outcome, ..) = run(&single(folder.path(), "{epochs: 2, batch: 32, patience: 1}"), folder.path(), "a", &[]);
    assert_eq!(outcome.stopped, None, "the last epoch ends every run");
}

#[test]
fn a_table_of_runs_that_stopped_early_is_read_again() {
    let folder = folder();
    let rows = "  - {name: joint, method: joint, train: {epochs: 40, patience: 2}}\n  - {name: whole, method: joint}";
    let results = run_table(bundle_config(rows, &[]), folder.path()).unwrap();
    assert_eq!(results.failures, [""; 0]);
    let runs: Vec<_> = results.rows.iter().map(|row| &row.runs[0]).collect();
    let epochs = runs[0].outcome.stopped.as_ref().unwrap().epochs;
    assert_eq!([runs[0].log.len(), runs[1].log.len()], [epochs, 3]);
    let text = write_report(&results, folder.path()).text(None);
    let said = format!("`joint`, 1 of 1 runs, after {epochs} of 40 epochs");
    assert!(text.contains(&said), "{text}");
    let again = run_table(bundle_config(rows, &[]), folder.path()).unwrap();
    assert_eq!(again.rows[0].runs[0].outcome, runs[0].outcome);
}

#[test]
fn the_epoch_is_chosen_by_the_metric_that_select_names() {
    let folder = folder();
    // Few of the first class, none of them easy.
    for (name, samples) in [("train", 90), ("validation", 30)] {
        let mut tensors = split(name, samples);
        let rare = |i: u32| if i.is_multiple_of(10) { 0 } else { 1 + i % 2 };
        tensors
            .insert("y".into(), Tensor::new((0..samples as u32).map(rare).collect::<Vec<_>>(), &Device::Cpu).unwrap());
        write_split(folder.path(), name, &tensors);
    }
    let mut chosen = vec![];
    for select in [Select::Best, Select::MacroF1, Select::BalancedAccuracy] {
        let name = serde_yaml::to_string(&select).unwrap();
        let config = single(folder.path(), &format!("{{epochs: 30, batch: 32, select: {}}}", name.trim()));
        let (outcome, files, _) = run(&config, folder.path(), name.trim(), &[2]);
        let text = String::from_utf8(files[2].clone()).unwrap();
        let log: Vec<EpochLog> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let values: Vec<f64> = log.iter().map(|epoch| epoch.validation.get(select.metric()).unwrap()).collect();
        let best = values.iter().copied().fold(0., f64::max);
        assert_eq!(values.iter().position(|v| *v == best), Some(outcome.epoch), "{select:?}: {values:?}");
        chosen.push(outcome.epoch);
    }
    assert!(chosen.windows(2).any(|pair| pair[0] != pair[1]), "the metrics agree on every epoch: {chosen:?}");
}

#[test]
fn a_run_that_says_one_class_for_everything_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // Inputs that tell next to nothing, yet no two alike: training can learn the frequencies of the classes alone.
    let tiny = |first: usize, (n, width): (usize, usize)| {
        let values: Vec<f32> = (0..n * width).map(|i| 1e-6 * (first + i / width) as f32).collect();
        Tensor::from_vec(values, (n, width), &Device::Cpu).unwrap()
    };
    let labels = |counts: [u32; 3]| -> Vec<u32> {
        (0..3).flat_map(|class| std::iter::repeat_n(class as u32, counts[class] as usize)).collect()
    };
    let splits = [("train", 0, [20, 60, 10]), ("validation", 100, [10, 20, 10]), ("test", 200, [20, 16, 4])];
    for (name, first, counts) in splits {
        let (mut tensors, y) = (split(name, 1), labels(counts));
        tensors.values_mut().for_each(|x| *x = tiny(first, (y.len(), x.dim(1).unwrap_or(1))));
        tensors.insert("y".into(), Tensor::new(y, &Device::Cpu).unwrap());
        write_split(folder.path(), name, &tensors);
    }
    let rows = "  - {name: joint, method: joint, train: {epochs: 20}}";
    let results = run_table(bundle_config(rows, &["seeds=2"]), folder.path()).unwrap();
    let outcome = &results.rows[0].runs[0].outcome;
    let majority = outcome.majority.as_ref().unwrap();
    // The class of most training samples, on the test split: 16 of 40.
    assert_eq!((majority.class.as_str(), majority.share), ("1", 0.4));
    assert_eq!((outcome.single_class.as_deref(), outcome.test.accuracy()), (Some("1"), 0.4));
    assert_eq!(outcome.test.get("balanced_accuracy"), Some(1. / 3.));
    let written = write_report(&results, folder.path());
    // On the narrowest terminal, too.
    let (text, narrow) = (written.text(None), written.text(Some(60)));
    assert!(narrow.replace('\n', " ").contains("ONE CLASS ONLY: `joint`, 2 of 2 runs"), "{narrow}");
    assert!(text.contains("ONE CLASS ONLY: `joint`, 2 of 2 runs"), "{}", text);
    assert!(text.lines().any(|line| line.contains("majority")), "{}", text);
    assert!(std::fs::read_to_string(&written.report).unwrap().contains("ONE CLASS ONLY"));
    let run = run_folder(folder.path(), "joint");
    let log = std::fs::read_to_string(run.join("log.txt")).unwrap();
    let at = |part: &str| log.find(part).unwrap_or_else(|| panic!("{part} is not in\n{log}"));
    // While there is still time to stop, and with the scores.
    assert!(
        at("every validation sample is taken for `1`, the class of 50 % of them")
            < at("takes every test sample for `1`")
    );
    assert!(std::fs::read_to_string(run.join("report.html")).unwrap().contains("takes every test sample for `1`"));
    // Weights by frequency leave nothing to prefer: the classes' probabilities come out alike.
    let rows = "  - {name: joint, method: joint, train: {epochs: 20, batch: 90, class_weights: balanced}}";
    let results = run_table(bundle_config(rows, &[]), folder.path()).unwrap();
    let text =
        std::fs::read_to_string(results.rows[0].runs[0].folder.as_ref().unwrap().join("predictions.csv")).unwrap();
    let confidence: f64 = text.lines().nth(1).unwrap().split(',').nth(3).unwrap().parse().unwrap();
    assert!(confidence < 0.45, "{confidence}");
}
