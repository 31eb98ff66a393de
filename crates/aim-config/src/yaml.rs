//! Sections in YAML. The crate that reads YAML is re-exported, so that its values are of the types used here.

use aim_core::{Error, Result};
pub use serde_yaml;

use crate::Value;

/// A section's text as a value.
///
/// ```
/// let section = aim_config::yaml::parse("{name: sam, inner: {name: agm, alpha: 0.5}}")?;
/// assert_eq!(section["inner"]["alpha"], 0.5);
/// # Ok::<(), aim_core::Error>(())
/// ```
///
/// # Errors
/// If it is no YAML, has a key twice, or a number in it is not finite.
pub fn parse(text: &str) -> Result<Value> {
    let value: serde_yaml::Value =
        serde_yaml::from_str(text).map_err(|e| Error::invalid("YAML", e.to_string(), "correct the text there"))?;
    from_yaml(&value, "YAML")
}

/// A YAML value in the data model of configurations; `place` names it in messages.
///
/// # Errors
/// If a number is not finite, or a key of a mapping is neither a text, a number nor a flag.
pub fn from_yaml(value: &serde_yaml::Value, place: &str) -> Result<Value> {
    use serde_yaml::Value as Yaml;
    Ok(match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(flag) => (*flag).into(),
        Yaml::String(text) => text.clone().into(),
        Yaml::Number(number) => number_of(number, place)?,
        Yaml::Sequence(list) => {
            let item = |(i, item)| from_yaml(item, &format!("{place}[{i}]"));
            Value::Array(list.iter().enumerate().map(item).collect::<Result<_>>()?)
        }
        Yaml::Mapping(map) => {
            let entry = |(key, value)| {
                let key = key_of(key, place)?;
                let value = from_yaml(value, &format!("{place}.{key}"))?;
                Ok((key, value))
            };
            Value::Object(map.iter().map(entry).collect::<Result<_>>()?)
        }
        Yaml::Tagged(tagged) => from_yaml(&tagged.value, place)?,
    })
}

fn number_of(number: &serde_yaml::Number, place: &str) -> Result<Value> {
    if let Some(whole) = number.as_u64() {
        return Ok(whole.into());
    }
    if let Some(whole) = number.as_i64() {
        return Ok(whole.into());
    }
    let value = number.as_f64().unwrap_or(f64::NAN);
    let number = serde_json::Number::from_f64(value);
    number.map(Value::Number).ok_or_else(|| Error::invalid(place, format!("is {value}"), "use a finite number"))
}

fn key_of(key: &serde_yaml::Value, place: &str) -> Result<String> {
    use serde_yaml::Value as Yaml;
    match key {
        Yaml::String(text) => Ok(text.clone()),
        Yaml::Number(number) => Ok(number.to_string()),
        Yaml::Bool(flag) => Ok(flag.to_string()),
        _ => Err(Error::invalid(place, "has a key that is no text", "use names as keys")),
    }
}
