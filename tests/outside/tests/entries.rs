//! Results, pages, lists, schema, printed configurations and searches know our own entries.

mod common;

use std::{collections::BTreeSet, fs};

use aim_core::{Net, conformance};
use aim_data::{Loader, load};
use aim_fusion::LateFusion;
use aim_train::config::{RunConfig, Source};
use candle_core::Device;
use common::{ROWS, TABLE, folder, records, run_folder, said};
use outside::{application, fusion::VOTES};
use serde_json::Value;

#[test]
fn our_network_keeps_the_laws_that_methods_rely_on() {
    let registries = application().unwrap().registries;
    let source = Source::parse("table.yaml".as_ref(), TABLE).unwrap();
    let (config, seed) = RunConfig::single(&source, Some("even-votes"), &registries).unwrap();
    let data = load(&config.data, None).unwrap();
    let net = LateFusion::new(&config.model, &data.named_shapes(), data.classes(), seed, &Device::Cpu).unwrap();
    assert!(net.spec().capabilities.has(VOTES));
    let batch = Loader::new(&*data.train, 12, &Device::Cpu).in_order().next().unwrap().unwrap();
    conformance::check(&net, &batch).unwrap();
}

#[test]
fn results_and_pages_have_our_metric_section_and_quantity() {
    let folder = folder(TABLE);
    let folder = folder.path();
    let printed = said(folder, &["reproduce", "table.yaml", "--quiet", "--out=out", "train.epochs=3"]);
    assert!(printed.contains("report: out/table/report.html") && !printed.contains("predict: "), "{printed}");
    let out = folder.join("out");
    let records = records(&out);
    let page = fs::read_to_string(out.join("table/report.html")).unwrap();
    for row in ROWS {
        let recall = records[row]["test.least_recall"].as_f64().unwrap();
        let predictions = fs::read_to_string(run_folder(&out, row).join("predictions.csv")).unwrap();
        assert_eq!(recall, least_recall(&predictions), "{row}");
        let title = records[row]["title"].as_str().unwrap();
        assert!(page.contains(&format!("<li>{title}: {recall:.3}</li>")), "{title}");
    }
    // A method that did nothing on our network would end with the loss of another.
    assert_eq!(
        records.values().map(|record| record["test.loss"].to_string()).collect::<BTreeSet<_>>().len(),
        ROWS.len()
    );
    assert!(page.contains("<h2>Worst class</h2>"));
    assert!(page.contains("vote: running mean of the vote"));
    let comparison = fs::read_to_string(out.join("table/comparison.md")).unwrap();
    assert!(comparison.contains("least recall"), "{comparison}");
}

#[test]
fn the_command_that_a_table_ends_with_answers_for_new_samples() {
    let folder = folder(
        "name: table\n\
         data: {name: manifest, file: all.csv, modalities: {a: {series: {length: 2, columns: 1}}, b: {series: {length: 2, columns: 1}}}}\n\
         model: {encoders: {a: {name: mlp, widths: [4]}, b: {name: mlp, widths: [4]}}}\n\
         train: {epochs: 1, batch: 4}\nseeds: 1\nrows: [{name: joint, method: joint}]\n",
    );
    let folder = folder.path();
    let mut rows = "split,label,a,b\n".to_owned();
    for (i, split) in ["train", "train", "validation", "validation", "test", "test"].into_iter().enumerate() {
        for name in ["a", "b"] {
            fs::write(folder.join(format!("{name}{i}.csv")), format!("{name}\n{i}\n{}\n", 2 * i + 1)).unwrap();
        }
        rows += &format!("{split},{},a{i}.csv,b{i}.csv\n", ["low", "high"][i % 2]);
    }
    fs::write(folder.join("all.csv"), rows).unwrap();
    let printed = said(folder, &["reproduce", "table.yaml", "--quiet"]);
    let line = printed.lines().find_map(|line| line.strip_prefix("predict: ")).unwrap();
    let command = &application().unwrap().program.command;
    let arguments = line.strip_prefix(&format!("{command} ")).unwrap().replace("MANIFEST", "all.csv");
    said(folder, &arguments.split(' ').collect::<Vec<_>>());
    let answers = fs::read_to_string(folder.join("predictions.csv")).unwrap();
    assert!(answers.starts_with("id,predicted,probability.") && answers.contains("\nline2,"), "{answers}");
    assert_eq!(answers.lines().count(), 7, "{answers}");
}

/// The smallest share of right answers of a class, from the list of a run's predictions.
fn least_recall(predictions: &str) -> f64 {
    let mut lines = predictions.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let place = |name: &str| columns.iter().position(|column| *column == name).unwrap();
    let (label, predicted) = (place("label"), place("predicted"));
    let answers: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let recall = |class: &str| {
        let of_class = || answers.iter().filter(|answer| answer[label] == class);
        of_class().filter(|answer| answer[predicted] == class).count() as f64 / of_class().count() as f64
    };
    ["0", "1", "2"].map(recall).into_iter().fold(1., f64::min)
}

#[test]
fn lists_show_our_entries() {
    let folder = folder(TABLE);
    let lists = [
        ("methods", "even-votes: make it dear"),
        ("backbones", "plain-conv: two convolutions"),
        ("fusions", "voted: sum of one linear head"),
        ("optimizers", "sign-descent: descent by the sign"),
        ("optimizers", "schedule halving: half the rate"),
        ("datasets", "pulses: generated"),
        ("metrics", "least_recall: smallest recall"),
        ("sections", "worst-class: Worst class"),
    ];
    for (list, entry) in lists {
        let text = said(folder.path(), &["list", list]);
        assert!(text.contains(entry), "list {list}: {text}");
    }
    let card = said(folder.path(), &["list", "methods", "even-votes"]);
    for fact in
        ["votes on the modalities (set model.fusion to voted)", "weight = 0.5 (0 to 10)", "`vote` of each modality"]
    {
        assert!(card.contains(fact), "{fact}: {card}");
    }
}

#[test]
fn the_schema_takes_our_entries_and_their_ranges_alone() {
    let folder = folder(TABLE);
    let schema = serde_json::from_str(&said(folder.path(), &["schema"])).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let fits = |text: &str| schema.is_valid(&serde_yaml::from_str(text).unwrap());
    assert!(fits(TABLE));
    for (right, wrong) in [
        ("weight: 2", "weight: 11"),
        ("weight: 2", "wait: 2"),
        ("width: 6", "width: 0"),
        ("every: 16", "every: 0"),
        ("lr: 0.003", "lr: none"),
        ("held_out: 24", "held_out: 2"),
        ("fusion: voted", "fusion: veto"),
    ] {
        assert!(!fits(&TABLE.replace(right, wrong)), "{wrong}");
    }
}

#[test]
fn a_printed_configuration_has_our_defaults_and_runs_again_as_it_is() {
    let folder = folder(TABLE);
    let print = |file: &str| said(folder.path(), &["train", "--config", file, "--print-config"]);
    let mut row = vec!["train", "--config=table.yaml", "--row=even-votes", "--print-config"];
    row.push("method.weight=3");
    let printed = said(folder.path(), &row);
    for line in ["weight: 3", "keep: 0.9", "momentum: 0.9", "every: 16", "noise: 0.5", "width: 6", "width: 8"] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    fs::write(folder.path().join("printed.yaml"), &printed).unwrap();
    assert_eq!(print("printed.yaml"), printed);
}

#[test]
fn a_sweep_draws_our_settings_within_their_ranges() {
    let sweep = "sweep:\n  grid: {schedule.every: [1, 2]}\n  random: {trials: 3, method: [weight], \
                 ranges: {optimizer.momentum: {low: 0, high: 0.9}}}\nrows:";
    let folder = folder(&TABLE.replace("epochs: 48", "epochs: 1").replace("rows:", sweep));
    said(folder.path(), &["sweep", "--config=table.yaml", "--quiet", "--out=out"]);
    let search = |row: &str| {
        let file = folder.path().join(format!("out/table-sweep/{row}.search.json"));
        let search: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        search["trials"].as_array().unwrap().iter().map(|trial| trial["settings"].clone()).collect::<Vec<_>>()
    };
    let ours = search("even-votes");
    let drawn = |key: &str| ours.iter().map(|trial| trial[key].as_f64()).collect::<Vec<_>>();
    assert_eq!(drawn("schedule.every"), [1., 1., 1., 2., 2., 2.].map(Some));
    // The first draw leaves the row as it is written; both points of the grid meet the same draws.
    for (key, high) in [("even-votes.weight", 10.), ("optimizer.momentum", 0.9)] {
        let values = drawn(key);
        assert_eq!((values[0], &values[3..]), (None, &values[..3]), "{key}");
        assert!(values[1..3].iter().all(|v| v.is_some_and(|v| v > 0. && v <= high)), "{key}: {values:?}");
        assert_ne!(values[1], values[2], "{key}");
    }
    assert!(search("ogm-ge").iter().all(|trial| trial.as_object().unwrap().keys().all(|key| !key.contains("weight"))));
}
