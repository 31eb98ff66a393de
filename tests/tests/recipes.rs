//! Recipes: each reads a folder in its set's layout, gives the shapes that it states, trains and goes on; the rule that
//! a recipe was published with runs only under its own protocol.

#[path = "recipes/clips.rs"]
mod clips;
#[path = "recipes/layouts.rs"]
mod layouts;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use aim_data::{Dataset, Showing};
use aim_report::comparison;
use aim_tests::{run_options, run_table, train_run, write_report};
use aim_train::{
    config::{Identity, Recipe, RunConfig, Scale, Source, TableConfig, load_tables, recipes},
    experiment::restrict,
    run::{EpochLog, Folder, Stop, Watch},
    standard,
};
use candle_core::Device;
use clips::CREMAD;
use layouts::{make, media, samples};

/// The parts of a table that say how little is trained, in place of the recipe's networks and numbers.
fn table(recipe: &Recipe, folder: &Path, extra: &str) -> TableConfig {
    let encoders: Vec<String> = modalities(recipe)
        .into_iter()
        .map(|(name, decoding)| {
            let words = decoding.get("text").is_some();
            let small = if words {
                "{name: transformer, vocabulary: 30000, width: 8, layers: 1, heads: 1, blocks: 1}"
            } else {
                "{name: resnet18, base_width: 1}"
            };
            format!("{name}: {small}")
        })
        .collect();
    let text = format!(
        "name: t\nseeds: 1\nrecipe: {}\ndata: {{folder: {}, missing: skip}}\nmodel: {{encoders: {{{}}}}}\n\
         train: {{epochs: 2, batch: 64}}\nrows: [{{name: joint, method: joint}}]\n{extra}",
        recipe.name,
        folder.display(),
        encoders.join(", ")
    );
    TableConfig::new(Source::parse(Path::new("t.yaml"), &text).unwrap(), Scale::Normal, standard())
        .unwrap_or_else(|e| panic!("{}: {e}", recipe.name))
}

fn section(recipe: &Recipe) -> serde_json::Value {
    let text = fs::read_to_string(format!("../configs/recipes/{}.yaml", recipe.name)).unwrap();
    serde_yaml::from_str(&text).unwrap()
}

fn modalities(recipe: &Recipe) -> BTreeMap<String, serde_json::Value> {
    let all = section(recipe)["data"]["modalities"].as_object().unwrap().clone();
    all.into_iter().collect()
}

/// The shapes of a recipe's fact, as a set's summary has them.
fn stated(recipe: &Recipe) -> Vec<String> {
    let fact = &recipe.fact("shape").unwrap().is;
    fact.split(';').next().unwrap().split("], ").map(|part| format!("{}]", part.trim_end_matches(']'))).collect()
}

fn tries(wanted: impl Fn(&str) -> bool) {
    let media = media();
    for recipe in recipes().unwrap().iter().filter(|recipe| wanted(&recipe.name)) {
        let folder = tempfile::tempdir().unwrap();
        let set = folder.path().join("set");
        fs::create_dir_all(&set).unwrap();
        let layout = section(recipe)["data"]["layout"].as_str().unwrap().to_owned();
        let samples = samples(&layout, &set);
        for words in &samples {
            modalities(recipe).values().for_each(|decoding| make(&set, decoding, words, &media));
        }
        let table = table(recipe, &set, "");
        let data = aim_data::load(&table.rows[0].config.data, None).unwrap_or_else(|e| panic!("{}: {e}", recipe.name));
        let summary = data.summary();
        for shape in stated(recipe) {
            assert!(summary.contains(&shape), "{}: {shape} is not in {summary}", recipe.name);
        }
        trains_and_goes_on(&table.rows[0].config, &data, folder.path(), &recipe.name);
    }
}

/// Asks to stop when an epoch is done; the step that follows is the last.
struct StopAfter<'a>(usize, &'a Stop);

impl Watch for StopAfter<'_> {
    fn epoch(&self, log: &EpochLog, _: usize, _: f64) {
        if log.epoch == self.0 {
            self.1.ask();
        }
    }
    fn say(&self, _: &str) {}
}

/// Two epochs of a step each; and the same bits where it is stopped between them.
fn trains_and_goes_on(config: &RunConfig, data: &Dataset, out: &Path, name: &str) {
    let data = restrict(config, data).unwrap();
    let trained = |path: &str, stops: &[usize]| {
        let path = out.join(path);
        for after in stops.iter().chain([&99]) {
            let folder = Folder::open(&path, &Identity::new(config, 3, 0), standard()).unwrap();
            let stop = Stop::default();
            let watch = StopAfter(*after, &stop);
            let done = train_run((config, 3), &data, &folder, (&watch, &stop), Duration::ZERO);
            assert_eq!(done.as_ref().err().map(ToString::to_string).is_none(), *after == 99, "{name}: {done:?}");
        }
        ["last.safetensors", "predictions.csv"].map(|file| fs::read(path.join(file)).unwrap())
    };
    assert!(trained("alone", &[]) == trained("stopped", &[0]), "{name}: a run that goes on differs");
}

#[test]
fn every_recipe_of_cremad_reads_its_layout() {
    tries(|name| name.starts_with("cremad/"));
}

#[test]
fn every_recipe_of_the_other_sets_reads_its_layout() {
    tries(|name| !name.starts_with("cremad/"));
}

/// A folder with made clips of CREMA-D's lists, as its recipes read them.
fn cremad() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let recipe = Recipe::load("cremad/ogm-257x188", None).unwrap();
    let media = media();
    for words in samples("cremad", folder.path()) {
        modalities(&recipe).values().for_each(|decoding| make(folder.path(), decoding, &words, &media));
    }
    folder
}

/// A table of small networks on such a folder.
fn small(folder: &Path, head: &str, rest: &str) -> String {
    format!(
        "name: t\nseeds: 1\n{head}\ndata: {{folder: {}, missing: skip}}\n\
         model: {{encoders: {{audio: {{name: resnet18, base_width: 1}}, video: {{name: resnet18, base_width: 1}}}}}}\n\
         train: {{epochs: 1}}\n{rest}",
        folder.display()
    )
}

fn read(text: &str) -> Result<TableConfig, String> {
    let source = Source::parse(Path::new("t.yaml"), text).map_err(|e| e.to_string())?;
    TableConfig::new(source, Scale::Normal, standard()).map_err(|e| e.to_string())
}

const JOINT: &str = "rows: [{name: joint, method: joint}]";
const OGM: &str = "recipe: cremad/ogm-257x188";

#[test]
fn a_table_s_own_keys_lie_over_its_recipe() {
    let table = read(&small(Path::new("x"), OGM, JOINT)).unwrap();
    let config = &table.rows[0].config;
    assert_eq!((config.train.epochs, config.train.batch, config.optimizer.name()), (1, 64, "sgd"));
    assert_eq!(config.recipe.as_deref(), Some("cremad/ogm-257x188"));
    let width = |modality: &str| format!("model.encoders.{modality}.base_width 1 in place of 64");
    let changes = [width("audio"), width("video"), "train.epochs 1 in place of 100".into()];
    assert_eq!(table.rows[0].departures, changes);
    // What was resolved says the same when it is read again.
    let table = read(&small(Path::new("x"), OGM, JOINT)).unwrap();
    let again = serde_yaml::to_string(&table.resolved().unwrap()).unwrap();
    assert_eq!(read(&again).unwrap().rows[0].config, table.rows[0].config);
}

/// A recipe of one's own in a folder; a table beside it, and what comes of that.
fn own(folder: &Path, recipe: &str, head: &str, rows: &str) -> TableConfig {
    fs::write(folder.join("mine.yaml"), format!("about: a\nsource: s\nfacts: []\n{recipe}\n")).unwrap();
    fs::write(folder.join("t.yaml"), format!("name: t\nrecipe: mine.yaml\n{head}\nrows: [{rows}]\n")).unwrap();
    load_tables(&folder.join("t.yaml"), Scale::Normal, &[], standard()).unwrap().swap_remove(0)
}

const SYNTH: &str = "data: {name: synth-av}\nmodel: {modalities: [image, sound], encoders: {image: {name: mlp, widths: [2]}, sound: \
    {name: mlp, widths: [2]}}}\n";

#[test]
fn what_is_neutral_stays_over_a_recipe_that_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = format!("{SYNTH}train: {{epochs: 2, accumulate: 2, label_smoothing: 0.1, drop_last: train}}");
    let rows = "{name: a, method: joint, train: {accumulate: 1, label_smoothing: 0, drop_last: none}}, {name: b, method: joint}";
    let table = own(folder.path(), &recipe, "", rows);
    let train = |table: &TableConfig| table.rows[0].config.train.clone();
    assert_eq!((train(&table).accumulate, train(&table).label_smoothing), (1, 0.));
    let changes =
        ["accumulate 1 in place of 2", "label_smoothing 0 in place of 0.1", "drop_last none in place of train"];
    let departures = |table: &TableConfig| table.rows.iter().map(|row| row.departures.clone()).collect::<Vec<_>>();
    assert_eq!(departures(&table), [changes.map(|change| format!("train.{change}")).to_vec(), vec![]]);
    // As it was, too, when it is read again, as a table and as a run.
    fs::write(folder.path().join("again.yaml"), serde_yaml::to_string(&table.resolved().unwrap()).unwrap()).unwrap();
    let again = load_tables(&folder.path().join("again.yaml"), Scale::Normal, &[], standard()).unwrap().swap_remove(0);
    assert_eq!((&again.rows[0].config, &again.rows[1].config), (&table.rows[0].config, &table.rows[1].config));
    assert_eq!((departures(&again), again.recipe.unwrap().name), (departures(&table), "mine.yaml".into()));
    for row in &table.rows {
        let text = serde_yaml::to_string(&row.config.resolved(4).unwrap()).unwrap();
        let source = Source::parse(Path::new("elsewhere/run.yaml"), &text).unwrap();
        assert_eq!(RunConfig::single(&source, None, standard()).unwrap(), (row.config.clone(), 4));
    }
}

#[test]
fn departures_are_told_of_a_recipe_that_is_no_run_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let of = |recipe: &str, rows: &str| {
        own(folder.path(), recipe, "data: {name: synth-av}\ntrain: {epochs: 1}", rows).rows[0].departures.clone()
    };
    let row = "{name: a, method: joint, model: {modalities: [image, sound], encoders: {image: {name: mlp, widths: [3]}, \
        sound: {name: mlp, widths: [2]}}}}";
    assert_eq!(of("train: {epochs: 5}", row), ["train.epochs 1 in place of 5"]);
    let widths = "model: {encoders: {image: {name: mlp, widths: [2]}}}";
    assert_eq!(of(widths, row), ["model.encoders.image.widths [3] in place of [2]"]);
    assert_eq!(of("data: {name: corpus, layout: cremad}", row), ["data or model of another kind than the recipe's"]);
}

#[test]
fn a_run_as_published_runs_again_from_its_folder() {
    let folder = cremad();
    let text = small(folder.path(), &format!("{OGM}\nprotocol: as-published"), JOINT);
    let config = read(&text).unwrap().rows.swap_remove(0).config;
    let identity = Identity::new(&config, 3, 7);
    let source = Source::parse(Path::new("config.yaml"), &identity.to_yaml().unwrap()).unwrap();
    let (again, seed) = RunConfig::single(&source, None, standard()).unwrap();
    assert_eq!((&again, seed), (&config, 3));
    assert_eq!(Identity::new(&again, seed, 7).key().unwrap(), identity.key().unwrap());
}

#[test]
fn recipes_lie_beside_the_family_or_the_set_that_names_them() {
    let folder = tempfile::tempdir().unwrap();
    own(folder.path(), &format!("{SYNTH}train: {{epochs: 2}}"), "", "{name: joint, method: joint}");
    let study = folder.path().join("study");
    fs::create_dir(&study).unwrap();
    let other = format!("about: a\nsource: s\nfacts: []\n{SYNTH}train: {{epochs: 7}}\n");
    let of = |recipes: &str| {
        let text = format!("name: f\nsets: [../t]\n{recipes}rows: [{{name: ogm, method: ogm}}]\n");
        fs::write(study.join("f.yaml"), text).unwrap();
        let tables = load_tables(&study.join("f.yaml"), Scale::Normal, &[], standard()).unwrap();
        tables[0].rows.iter().map(|row| row.config.train.epochs).collect::<Vec<_>>()
    };
    assert_eq!(of(""), [2, 2], "the set's own");
    fs::write(study.join("mine.yaml"), other).unwrap();
    assert_eq!(of(""), [2, 2], "not the one that has the same name beside the family");
    assert_eq!(of("recipes: [mine.yaml]\n"), [7, 7]);
}

#[test]
fn the_published_rule_runs_under_its_own_protocol_alone_and_marks_its_table() {
    let folder = cremad();
    let of = |protocol: &str| {
        let text = small(folder.path(), &format!("{OGM}\nprotocol: {protocol}"), JOINT);
        let results =
            run_table(Source::parse(Path::new("t.yaml"), &text).unwrap(), &folder.path().join(protocol)).unwrap();
        assert_eq!(results.failures, [""; 0]);
        let table = comparison(&results, &standard().metrics).unwrap().to_markdown().replace('\\', "");
        (results.rows[0].runs[0].outcome.clone(), table)
    };
    let ((clean, said), (published, marked)) = (of("clean"), of("as-published"));
    assert!(said.contains("Recipe `cremad/ogm-257x188`") && said.contains("audio [1, 257, 188]"), "{said}");
    assert!(said.contains("train.epochs 1 in place of 100") && !said.contains("NOT clean"), "{said}");
    assert!(marked.contains("`as-published`, NOT clean"), "{marked}");
    // The published lists: the test split is the validation split.
    assert!(published.validation == published.test && clean.validation != clean.test);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let say = |head: &str, rest: &str| read(&small(Path::new("x"), head, rest)).unwrap_err();
    let none = say("recipe: cremad/none", JOINT);
    assert!(none.contains("there is no recipe `cremad/none`") && none.contains("cremad/clean"), "{none}");
    let clean = say("recipe: cremad/clean\nprotocol: as-published", JOINT);
    assert!(clean.contains("was published with a clean rule"), "{clean}");
    let bare = say("protocol: as-published", JOINT);
    assert!(bare.contains("as-published needs a recipe"), "{bare}");
    let rows = "rows: [{name: joint, method: joint}, {name: b, method: joint, data: {split: {fold: 1}}}]";
    let mixed = say(OGM, rows);
    assert!(mixed.contains("rows[1].data: is another than that of the other rows"), "{mixed}");
    let drops = say(OGM, "rows: [{name: joint, method: joint, train: {drop_last: test}}]");
    assert!(drops.contains("leaves out test samples"), "{drops}");
}

#[test]
fn a_recipe_of_one_s_own_is_named_by_its_path_and_its_faults_are_located_there() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string("../configs/recipes/cremad/ogm-257x188.yaml").unwrap();
    let write = |text: &str| fs::write(folder.path().join("mine.yaml"), text).unwrap();
    let table = |text: &str| {
        let path = folder.path().join("t.yaml");
        fs::write(&path, text).unwrap();
        load_tables(&path, Scale::Normal, &[], standard()).map_err(|e| e.to_string())
    };
    write(&text.replace("batch: 64", "batch: 8"));
    let tables = table(&small(Path::new("x"), "recipe: mine.yaml", JOINT)).unwrap();
    assert_eq!(tables[0].rows[0].config.train.batch, 8);
    write(&text.replace("lr: 0.001", "lr: -1"));
    let error = table(&small(Path::new("x"), "recipe: mine.yaml", JOINT)).unwrap_err();
    assert!(error.contains("mine.yaml:") && error.contains("optimizer.lr: is -1"), "{error}");
    write(&text.replace("optimizer:", "optimiser:"));
    let error = table(&small(Path::new("x"), "recipe: mine.yaml", JOINT)).unwrap_err();
    assert!(error.contains("optimiser: is no key of a recipe"), "{error}");
}

#[test]
fn a_family_sets_recipes_side_by_side() {
    let folder = cremad();
    let path = folder.path().join("both.yaml");
    fs::write(folder.path().join("clips.yaml"), small(folder.path(), OGM, JOINT)).unwrap();
    fs::write(&path, "name: both\nsets: [clips]\nrecipes: [cremad/ogm-257x188, cremad/tcmax-129x862]\nrows: [{name: ogm, method: ogm}]").unwrap();
    let tables = load_tables(&path, Scale::Normal, &[], standard()).unwrap();
    assert_eq!(
        tables.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(),
        ["both-clips-cremad-ogm-257x188", "both-clips-cremad-tcmax-129x862"]
    );
    let options = run_options(folder.path());
    for table in &tables {
        let results = aim_train::experiment::run(table, &options, &Stop::default(), standard()).unwrap();
        assert_eq!(results.failures, [""; 0]);
        write_report(&results, &options.out);
    }
    let side = aim_report::protocols(&tables, &options.out).unwrap();
    let said = side[0].to_markdown();
    assert!(said.contains("by two recipes") && said.contains("cremad/tcmax-129x862 gain"), "{said}");
    assert!(aim_report::summary(&tables, &options.out).unwrap().is_none(), "two recipes of one set are no two sets");
}

#[test]
fn showings_in_training_differ_by_epoch_and_evaluation_does_not() {
    let folder = cremad();
    let config = read(&small(folder.path(), OGM, JOINT)).unwrap().rows.swap_remove(0).config;
    let data = aim_data::load(&config.data, None).unwrap();
    let values = |x: aim_core::Input| x.values.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let shown = |seed, epoch| values(data.train.shown(1, &[0, 1], Showing { seed, epoch }, &Device::Cpu).unwrap());
    let still = || values(data.train.input(1, &[0, 1], &Device::Cpu).unwrap());
    assert!(shown(0, 0) == shown(0, 0) && shown(0, 0) != shown(0, 1) && shown(0, 0) != shown(1, 0));
    assert!(still() == still() && still() != shown(0, 0));
    // The sound of this recipe is the same in every showing.
    let sound = |showing| values(data.train.shown(0, &[0], showing, &Device::Cpu).unwrap());
    assert!(sound(Showing { seed: 0, epoch: 0 }) == sound(Showing { seed: 4, epoch: 2 }));
}

#[test]
fn a_table_over_all_folds_pairs_by_seed_and_fold() {
    let folder = cremad();
    let rows = "seeds: 2\nfolds: all\nrows: [{name: joint, method: joint}, {name: sound, method: {name: unimodal, modality: audio}}]";
    let text = small(folder.path(), OGM, rows)
        .replacen("seeds: 1\n", "", 1)
        .replace("missing: skip", "missing: skip, split: {folds: 3}");
    let results = run_table(Source::parse(Path::new("t.yaml"), &text).unwrap(), folder.path()).unwrap();
    assert_eq!(results.failures, [""; 0]);
    let [joint, sound] = &results.rows[..] else { panic!("two rows") };
    assert_eq!((joint.runs.len(), sound.pairs(joint).count()), (6, 6));
    assert!(sound.pairs(joint).all(|(a, b)| (a.outcome.seed, a.fold) == (b.outcome.seed, b.fold)));
    // Each clip is tested once a seed, and no actor of a test split trains.
    let tested: Vec<&str> = joint
        .runs
        .iter()
        .filter(|run| run.outcome.seed == 0)
        .flat_map(|run| &run.answers)
        .map(|a| a.id.as_str())
        .collect();
    let mut all = CREMAD.to_vec();
    all.sort_unstable();
    let mut sorted = tested.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, all);
    let table = comparison(&results, &standard().metrics).unwrap().to_markdown();
    assert!(table.contains("on all 3 folds"), "{table}");
    assert!(results.rows.iter().flat_map(|row| &row.runs).all(|run| run.config.fold_count().unwrap() == 3));
    let records = aim_report::export::records(&results).unwrap();
    assert!(records.iter().all(|record| record["fold"].is_number()) && records.len() == 12);
    // Each record is of its own run, and so is each page.
    for (record, run) in records.iter().zip(results.rows.iter().flat_map(|row| &row.runs)) {
        let folder = run.folder.as_ref().unwrap();
        let key = record["key"].as_str().unwrap();
        assert!(folder.parent().unwrap().to_string_lossy().ends_with(&format!(".{key}")), "{key} {folder:?}");
        let config: serde_json::Value = serde_json::from_str(record["config"].as_str().unwrap()).unwrap();
        assert_eq!(config["data"]["split"]["fold"].as_u64().unwrap_or(0), run.fold.unwrap() as u64);
        let page = aim_report::page::of_run("joint", run, &aim_report::page::builtin());
        assert!(page.contains(&format!("joint, seed {}, fold {}", run.outcome.seed, run.fold.unwrap())));
    }
    let lists = read(
        &small(folder.path(), OGM, &format!("folds: all\n{JOINT}"))
            .replace("missing: skip", "missing: skip, split: {by: list}"),
    );
    assert!(lists.unwrap_err().contains("folds: is all, but the data section has no folds"));
}

#[test]
fn folds_have_the_corrected_test_and_no_sign_flips() {
    let folder = cremad();
    let rows = "seeds: 1\nfolds: all\nplanned: {of: b, against: [joint], test_to_train: 1}\n\
        rows: [{name: joint, method: joint}, {name: b, method: {name: unimodal, modality: audio}}]";
    let text = small(folder.path(), OGM, rows)
        .replacen("seeds: 1\n", "", 1)
        .replace("missing: skip", "missing: skip, split: {folds: 3}");
    let results = run_table(Source::parse(Path::new("t.yaml"), &text).unwrap(), folder.path()).unwrap();
    let table = aim_report::planned(&results, &standard().metrics).unwrap().unwrap();
    let headings: Vec<&str> = table.columns().iter().map(|column| column.heading.as_str()).collect();
    assert_eq!(headings[3..], ["p corrected t", "Holm (decides)"]);
    assert!(table.notes().iter().any(|note| note.contains("Nadeau and Bengio")), "{:?}", table.notes());
    let auto = read(&text.replace("seeds: 1", "seeds: auto")).unwrap_err();
    assert!(auto.contains("seeds: is auto, which is worked out for seeds and not for folds"), "{auto}");
    let pilot = read(&text).unwrap().pilot().unwrap_err().to_string();
    assert!(pilot.contains("folds: is all: pilots tell how seeds vary"), "{pilot}");
}

/// Six true clips: the pipeline end to end.
#[test]
fn true_clips_are_read_and_trained_on() {
    let Some(root) = std::env::var_os("AIM_DATA").map(PathBuf::from).filter(|root| root.join("cremad").exists()) else {
        eprintln!("skipped: AIM_DATA is not set, or has no cremad");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("set");
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    };
    copy(&root.join("cremad/wav16"), &set.join("AudioWAV"));
    for entry in fs::read_dir(root.join("cremad/frames")).unwrap().flatten() {
        copy(&entry.path(), &set.join("Image-01-FPS").join(entry.file_name()));
    }
    for name in ["cremad/ogm-257x188", "cremad/fbank-1024x128"] {
        let recipe = Recipe::load(name, None).unwrap();
        // One actor: folds of clips.
        let text = small(&set, &format!("recipe: {name}"), JOINT)
            .replace("missing: skip", "missing: skip, split: {by: sample, folds: 3}")
            .replace("epochs: 1", "epochs: 2");
        let config = read(&text).unwrap().rows.swap_remove(0).config;
        let data = aim_data::load(&config.data, None).unwrap();
        assert_eq!([data.train.len(), data.validation.len(), data.test.len()], [2, 2, 2]);
        stated(&recipe).iter().for_each(|shape| assert!(data.summary().contains(shape.as_str()), "{shape}"));
        trains_and_goes_on(&config, &data, &folder.path().join(name), name);
    }
}
