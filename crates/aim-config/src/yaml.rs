//! Sections in YAML. The crate that reads YAML is re-exported, so that its values are of the types used here.

mod write;

use aim_core::{Error, Result};
pub use serde_yaml;
use serde_yaml::{Mapping, Value as Yaml};

use crate::Value;
pub use write::write;

/// A text as a YAML value, without the mark of byte order that some editors put before it, and with merge keys (`<<`)
/// applied as in YAML 1.1: the mapping's own keys count, then those of the first mapping that is named.
///
/// ```
/// let value = aim_config::yaml::value("{a: &a {name: mlp, widths: [8]}, b: {<<: *a, widths: [4]}}")?;
/// assert_eq!((value["b"]["name"].as_str(), value["b"]["widths"][0].as_u64()), (Some("mlp"), Some(4)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If it is no YAML, has a key twice, a tag of its own, or merges what is no mapping.
pub fn value(text: &str) -> std::result::Result<Yaml, serde_yaml::Error> {
    merged(serde_yaml::from_str(without_mark(text))?)
}

/// A text without the mark of byte order.
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn merged(value: Yaml) -> std::result::Result<Yaml, serde_yaml::Error> {
    let wrong = |problem: String| -> serde_yaml::Error { serde::de::Error::custom(problem) };
    Ok(match value {
        Yaml::Sequence(list) => Yaml::Sequence(list.into_iter().map(merged).collect::<std::result::Result<_, _>>()?),
        Yaml::Mapping(map) => {
            let (mut own, mut below) = (Mapping::new(), Yaml::Null);
            for (key, value) in map {
                let value = merged(value)?;
                if key == "<<" {
                    below = value
                } else {
                    let _none = own.insert(key, value);
                }
            }
            let below = match below {
                Yaml::Null => vec![],
                Yaml::Sequence(list) => list,
                one => vec![one],
            };
            for map in below {
                let Yaml::Mapping(map) = map else { return Err(wrong("`<<` merges what is no mapping".into())) };
                for (key, value) in map {
                    own.entry(key).or_insert(value);
                }
            }
            Yaml::Mapping(own)
        }
        Yaml::Tagged(tagged) => return Err(wrong(format!("the tag `{}` is not known", tagged.tag))),
        other => other,
    })
}

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
    let value = value(text).map_err(|e| Error::invalid("YAML", e.to_string(), "correct the text there"))?;
    from_yaml(&value, "YAML")
}

/// A YAML value in the data model of configurations; `place` names it in messages.
///
/// # Errors
/// If a number is not finite, a key of a mapping is neither a text, a number nor a flag, or a value has a tag.
pub fn from_yaml(value: &Yaml, place: &str) -> Result<Value> {
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
        Yaml::Tagged(tagged) => {
            return Err(Error::invalid(place, format!("has the tag `{}`", tagged.tag), "write the value without it"));
        }
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

fn key_of(key: &Yaml, place: &str) -> Result<String> {
    match key {
        Yaml::String(text) => Ok(text.clone()),
        Yaml::Number(number) => Ok(number.to_string()),
        Yaml::Bool(flag) => Ok(flag.to_string()),
        _ => Err(Error::invalid(place, "has a key that is no text", "use names as keys")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_keys_are_applied_as_in_yaml_1_1() {
        let text = "base: &a {x: 1, y: {z: 2}}\nnext: &b {<<: *a, x: 3}\nlast: {<<: *b, y: 4}\n\
                    both: {w: 5, <<: [{x: 6}, *a]}\nlist: [{<<: *a}]\nnone: {<<: , x: 7}\n";
        let wanted = "base: {x: 1, y: {z: 2}}\nnext: {x: 3, y: {z: 2}}\nlast: {x: 3, y: 4}\n\
                      both: {w: 5, x: 6, y: {z: 2}}\nlist: [{x: 1, y: {z: 2}}]\nnone: {x: 7}\n";
        assert_eq!(value(text).unwrap(), serde_yaml::from_str::<Yaml>(wanted).unwrap());
        assert_eq!(value("\u{feff}a: 1").unwrap()["a"], 1);
    }

    #[test]
    fn what_would_be_lost_is_refused_by_its_name() {
        for (text, message) in [
            ("a: {<<: 1}", "`<<` merges what is no mapping"),
            ("a: {<<: [1]}", "`<<` merges what is no mapping"),
            ("a: [!wide 3]", "the tag `!wide` is not known"),
        ] {
            let error = value(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
