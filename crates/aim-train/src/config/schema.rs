//! The JSON Schema of configuration files, for editors. What serde reads is described by its types; methods and data sets by
//! their cards, with the types of their defaults.

use aim_balance::{Range, Setting};
use aim_core::{Error, Result};
use aim_data::SettingCard;
use aim_fusion::ModelConfig;
use aim_optim::{OptimConfig, ScheduleConfig};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{TrainConfig, family::Family, table};

/// The schema of every file that `train` and `reproduce` read.
///
/// # Errors
/// If a default cannot be written.
pub fn schema() -> Result<Value> {
    let sections = [
        ("data", data()),
        ("model", of::<ModelConfig>()),
        ("optimizer", of::<OptimConfig>()),
        ("schedule", of::<ScheduleConfig>()),
        ("train", of::<TrainConfig>()),
        ("method", method()?),
    ];
    let mut defs: Map<String, Value> = Map::new();
    for (name, section) in sections {
        defs.insert(format!("{name}-changes"), changes(&section));
        defs.insert(name.into(), section);
    }
    let (mut table, mut row) = (of::<table::File>(), of::<table::RowHead>());
    defs.insert("table-changes".into(), changes(&table));
    for scale in ["quick", "full"] {
        let about = format!("What `--{scale}` lays over the rest.");
        table["properties"][scale] = json!({"description": about, "$ref": "#/$defs/table-changes"});
    }
    let encoder = defs["model-changes"]["properties"]["encoders"]["additionalProperties"].clone();
    let about = "The sets that the row is meant for; all, if left out.";
    row["properties"]["sets"] = json!({"description": about, "type": "array", "items": {"type": "string"}});
    row["properties"]["each_encoder"] = encoder;
    let mut family = of::<Family>();
    family["properties"]["rows"]["items"] = row;
    Ok(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A run, a table, or the same table on several sets",
        "if": {"required": ["sets"]}, "then": family, "else": table,
        "$defs": defs,
    }))
}

/// The schema of a type, whole and without a head of its own.
fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Value::Object(map) = &mut schema {
        map.remove("$schema");
        map.remove("title");
    }
    schema
}

/// The same where only what changes is said: nothing is required, and several alternatives may fit.
fn changes(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| match (key.as_str(), value) {
                ("required", Value::Array(_)) => None,
                ("oneOf", _) => Some(("anyOf".to_owned(), changes(value))),
                ("$ref", Value::String(to)) if !to.ends_with("-changes") => {
                    Some((key.clone(), format!("{to}-changes").into()))
                }
                _ => Some((key.clone(), changes(value))),
            };
            Value::Object(map.iter().filter_map(entry).collect())
        }
        Value::Array(items) => items.iter().map(changes).collect(),
        other => other.clone(),
    }
}

fn data() -> Value {
    let set = |card: &aim_data::Card| {
        let required = card.settings.iter().filter(|s| s.default == "-").map(|s| s.name);
        let required: Vec<&str> = std::iter::once("name").chain(required).collect();
        let settings = card.settings.iter().map(|s| (s.name.to_owned(), data_setting(s)));
        named(card.name, card.about, settings.collect(), &required)
    };
    json!({"oneOf": aim_data::CARDS.iter().map(set).collect::<Vec<_>>()})
}

fn data_setting(setting: &SettingCard) -> Value {
    let SettingCard { default, range, meaning, .. } = setting;
    // A card's text does not tell 0 from 0.0; its range does.
    let default = match word(default) {
        _ if range.starts_with("list") => json!([]),
        _ if *range == "path" => json!(""),
        Value::Number(n) if !range.starts_with("whole") => json!(n.as_f64()),
        other => other,
    };
    described(format!("{meaning}; {range}, default {}", setting.default), kind(&default, range))
}

/// A name, a name with settings (in either form), or a list of those.
fn method() -> Result<Value> {
    let names: Vec<&str> = aim_balance::CARDS.iter().map(|c| c.about.name).collect();
    let mut forms =
        vec![json!({"enum": names}), json!({"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/method"}})];
    for card in aim_balance::CARDS {
        let about = card.about;
        let defaults = serde_json::to_value(card.defaults()?)
            .map_err(|e| Error::invalid(format!("method.{}", about.name), e.to_string(), "report this"))?;
        let settings: Map<String, Value> =
            about.settings.iter().map(|s| (s.name.to_owned(), method_setting(s, &defaults[s.name]))).collect();
        let bare = json!({"type": ["object", "null"], "properties": settings, "additionalProperties": false});
        forms.push(named(about.name, about.idea, settings, &["name"]));
        forms.push(json!({
            "type": "object", "required": [about.name], "properties": {about.name: bare}, "additionalProperties": false,
        }));
    }
    Ok(json!({"oneOf": forms}))
}

fn method_setting(setting: &Setting, default: &Value) -> Value {
    let about = format!("{}; {}, default {} ({})", setting.meaning, setting.range, setting.default, setting.source);
    let kind = if setting.name == "inner" { json!({"$ref": "#/$defs/method"}) } else { kind(default, setting.range) };
    described(about, kind)
}

/// A mapping whose `name` says which it is.
fn named(name: &str, about: &str, mut properties: Map<String, Value>, required: &[&str]) -> Value {
    properties.insert("name".into(), json!({"const": name}));
    json!({
        "description": about, "type": "object", "required": required,
        "properties": properties, "additionalProperties": false,
    })
}

fn described(about: String, kind: Value) -> Value {
    let Value::Object(mut map) = kind else { return kind };
    map.insert("description".into(), about.into());
    Value::Object(map)
}

/// What a card's words for a range and the type of a default allow: some values, numbers between two ends, or any value of
/// that type.
fn kind(default: &Value, range: &str) -> Value {
    let kind = match (default, Range::of(range)) {
        (Value::Bool(_), _) => "boolean",
        (_, Range::Choice(values)) => return json!({"enum": values}),
        (Value::Number(_) | Value::Null | Value::String(_), Range::Number(low, high)) => {
            let kind = if default.is_i64() || default.is_u64() { "integer" } else { "number" };
            let mut kind = json!({"type": kind, "minimum": low});
            if high < f64::MAX {
                kind["maximum"] = json!(high);
            }
            return kind;
        }
        (Value::Number(n), _) if n.is_i64() || n.is_u64() => "integer",
        (Value::Number(_), _) => "number",
        (Value::String(_), _) => "string",
        (Value::Array(_), _) => "array",
        (Value::Null | Value::Object(_), _) => return json!({}),
    };
    json!({"type": kind})
}

/// A word of a card as the value that YAML takes it for.
fn word(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap_or_else(|_| text.into())
}
