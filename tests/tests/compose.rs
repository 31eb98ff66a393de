//! Every method meets every fusion, backbone and optimizer, or is refused when the configuration is read.

use aim_tests::{MODALITIES, bundle_config, run_table, write_bundle};
use aim_train::config::{Scale, TableConfig};

/// Settings without which a method's card makes no sense.
fn section(name: &str) -> String {
    match name {
        "unimodal" => format!("{{name: unimodal, modality: {}}}", MODALITIES[0]),
        _ => format!("{{name: {name}}}"),
    }
}

/// What a method needs of the network.
fn model(needs: aim_balance::Needs, fusion: &str) -> String {
    let encoders = if needs.adapters { format!("{}: {{lora: {{rank: 2}}}}", MODALITIES[0]) } else { String::new() };
    format!("{{fusion: {fusion}, uni_heads: {}, encoders: {{{encoders}}}}}", needs.uni_heads)
}

#[test]
fn every_method_runs_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let (mut ran, mut refused) = (0, 0);
    for card in aim_balance::CARDS {
        let about = card.about;
        for fusion in
            ["concat", "sum", "mean", "film", "gated", "shared", "separate", "sum-linear", "{mmtm: {squeeze: 4}}"]
        {
            for optimizer in ["{name: sgd, lr: 0.01, momentum: 0.9}", "{name: adamw}"] {
                let rows = format!(
                    "  - {{name: {0}, method: {1}, model: {2}, optimizer: {optimizer}, train: {{epochs: 1, batch: 64}}}}",
                    about.name,
                    section(about.name),
                    model(about.needs, fusion)
                );
                let source = bundle_config(&rows, &[]);
                match TableConfig::new(source.clone(), Scale::Normal) {
                    Ok(_) => {
                        let results = run_table(source, folder.path()).unwrap();
                        assert_eq!(results.failures, [""; 0], "{} with {fusion}", about.name);
                        ran += 1;
                    }
                    Err(error) => {
                        let text = error.to_string();
                        assert!(text.starts_with("test.yaml:") && text.contains(';'), "{}: {text}", about.name);
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(ran > 40 && refused > 20, "{ran} ran, {refused} were refused");
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
