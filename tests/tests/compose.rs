//! Every method meets every fusion, backbone and optimizer for two steps, or is refused when the configuration is read.

use std::path::Path;

use aim_balance::builtin;
use aim_core::capability;
use aim_tests::{Course, World, at_most_two, bundle_config, cases::active, fusion, requires, run_table, write_bundle};
use aim_train::config::{Scale, TableConfig, load_tables};
use aim_train::standard;

const ENCODERS: [&str; 3] = ["name: mlp, widths: [8, 8]", "name: cnn, widths: [4, 8]", "name: resnet18, base_width: 4"];
const FUSIONS: [&str; 9] =
    ["concat", "sum", "mean", "film", "gated", "symmetric-film", "symmetric-gated", "shared", "separate"];
const OPTIMIZERS: [&str; 2] = ["{name: sgd, lr: 0.01, momentum: 0.9}", "{name: adamw}"];

#[test]
fn every_method_takes_two_steps_or_is_refused() {
    let (mut ran, mut refused) = (0, 0);
    for encoder in ENCODERS {
        for optimizer in OPTIMIZERS {
            let world = World::two(20, encoder, "{epochs: 1, batch: 10}").optimizer(optimizer);
            for card in builtin() {
                let (name, needs) = (card.name(), requires(card));
                let own = fusion(needs);
                for fusion in FUSIONS.into_iter().chain((!FUSIONS.contains(&own)).then_some(own)) {
                    let place = format!("{name} with {encoder}, {fusion} and {optimizer}");
                    match world.config(&active(name), needs, fusion) {
                        Ok(config) => {
                            let steps = || {
                                let mut course = Course::new(&config, &world.data, 0)?;
                                course.finish()?;
                                course.loss()
                            };
                            steps().unwrap_or_else(|e| panic!("{place}: {e}"));
                            ran += 1;
                        }
                        Err(error) => {
                            assert_ne!(fusion, own, "{place} is refused, though it has what the method needs: {error}");
                            let text = error.to_string();
                            let told = ["method", "model.fusion"].iter().any(|key| text.starts_with(key))
                                && text.contains(';');
                            assert!(told, "{place}: {text}");
                            refused += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(ran > builtin().iter().count() * 12 && refused > 100, "{ran} ran, {refused} were refused");
}

#[test]
fn every_method_is_trained_and_scored_as_a_row_of_a_table() {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let world = World::three("{}");
    let rows = builtin().iter().map(|card| {
        let (name, needs) = (card.name(), requires(card));
        let two = if at_most_two(card) { ", modalities: [heart, breath]" } else { "" };
        let lora = if needs.wants(capability::ADAPTERS) { ", encoders: {heart: {lora: {rank: 2}}}" } else { "" };
        let model =
            format!("{{fusion: {}, uni_heads: {}{two}{lora}}}", fusion(needs), needs.wants(capability::UNI_HEADS));
        format!("  - {{name: {name}, method: {}, model: {model}}}\n", world.named(&active(name)))
    });
    let source = bundle_config(&rows.collect::<String>(), &["train.epochs=2"]);
    assert_eq!(run_table(source, folder.path()).unwrap().failures, [""; 0]);
}

#[test]
fn encoders_of_any_kind_meet() {
    let rows = "  - {name: aim, method: {name: aim, warmup: 0, dap_steps: 3}}
  - {name: ogm, method: {name: ogm-ge}, model: {fusion: gated}}
  - {name: frozen, method: {name: frozen}}
  - {name: umt, method: {name: umt}, model: {encoders: {image: {lora: {rank: 2}}}}}";
    let pairs = [
        ("{name: cnn, widths: [4, 8]}", "{name: resnet18, base_width: 4}"),
        (
            "{name: vit, patch: 8, width: 8, heads: 2, layers: 4}",
            "{name: vit, patch: 7, width: 6, layers: 4, dropout: 0.1}",
        ),
    ];
    for (sound, image) in pairs {
        let folder = tempfile::tempdir().unwrap();
        let mut source = bundle_config(rows, &["train.epochs=2"]);
        let mut set = |key, text: &str| source.value[key] = serde_yaml::from_str(text).unwrap();
        set("data", "{name: synth-av, train: 40, validation: 20, test: 20}");
        set("model", &format!("{{encoders: {{sound: {sound}, image: {image}}}, fusion: film}}"));
        assert_eq!(run_table(source, folder.path()).unwrap().failures, [""; 0]);
    }
}

#[test]
fn the_table_of_the_field_holds_every_method() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/field.yaml"));
    let tables = load_tables(path, Scale::Normal, &[], standard()).unwrap();
    assert_eq!(tables.len(), 5);
    let sections = |t: &TableConfig| t.rows.iter().map(|r| serde_yaml::to_string(&r.config.method).unwrap()).collect();
    let here: Vec<String> = tables.iter().flat_map(|t| -> Vec<String> { sections(t) }).collect();
    for card in builtin() {
        let name = format!("name: {}\n", card.name());
        assert!(here.iter().any(|section| section.contains(&name)), "{} is missing", card.name());
    }
}
