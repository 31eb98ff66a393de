//! Configurations: what is printed runs again as it is, overrides are typed, and the schema knows what the program
//! knows.

use std::path::{Path, PathBuf};

use aim_tests::{bundle_config, bundle_text, every_method};
use aim_train::config::{Identity, RunConfig, Scale, Source, TableConfig, differences, load_tables, resolve, schema};
use aim_train::standard;
use serde_json::Value;

const ROWS: &str =
    "  - {name: joint, method: {name: joint}}\n  - {name: heart, method: {name: unimodal, modality: heart}}";

/// Every table in configs/.
fn files() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
    assert!(files.len() > 5);
    files
}

fn yaml(value: &serde_yaml::Value) -> String {
    serde_yaml::to_string(value).unwrap()
}

fn key(config: &RunConfig) -> String {
    Identity::new(config, 0, 1).key().unwrap()
}

#[test]
fn printed_tables_and_runs_run_again_with_the_same_keys() {
    let validator = validator();
    for table in files().iter().flat_map(|file| load_tables(file, Scale::Normal, &[], standard()).unwrap()) {
        let text = yaml(&table.resolved().unwrap());
        validate(&validator, &text).unwrap();
        let again = TableConfig::new(Source::parse(Path::new("again.yaml"), &text).unwrap(), Scale::Normal, standard())
            .unwrap();
        assert_eq!(
            (&again.name, &again.title, again.seeds, &again.baseline),
            (&table.name, &table.title, table.seeds, &table.baseline)
        );
        assert_eq!(again.rows.len(), table.rows.len());
        for (row, same) in table.rows.iter().zip(&again.rows) {
            assert_eq!((&row.title, key(&row.config)), (&same.title, key(&same.config)));
            let text = yaml(&row.config.resolved(7).unwrap());
            validate(&validator, &text).unwrap();
            let (config, seed) =
                RunConfig::single(&Source::parse(Path::new("run.yaml"), &text).unwrap(), None, standard()).unwrap();
            assert_eq!((seed, key(&config)), (7, key(&row.config)), "{text}");
        }
    }
}

#[test]
fn overrides_of_a_wrong_type_are_refused_and_named() {
    let cases = [
        (
            "train.epochs=many",
            "`train.epochs=many`: train.epochs: invalid type: string \"many\", expected a whole number",
        ),
        ("train.epochs=-1", "train.epochs: invalid value: the number `-1`, expected a whole number"),
        ("train.epochs=2.5", "train.epochs: invalid type: the number `2.5`, expected a whole number"),
        ("train=3", "`train=3`: train: invalid type: the number `3`"),
        (
            "train.select=median",
            "`train.select=median`: train.select: unknown variant `median`, expected one of `best`, `macro_f1`",
        ),
        ("optimizer.lr=[1]", "`optimizer.lr=[1]`: optimizer.lr: invalid type: a list, expected a number"),
        ("optimizer.momentun=0.9", "`optimizer.momentun=0.9`: optimizer.momentun: unknown field `momentun`"),
        (
            "schedule.name=stepp",
            "`schedule.name=stepp`: schedule.name: unknown schedule `stepp`; use one of constant, step",
        ),
        (
            "model.uni_heads=1",
            "`model.uni_heads=1`: model.uni_heads: invalid type: the number `1`, expected true or false",
        ),
        ("model.encoders.heart.widths=8", "model.encoders"),
        ("model.fusion=7", "`model.fusion=7`: model.fusion"),
        ("data.train=3", "`data.train=3`: data.train: invalid type: the number `3`, expected"),
        (
            "protocol=loose",
            "`protocol=loose`: protocol: unknown variant `loose`, expected one of `clean`, `balancebench`, `as-published`",
        ),
        ("seeds=three", "`seeds=three`: seeds: invalid value: string \"three\", expected a whole number or `auto`"),
    ];
    let mut wrong = String::new();
    for (assignment, expected) in cases {
        let error =
            TableConfig::new(bundle_config(ROWS, &[assignment]), Scale::Normal, standard()).unwrap_err().to_string();
        if !error.contains(expected) {
            wrong += &format!("{assignment}\n{error}\nshould contain\n{expected}\n\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    // A setting of the method, where a single run is trained.
    let single = |rest: &[&str]| RunConfig::single(&bundle_config(ROWS, rest), None, standard()).map(|c| c.0);
    let error = single(&["method.name=aim", "method.alpha=high"]).unwrap_err().to_string();
    assert!(
        error.contains("`method.alpha=high`: method.alpha: invalid type: string \"high\", expected a number"),
        "{error}"
    );
    assert_eq!(single(&["train.epochs=9"]).unwrap().train.epochs, 9);
}

#[test]
fn the_difference_of_two_files_is_said_with_everything_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let text = bundle_text(ROWS);
    let a = write("a.yaml", &text);
    let b = write(
        "b.yaml",
        &text.replace("lr: 0.01", "lr: 0.01, eps: 1e-8, amsgrad: true").replace("epochs: 3", "epochs: 4"),
    );
    let said = |row| {
        let all = differences(&resolve(&a, row, standard()).unwrap(), &resolve(&b, row, standard()).unwrap());
        all.iter().map(|d| format!("{}: {} {}", d.key, yaml(&d.left).trim(), yaml(&d.right).trim())).collect::<Vec<_>>()
    };
    assert_eq!(said(Some("heart")), ["optimizer.amsgrad: false true", "train.epochs: 3 4"]);
    assert_eq!(said(None)[..2], ["rows.joint.optimizer.amsgrad: false true", "rows.joint.train.epochs: 3 4"]);
    assert_eq!(said(None).len(), 4);
    // The folder of a run.
    let config = RunConfig::single(&Source::load(&a).unwrap(), Some("joint"), standard()).unwrap().0;
    write("config.yaml", &Identity::new(&config, 3, 5).to_yaml().unwrap());
    let all = differences(
        &resolve(folder.path(), None, standard()).unwrap(),
        &resolve(&a, Some("joint"), standard()).unwrap(),
    );
    assert_eq!(all.iter().map(|d| d.key.as_str()).collect::<Vec<_>>(), ["format", "seed", "data_crc32", "revisions"]);
}

fn validator() -> jsonschema::Validator {
    let schema = schema(standard());
    jsonschema::meta::validate(&schema).expect("the schema is one");
    jsonschema::validator_for(&schema).unwrap()
}

fn validate(validator: &jsonschema::Validator, text: &str) -> Result<(), String> {
    let value: Value = serde_yaml::from_str(text).unwrap();
    validator.validate(&value).map_err(|e| format!("{}: {e}", e.instance_path()))
}

#[test]
fn the_schema_allows_every_configuration_and_method() {
    let validator = validator();
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap();
        validate(&validator, &text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
    validate(&validator, &bundle_text(&every_method("{epochs: 2}"))).unwrap();
    let fusions = ["{memory: {hidden: 8}}", "{mods: {}}", "{deep: {hidden: [4, 4]}}", "sum-linear"];
    let methods =
        ["joint", "[opm, {ogm-ge: {alpha: 0.3}}]", "{sam: {inner: agm}}", "{name: ema, inner: {name: aim, alpha: 1}}"];
    for (fusion, method) in fusions.iter().flat_map(|f| methods.map(|m| (f, m))) {
        validate(&validator, &bundle_text(&format!("  - {{name: a, method: {method}, model: {{fusion: {fusion}}}}}")))
            .unwrap();
    }
}

#[test]
fn the_schema_lets_a_table_leave_to_its_recipe_what_that_says() {
    let text = |head: &str| format!("name: t\n{head}data: {{folder: x}}\nrows: [{{name: joint, method: joint}}]\n");
    let validator = validator();
    validate(&validator, &text("recipe: cremad/clean\n")).unwrap();
    assert!(validate(&validator, &text("")).is_err());
}

#[test]
fn the_schema_refuses_what_the_program_refuses() {
    let validator = validator();
    let good = bundle_text(ROWS);
    validate(&validator, &good).unwrap();
    let typos = [
        ("epochs: 3", "epoch: 3"),
        ("epochs: 3", "epochs: three"),
        ("epochs: 3", "epochs: -3"),
        ("rows:", "row:"),
        ("name: bundle", "name: bundel"),
        ("validation: ", "validaton: "),
        ("name: mlp", "name: mpl"),
        ("widths: [8, 8]", "width: [8, 8]"),
        ("widths: [8, 8]", "widths: 8"),
        ("name: adam", "name: adan"),
        ("lr: 0.01", "rl: 0.01"),
        ("lr: 0.01", "lr: fast"),
        ("method: {name: joint}", "methods: {name: joint}"),
        ("method: {name: joint}", "method: {name: jont}"),
        ("method: {name: joint}", "method: {name: aim, alpa: 1}"),
        ("method: {name: joint}", "method: {name: aim, alpha: high}"),
        ("method: {name: joint}", "method: {name: aim, scope: every}"),
        ("method: {name: joint}", "method: {name: opm, p_exe: 1.5}"),
        ("method: {name: joint}", "method: [opm, {ogm-ge: {alpa: 0.3}}]"),
        ("method: {name: joint}", "method: joint, model: {fusion: concatt}"),
        ("method: {name: joint}", "method: joint, model: {fusion: {memory: {hiden: 8}}}"),
        ("method: {name: joint}", "method: joint, train: {select: median}"),
        ("seeds: 1", "seeds: one"),
        ("seeds: 1", "quick: {seed: x}"),
    ];
    for (right, wrong) in typos {
        let text = good.replace(right, wrong);
        assert_ne!(text, good);
        assert!(validate(&validator, &text).is_err(), "`{wrong}` passes");
        let table = TableConfig::new(Source::parse(Path::new("t.yaml"), &text).unwrap(), Scale::Quick, standard());
        assert!(table.is_err(), "the program takes `{wrong}`");
    }
}
