//! Every setting of everything that a configuration can name refuses what is out of its range, and means what it says.

use std::path::Path;

use aim_config::{AnySettings, Card, Kind, Registry, Setting, Values, yaml};
use aim_tests::bundle_text;
use aim_train::{
    config::{Scale, Source, TableConfig, schema},
    standard,
};
use serde_json::{Map, Value, json};

/// Values that no number may have.
const NO_NUMBERS: [fn() -> Value; 7] =
    [|| json!(1e39), || json!(-1e39), || json!("1"), || json!(""), || json!([]), || json!({}), || json!(true)];

/// Values of a number that lie outside its range.
fn outside(setting: &Setting) -> Vec<Value> {
    match setting.rule.values {
        Values::Number { low, high, open, below } => {
            let (low, high) = ((low > f64::MIN).then_some((low, open)), (high < f64::MAX).then_some((high, below)));
            let under = low.map(|(low, open)| if open { vec![low - 1., low] } else { vec![low - 1., low - 1e-6] });
            let over =
                high.map(|(high, below)| if below { vec![high + 1., high] } else { vec![high + 1., high + 1e-6] });
            under.into_iter().chain(over).flatten().map(Value::from).collect()
        }
        Values::Whole { low, high } => {
            let under = low.checked_sub(1).map(Value::from);
            let over = (high < u64::MAX).then(|| Value::from(high + 1));
            under.into_iter().chain(over).chain([json!(-1), json!(low as f64 + 0.5), json!(u64::MAX)]).collect()
        }
        Values::OneOf(_) => vec![json!(-7), json!(0.123)],
        Values::Type | Values::Words(_) => panic!("`{}` is a number without a range", setting.name),
    }
}

/// Values that a setting of this kind must refuse.
fn wrong(kind: &Kind, setting: &Setting) -> Vec<Value> {
    match kind {
        Kind::Number | Kind::Whole => {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                assert!(setting.rule.check_number(value, "x").is_err(), "`{}` takes {value}", setting.name);
            }
            NO_NUMBERS.iter().map(|value| value()).chain(outside(setting)).collect()
        }
        Kind::Flag => vec![json!("yes"), json!(""), json!(1), json!([])],
        Kind::Choice => vec![json!("no such word"), json!(""), json!(1), json!([]), json!({})],
        Kind::Text => vec![json!(1), json!(true), json!([]), json!({})],
        Kind::List(item) => {
            let items = wrong(item, setting).into_iter().map(|value| json!([value]));
            items.chain([json!(""), json!(1), json!("a"), json!({"a": 1}), json!([null])]).collect()
        }
        Kind::Map(item) => {
            let items = wrong(item, setting).into_iter().map(|value| json!({"a": value}));
            items.chain([json!(""), json!(1), json!("a"), json!([1]), json!({"a": null})]).collect()
        }
        Kind::Section(below) => {
            let each = |setting: &Setting| {
                let name = setting.name.to_owned();
                let all = wrong(&setting.kind, setting).into_iter().chain(null(setting));
                all.map(move |value| json!({ name.clone(): value })).collect::<Vec<_>>()
            };
            below.settings.iter().flat_map(each).chain([json!(""), json!(1), json!({"no_such_key": 1})]).collect()
        }
        // What it names is read with the registry, as any method.
        Kind::Method => vec![],
    }
}

/// Nothing, where it stands for nothing.
fn null(setting: &Setting) -> Option<Value> {
    (!setting.optional && setting.kind != Kind::Method).then_some(Value::Null)
}

/// Values at the ends of a setting's range.
fn right(setting: &Setting) -> Vec<Value> {
    let mut values = match setting.rule.values {
        Values::Number { low, high, open, below } => {
            let ends = [(low, open), (high, below)].into_iter().filter(|(end, out)| !out && end.abs() < 1e30);
            ends.map(|(end, _)| json!(end)).collect()
        }
        Values::Whole { low, high } => vec![json!(low), json!(if high == u64::MAX { 1 << 53 } else { high })],
        _ => vec![],
    };
    if !matches!(setting.kind, Kind::Number | Kind::Whole) {
        values.clear();
    }
    values.extend(setting.optional.then_some(Value::Null));
    values
}

/// Whether two values are the same, numbers by their size.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a == b),
    }
}

/// Tries every setting of a registry; gives the number of trials.
fn walk<D: AnySettings + ?Sized>(registry: &Registry<Card<D>>) -> usize {
    let mut trials = 0;
    for card in registry.iter() {
        let names = card.settings().iter().map(|setting| setting.name);
        for name in names.clone() {
            assert_eq!(names.clone().filter(|other| *other == name).count(), 1, "{}: two `{name}`", card.name());
        }
        for setting in card.settings() {
            let place = format!("{} {}.{}", registry.kind(), card.name(), setting.name);
            let with = |value: &Value| Value::Object(Map::from_iter([(setting.name.to_owned(), value.clone())]));
            for value in wrong(&setting.kind, setting).into_iter().chain(null(setting)) {
                let Err(error) = card.spec(&with(&value), "here") else { panic!("{place} takes {value}") };
                assert!(error.to_string().contains("here"), "{place}, {value}: {error}");
                trials += 1;
            }
            for value in right(setting) {
                // What does not go together with other settings, or lacks required ones, is refused by another name.
                if let Ok(spec) = card.spec(&with(&value), "here") {
                    let kept = &spec.section()[setting.name];
                    assert!(same(kept, &value), "{place}: {value} became {kept}");
                }
                trials += 1;
            }
        }
    }
    trials
}

#[test]
fn every_setting_of_every_entry_refuses_what_is_out_of_range() {
    let all = standard();
    let trials = [
        walk(&all.methods),
        walk(&all.encoders),
        walk(&all.fusions),
        walk(&all.optimizers),
        walk(&all.schedules),
        walk(&all.datasets),
    ];
    assert!(trials.iter().all(|trials| *trials > 40) && trials.iter().sum::<usize>() > 2000, "{trials:?}");
}

#[test]
fn no_number_of_a_file_is_infinite_or_none() {
    for text in [".nan", ".inf", "-.inf", "[1, .nan]", "{a: {b: .inf}}"] {
        assert!(yaml::parse(text).is_err(), "{text}");
    }
}

#[test]
fn every_override_of_training_means_what_it_says_or_is_refused() {
    let schema = schema(standard());
    let keys = schema["$defs"]["train"]["properties"].as_object().unwrap();
    assert!(keys.len() > 6 && keys.contains_key("epochs"), "{keys:?}");
    let values = [
        "null",
        "",
        "~",
        "0",
        "-1",
        "0.5",
        ".nan",
        ".inf",
        "-.inf",
        "1e39",
        "4294967296",
        "18446744073709551616",
        "\"\"",
        "[]",
        "{}",
        "x",
        "true",
        "[1, 1, 1]",
        "[0, 1, 1]",
        "[.nan, 1, 1]",
    ];
    let mut kept = 0;
    for key in keys.keys() {
        for value in values {
            let mut source =
                Source::parse(Path::new("t.yaml"), &bundle_text("  - {name: joint, method: joint}")).unwrap();
            let place = format!("train.{key}={value}");
            let set = source.set(&place);
            match set.and_then(|()| TableConfig::new(source, Scale::Normal, standard())) {
                Err(error) => assert!(error.to_string().contains(&format!("train.{key}")), "{place}: {error}"),
                Ok(table) => {
                    assert!(!["nan", "inf", "1e39"].iter().any(|no| value.contains(no)), "{place} is taken");
                    let written = serde_json::to_value(&table.rows[0].config.train).unwrap();
                    let given: Value = serde_yaml::from_str(value).unwrap();
                    let neutral =
                        written[key].is_null() && ["0", "null", "none", "[]"].contains(&given.to_string().as_str());
                    assert!(same(&written[key], &given) || neutral, "{place} became {}", written[key]);
                    kept += 1;
                }
            }
        }
    }
    assert!(kept > 5, "{kept}");
}

#[test]
fn names_that_no_folder_can_have_are_refused_before_data_are_read() {
    let (long, row) = ("n".repeat(300), |name: &str| format!("  - {{name: {name}, method: joint}}"));
    let modality = format!("model.encoders.{}={{name: mlp, widths: [4]}}", "m".repeat(300));
    for (text, set) in [
        (bundle_text(&row(&long)), "seeds=1"),
        (bundle_text(&row("joint")), &*format!("name={long}")),
        (bundle_text(&row("joint")), &modality),
        (bundle_text(&row("größe")), "seeds=1"),
        (bundle_text(&row("joint")), "name=a/b"),
    ] {
        let mut source = Source::parse(Path::new("t.yaml"), &text).unwrap();
        source.set(set).unwrap();
        let error = TableConfig::new(source, Scale::Normal, standard()).unwrap_err().to_string();
        assert!(error.contains("use at most 100") || error.contains("use letters"), "{error}");
    }
}
