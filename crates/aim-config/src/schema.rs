//! JSON Schema of settings and of sections that name an entry.

use serde_json::{Map, Value, json};

use crate::{AnySettings, Card, Kind, Setting, Values};

/// The schema of a setting; `default` is its default in words, `method` the schema of a method's section.
pub fn setting_schema(setting: &Setting, default: &str, method: &Value) -> Value {
    let Setting { meaning, source, .. } = setting;
    let range = Some(setting.range()).filter(|range| !range.is_empty());
    let facts = range.into_iter().chain([format!("default {default} ({source})")]).collect::<Vec<_>>().join(", ");
    let schema = kind_schema(&setting.kind, setting, method);
    let schema = if setting.optional { json!({"anyOf": [schema, {"type": "null"}]}) } else { schema };
    described(schema, &format!("{} {facts}", sentence(meaning)))
}

/// A text that ends as a sentence does.
fn sentence(text: &str) -> String {
    if text.ends_with('.') { text.into() } else { format!("{text}.") }
}

fn kind_schema(kind: &Kind, setting: &Setting, method: &Value) -> Value {
    let choices = setting.choices();
    match kind {
        Kind::Flag if choices.len() == 1 => json!({"const": choices[0] == "true"}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Choice => json!({"enum": choices}),
        Kind::Number | Kind::Whole => number_schema(*kind == Kind::Whole, setting),
        Kind::Text => json!({"type": "string"}),
        Kind::List(item) => json!({"type": "array", "items": kind_schema(item, setting, method)}),
        Kind::Map(item) => json!({"type": "object", "additionalProperties": kind_schema(item, setting, method)}),
        Kind::Section(below) => {
            let property = |(s, default): (&Setting, String)| (s.name.to_owned(), setting_schema(s, &default, method));
            let properties = below.rows().into_iter().map(property);
            json!({"type": "object", "properties": properties.collect::<Map<_, _>>(), "additionalProperties": false})
        }
        Kind::Method => method.clone(),
    }
}

fn number_schema(whole: bool, setting: &Setting) -> Value {
    let mut schema = json!({"type": if whole { "integer" } else { "number" }});
    match setting.rule.values {
        Values::Number { low, high, open, below } => {
            schema[if open { "exclusiveMinimum" } else { "minimum" }] = json!(low);
            if high.is_finite() && high < f64::MAX {
                schema[if below { "exclusiveMaximum" } else { "maximum" }] = json!(high);
            }
        }
        Values::Whole { low, high } => {
            schema["minimum"] = json!(low);
            if high < u64::MAX {
                schema["maximum"] = json!(high);
            }
        }
        Values::OneOf(words) => {
            let numbers: Vec<Value> = words.iter().filter_map(|word| serde_json::from_str(word).ok()).collect();
            return json!({"enum": numbers});
        }
        Values::Type | Values::Words(_) => {}
    }
    schema
}

/// The schemas of a section that names this entry: its name alone, `{name: ..., settings...}` and
/// `{<name>: {settings...}}`.
pub fn entry_schema<D: AnySettings + ?Sized>(card: &Card<D>, about: &str, method: &Value) -> Vec<Value> {
    let name = card.name();
    let required: Vec<&str> = card.settings().iter().filter(|s| s.rule.required).map(|s| s.name).collect();
    let settings: Map<String, Value> =
        card.rows().into_iter().map(|(s, default)| (s.name.to_owned(), setting_schema(s, &default, method))).collect();
    let bare = json!({
        "type": ["object", "null"], "required": required, "properties": settings, "additionalProperties": false,
    });
    let mut named = settings;
    named.insert("name".into(), json!({"const": name}));
    let with_name: Vec<&str> = std::iter::once("name").chain(required.iter().copied()).collect();
    let mut forms = vec![
        json!({
            "description": about, "type": "object", "required": with_name,
            "properties": named, "additionalProperties": false,
        }),
        json!({"type": "object", "required": [name], "properties": {name: bare}, "additionalProperties": false}),
    ];
    if required.is_empty() {
        forms.push(json!({"const": name, "description": about}));
    }
    forms
}

/// A schema with a description.
pub fn described(schema: Value, about: &str) -> Value {
    let Value::Object(mut map) = schema else { return schema };
    map.insert("description".into(), about.into());
    Value::Object(map)
}
