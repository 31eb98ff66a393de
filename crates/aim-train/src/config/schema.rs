//! The JSON Schema of configuration files, for editors. What serde reads is described by its types; methods and data
//! sets by their cards, with the types of their defaults.

use aim_config::{AnySettings, Card, Registry, entry_schema};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    TrainConfig,
    family::Family,
    file::{File, RowHead},
    groups::NO_DECAY,
    run::Model,
};
use crate::Registries;

/// The schema of every file that `train` and `reproduce` read.
pub fn schema(registries: &Registries) -> Value {
    let method = json!({"$ref": "#/$defs/method"});
    let model = of::<Model>();
    let sections = [
        ("encoder", entries(&registries.encoders, |card| card.defaults().info().about)),
        ("fusion", entries(&registries.fusions, |card| card.defaults().info().about)),
        ("data", entries(&registries.datasets, |card| card.defaults().info().about)),
        ("model", with_parts(model)),
        ("optimizer", entries(&registries.optimizers, |card| card.defaults().info().about)),
        ("schedule", entries(&registries.schedules, |card| card.defaults().info().about)),
        ("train", with_groups(of::<TrainConfig>())),
        ("method", stack(entries(&registries.methods, |card| card.defaults().info().idea), &method)),
    ];
    let mut defs: Map<String, Value> = Map::new();
    for (name, section) in sections {
        defs.insert(format!("{name}-changes"), changes(&section));
        defs.insert(name.into(), section);
    }
    let (mut table, mut row) = (of::<File>(), of::<RowHead>());
    over_recipe(&mut table);
    defs.insert("table-changes".into(), changes(&table));
    for scale in ["quick", "full"] {
        let about = format!("What `--{scale}` lays over the rest.");
        table["properties"][scale] = json!({"description": about, "$ref": "#/$defs/table-changes"});
    }
    let about = "The sets that the row is meant for; all, if left out.";
    row["properties"]["sets"] = json!({"description": about, "type": "array", "items": {"type": "string"}});
    row["properties"]["each_encoder"] = json!({"$ref": "#/$defs/encoder-changes"});
    let mut family = of::<Family>();
    family["properties"]["rows"]["items"] = row;
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A run, a table, or the same table on several sets",
        "if": {"required": ["sets"]}, "then": family, "else": table,
        "$defs": defs,
    })
}

/// Lets sections be changes of those of a recipe, where a file names one.
fn over_recipe(table: &mut Value) {
    const SECTIONS: [&str; 5] = ["data", "model", "optimizer", "schedule", "train"];
    let refs = |end: &str| -> Value {
        let of = |section: &&str| ((*section).to_owned(), json!({"$ref": format!("#/$defs/{section}{end}")}));
        json!({"properties": SECTIONS.iter().map(of).collect::<Map<_, _>>()})
    };
    for section in SECTIONS {
        table["properties"][section].as_object_mut().and_then(|map| map.remove("$ref"));
    }
    table["if"] = json!({"required": ["recipe"]});
    (table["then"], table["else"]) = (refs("-changes"), refs(""));
}

/// A section that names one entry of a registry.
fn entries<D: AnySettings + ?Sized>(registry: &Registry<Card<D>>, about: impl Fn(&Card<D>) -> &'static str) -> Value {
    let method = json!({"$ref": "#/$defs/method"});
    json!({"oneOf": registry.iter().flat_map(|card| entry_schema(card, about(card), &method)).collect::<Vec<_>>()})
}

/// The same, or a list of such sections.
fn stack(mut section: Value, method: &Value) -> Value {
    if let Some(Value::Array(forms)) = section.get_mut("oneOf") {
        forms.push(json!({"type": "array", "minItems": 1, "items": method}));
    }
    section
}

/// The model section, whose encoders and fusion are sections of their own.
fn with_parts(mut model: Value) -> Value {
    model["properties"]["encoders"]["additionalProperties"] = json!({"$ref": "#/$defs/encoder"});
    let fusion = &mut model["properties"]["fusion"];
    *fusion = json!({"description": fusion["description"], "$ref": "#/$defs/fusion"});
    model
}

/// The train section, whose groups may be named and may have schedules.
fn with_groups(mut train: Value) -> Value {
    let about = "Schedule of the learning rate, in place of the run's.";
    let groups = &mut train["properties"]["groups"];
    let mut group = groups["items"].take();
    group["properties"]["schedule"] = json!({"description": about, "$ref": "#/$defs/schedule"});
    let named = json!({"description": "Norms and biases do not decay.", "const": NO_DECAY});
    let each = json!({"type": "array", "items": {"oneOf": [named, group]}});
    *groups = json!({"description": groups["description"], "oneOf": [named, each]});
    train
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
