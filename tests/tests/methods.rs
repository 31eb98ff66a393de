//! What holds for every method in the table: its neutral setting, three modalities, a loss that falls, bits that
//! repeat, a state that survives a stop in mid-epoch.

use std::collections::BTreeSet;

use aim_balance::{MethodCard, Quantity, Requirements, Unimodal, builtin};
use aim_config::{Kind, Setting, Values};
use aim_core::{Batch, capability};
use aim_tests::{
    Course, World, at_most_two,
    cases::{self, Neutral, active, find, section},
    fusion, requires, spec,
};
use aim_train::config::RunConfig;
use candle_core::{Device, Tensor};

const CNN: &str = "name: cnn, widths: [4, 8]";

/// Two modalities and a few steps an epoch.
fn small() -> World {
    World::two(60, CNN, "{epochs: 3, batch: 20}")
}

/// Asks every card and tells all failures at once.
fn every(ask: impl Fn(&MethodCard) -> Result<(), String>) {
    let failures = builtin().iter().filter_map(|card| Some(format!("{}: {}", card.name(), ask(card).err()?)));
    let failures: Vec<_> = failures.collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), builtin().iter().count(), failures.join("\n"));
}

fn course<'a>(config: &'a RunConfig, world: &World, seed: u64) -> Result<Course<'a>, String> {
    Course::new(config, &world.data, seed).map_err(|e| e.to_string())
}

/// Weights and the loss of the answers after a whole run.
fn trained(config: &RunConfig, world: &World, seed: u64) -> Result<(Vec<u8>, u64), String> {
    let mut course = course(config, world, seed)?;
    let mut run = || -> aim_core::Result<_> {
        course.finish()?;
        Ok((course.weights()?, course.loss()?.to_bits()))
    };
    run().map_err(|e| e.to_string())
}

fn config(world: &World, needs: Requirements, method: &str) -> Result<RunConfig, String> {
    world.config(method, needs, fusion(needs)).map_err(|e| e.to_string())
}

/// What two methods require together, where one differs in heads of its own alone.
fn both(one: Requirements, other: Requirements) -> Requirements {
    let heads = |requires: &Requirements| requires.wants(capability::UNI_HEADS);
    if heads(&other) && !heads(&one) { Requirements { unimodal: Unimodal::Trained, ..other } } else { one }
}

#[test]
fn a_neutral_setting_equals_its_base() {
    let world = small();
    every(|card| {
        let name = card.name();
        let case = find(name).ok_or("has no line in tests/src/cases.rs")?;
        let Neutral::Equals(settings, base) = case.neutral else { return Ok(()) };
        let base = builtin().get(base, "base").map_err(|e| e.to_string())?;
        let needs = both(requires(card), requires(base));
        let neutral = config(&world, needs, &section(name, settings))?;
        let base = RunConfig { method: spec(base.name()), ..neutral.clone() };
        let base = trained(&base, &world, 1)?;
        if trained(&neutral, &world, 1)? != base {
            return Err(format!("{settings} differs from its base"));
        }
        // MSES waits for a validation loss that rises.
        let active = trained(&config(&world, needs, &active(name))?, &world, 1)?;
        if active == base && name != "mses" { Err("does nothing with its active settings".into()) } else { Ok(()) }
    });
}

#[test]
fn three_modalities_are_trained_or_refused() {
    let world = World::three("{epochs: 2, batch: 32}");
    every(|card| {
        let config = config(&world, requires(card), &active(card.name()));
        if at_most_two(card) {
            return config.err().map(drop).ok_or_else(|| "is not refused".into());
        }
        trained(&config?, &world, 0).map(drop)
    });
}

#[test]
fn the_loss_falls() {
    let world = World::two(300, CNN, "{epochs: 12, batch: 30}").optimizer("{name: adam, lr: 0.01}");
    every(|card| {
        let config = config(&world, requires(card), &active(card.name()))?;
        let mut course = course(&config, &world, 0)?;
        let before = course.loss().map_err(|e| e.to_string())?;
        course.finish().map_err(|e| e.to_string())?;
        let after = course.loss().map_err(|e| e.to_string())?;
        if after < 0.95 * before { Ok(()) } else { Err(format!("from {before:.3} to {after:.3}")) }
    });
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
    let world = small();
    every(|card| {
        let config = config(&world, requires(card), &active(card.name()))?;
        let first = trained(&config, &world, 0)?;
        match (first == trained(&config, &world, 0)?, first == trained(&config, &world, 1)?) {
            (true, false) => Ok(()),
            (same, _) => Err(if same { "does not depend on the seed" } else { "differs in a second run" }.into()),
        }
    });
}

#[test]
fn the_state_survives_a_stop_in_mid_epoch() {
    let world = small();
    every(|card| {
        let config = config(&world, requires(card), &active(card.name()))?;
        let mut whole = course(&config, &world, 0)?;
        // Three steps an epoch: stops after the first of an epoch, before the last, and between two epochs.
        for stop in [1, 3, 5] {
            whole.train(stop).map_err(|e| e.to_string())?;
            let saved = whole.save().map_err(|e| e.to_string())?;
            let resumed = Course::resumed(&config, &world.data, 0, &saved);
            let mut resumed = resumed.map_err(|e| format!("after step {stop}: {e}"))?;
            let again = resumed.save().map_err(|e| e.to_string())?;
            if again != saved {
                return Err(format!("another state after loading that of step {stop}"));
            }
            resumed.train(9).map_err(|e| format!("after step {stop}: {e}"))?;
            let mut alone = course(&config, &world, 0)?;
            alone.train(9).map_err(|e| e.to_string())?;
            if resumed.save().ok() != alone.save().ok() {
                return Err(format!("goes another way after a stop at step {stop}"));
            }
        }
        Ok(())
    });
}

#[test]
fn an_average_of_the_weights_answers_for_every_method() {
    let world = World::two(40, CNN, "{epochs: 1, batch: 15}");
    let (mut refused, mut same) = (vec![], vec![]);
    for card in builtin() {
        let (name, needs) = (card.name(), requires(card));
        let inner = config(&world, needs, &active(name)).unwrap();
        let averaged = config(&world, needs, &section("ema", &format!("decay: 0.9, inner: {}", active(name))));
        let averaged = match averaged {
            Ok(averaged) => averaged,
            Err(reason) => {
                refused.push((name, reason));
                continue;
            }
        };
        let (own, of_average) = (trained(&inner, &world, 0).unwrap(), trained(&averaged, &world, 0).unwrap());
        assert!(own.0 == of_average.0, "{name} trains otherwise under an average");
        assert!(f64::from_bits(of_average.1).is_finite(), "{name}");
        same.extend((own.1 == of_average.1).then_some(name));
    }
    let reason = "method.name: `unimodal` works on 1 modality, the network has 2; change model.modalities";
    assert_eq!(refused, [("unimodal", reason.to_owned())]);
    // It answers with an average of its own, whatever weights it is shown.
    assert_eq!(same, ["ema"]);
}

/// Settings of a card that are a choice of words, each with its words.
fn choices(card: &MethodCard) -> Vec<(&'static str, Vec<&'static str>)> {
    let choices = card.settings().iter().map(|setting| (setting.name, setting.choices().to_vec()));
    choices.filter(|(_, words)| words.len() > 1).collect()
}

/// Sections that act at once with every choice of a card, and with every pair of one and one of the first setting that
/// the card accepts.
fn chosen(card: &MethodCard) -> Vec<String> {
    let acting = find(card.name()).map_or("", |case| case.active);
    let taken = |setting: &str| acting.split(", ").any(|own| own.starts_with(&format!("{setting}:")));
    let free: Vec<_> = choices(card).into_iter().filter(|(setting, _)| !taken(setting)).collect();
    let of = |(setting, words): &(&str, Vec<&str>)| -> Vec<String> {
        words.iter().map(|word| format!("{setting}: {word}")).collect()
    };
    let Some((first, others)) = free.split_first() else { return vec![] };
    let comma = if acting.is_empty() { "" } else { ", " };
    let whole = |choice: &str| section(card.name(), &format!("{acting}{comma}{choice}"));
    let mut all: Vec<_> = of(first).iter().map(|a| whole(a)).collect();
    for other in others.iter().map(of) {
        let pairs = of(first).into_iter().flat_map(|a| other.iter().map(move |b| format!("{a}, {b}")));
        all.extend(pairs.map(|pair| whole(&pair)).filter(|section| accepts(card, section)));
    }
    all
}

/// Whether a card takes these settings together.
fn accepts(card: &MethodCard, section: &str) -> bool {
    let section = aim_config::yaml::parse(section).unwrap();
    aim_balance::MethodSpec::read(builtin(), &section).is_ok_and(|spec| spec.name() == card.name())
}

#[test]
fn every_choice_is_trained_and_survives_a_stop() {
    let (two, three) = (World::two(40, CNN, "{epochs: 2, batch: 20}"), World::three("{epochs: 2, batch: 45}"));
    every(|card| {
        let worlds = if at_most_two(card) { vec![&two] } else { vec![&two, &three] };
        for (world, method) in worlds.into_iter().flat_map(|w| chosen(card).into_iter().map(move |m| (w, m))) {
            let config = config(world, requires(card), &method)?;
            let told = |e: aim_core::Error| format!("{method}: {e}");
            let mut whole = course(&config, world, 0)?;
            whole.train(3).map_err(told)?;
            let saved = whole.save().map_err(told)?;
            let mut resumed = Course::resumed(&config, &world.data, 0, &saved).map_err(told)?;
            whole.finish().map_err(told)?;
            resumed.finish().map_err(told)?;
            let loss = whole.loss().map_err(told)?;
            if !loss.is_finite() || whole.save().map_err(told)? != resumed.save().map_err(told)? {
                return Err(format!("{method}: loss {loss}, or another way after a stop"));
            }
        }
        Ok(())
    });
}

/// Whether a key is one that any method may report, which no card declares.
fn common(key: &str) -> bool {
    ["loss", "logits", "logits_aux", "unimodal"].contains(&key.split('.').next().unwrap_or_default())
}

#[test]
fn what_steps_report_is_what_the_card_declares() {
    let world = World::two(60, CNN, "{epochs: 8, batch: 20}");
    every(|card| {
        let declared = card.defaults().info().reports;
        let mut reported = BTreeSet::new();
        for section in std::iter::once(active(card.name())).chain(chosen(card)) {
            let config = config(&world, requires(card), &section)?;
            reported.extend(course(&config, &world, 0)?.reported().map_err(|e| format!("{section}: {e}"))?);
        }
        let unknown = |key: &&String| !common(key) && !declared.iter().any(|quantity| quantity.has(key));
        let unseen = |quantity: &&Quantity| !reported.iter().any(|key| quantity.has(key));
        let unknown: Vec<_> = reported.iter().filter(unknown).collect();
        let unseen: Vec<_> = declared.iter().filter(unseen).map(|quantity| quantity.name).collect();
        let fits = unknown.is_empty() && unseen.is_empty();
        if fits { Ok(()) } else { Err(format!("reports {unknown:?} undeclared, declares {unseen:?} for nothing")) }
    });
}

/// A batch in which the first sample lacks the first modality and nobody has the last; `noise` stands where nothing is
/// known.
fn incomplete(world: &World, modalities: usize, noise: f64) -> aim_core::Result<Batch> {
    let mut batch = world.data.train.batch(&(0..8).collect::<Vec<_>>(), &Device::Cpu)?;
    let known = |i: usize, m: usize| !(i == 0 && m == 0) && m + 1 < modalities;
    for (m, x) in batch.inputs.iter_mut().enumerate() {
        let keep: Vec<f32> = (0..8).map(|i| f32::from(known(i, m))).collect();
        let keep = Tensor::new(keep, &Device::Cpu)?.unsqueeze(1)?;
        x.values = (x.values.broadcast_mul(&keep)? + ((1. - keep)? * noise)?.broadcast_as(x.values.shape())?)?;
    }
    let present: Vec<f32> = (0..8 * modalities).map(|i| f32::from(known(i / modalities, i % modalities))).collect();
    batch.present = Some(Tensor::from_vec(present, (8, modalities), &Device::Cpu)?);
    Ok(batch)
}

#[test]
fn what_stands_in_place_of_a_missing_modality_has_no_influence() {
    let world = World::three("{epochs: 1, batch: 8}");
    every(|card| {
        // One modality alone is never missing.
        if requires(card).modalities.1 <= 2 {
            return Ok(());
        }
        let config = config(&world, requires(card), &active(card.name()))?;
        let run = |noise| -> aim_core::Result<_> {
            let (mut course, batch) = (Course::new(&config, &world.data, 0)?, incomplete(&world, 3, noise)?);
            let before = course.answers(&batch)?;
            course.step(&batch)?;
            Ok((before, course.weights()?, course.answers(&batch)?))
        };
        let (one, other) = (run(0.).map_err(|e| e.to_string())?, run(9.).map_err(|e| e.to_string())?);
        match (one.0 == other.0, one.1 == other.1, one.2 == other.2) {
            (true, true, true) => Ok(()),
            (false, ..) => Err("its answers depend on it".into()),
            (_, false, _) => Err("it trains on it".into()),
            _ => Err("its state keeps it".into()),
        }
    });
}

/// Values just beyond a setting's range.
fn beyond(setting: &Setting) -> Vec<String> {
    if !setting.choices().is_empty() {
        return vec!["nonsense".into()];
    }
    let ends = match setting.rule.values {
        Values::Number { low, high, open, below } => {
            let low = if open { low } else { low - 1. };
            [Some(low), high.is_finite().then_some(if below { high } else { high + 1. })]
        }
        Values::Whole { low, high } => [Some(low as f64 - 1.), (high < u64::MAX).then_some(high as f64 + 1.)],
        _ => [None, None],
    };
    let numbers = matches!(setting.kind, Kind::Number | Kind::Whole);
    ends.into_iter().flatten().filter(|_| numbers).map(|value| value.to_string()).collect()
}

#[test]
fn a_wrong_setting_is_refused_with_its_range() {
    let world = small();
    let mut tried = 0;
    every(|card| {
        let name = card.name();
        for setting in card.settings() {
            let range = setting.range();
            let words = range.split([' ', ',']).filter(|word| word.parse::<f64>().is_ok());
            let wanted: Vec<_> = words.chain(setting.choices().iter().copied()).collect();
            for value in beyond(setting) {
                let required = if name == "unimodal" { "modality: FIRST, " } else { "" };
                let method = section(name, &format!("{required}{}: {value}", setting.name));
                let Err(text) = config(&world, requires(card), &method) else {
                    return Err(format!("{} takes {value}, but its range is {range}", setting.name));
                };
                let place = format!("method.{}", setting.name);
                if !text.contains(&place) || wanted.iter().any(|w| !text.contains(w)) {
                    return Err(format!("{}: {value} gives `{text}` without {place} or {wanted:?}", setting.name));
                }
            }
        }
        Ok(())
    });
    builtin().iter().flat_map(|card| card.settings()).for_each(|setting| tried += beyond(setting).len());
    assert!(tried > 150, "{tried} values were tried");
}

#[test]
fn the_table_of_cases_names_methods_that_exist() {
    assert!(cases::names().all(|name| builtin().iter().any(|card| card.name() == name)));
}
