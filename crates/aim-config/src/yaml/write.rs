//! YAML that versions 1.1 (as PyYAML) and 1.2 read alike: texts that either takes for something else are quoted, and
//! numbers have a point.

use std::fmt::Write;

use serde::Serialize;
use serde_yaml::{Number, Value};

/// Words that one of the versions takes for a flag or for nothing.
const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none"];

/// A value as a file's text, in blocks.
///
/// ```
/// let text = aim_config::yaml::write(&serde_json::json!({"on": "no", "rate": 1e-8, "widths": [8, 4]}))?;
/// assert_eq!(text, "\"on\": \"no\"\nrate: 1.0e-8\nwidths:\n- 8\n- 4\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the value cannot be serialised.
pub fn write(value: &impl Serialize) -> Result<String, serde_yaml::Error> {
    let mut text = String::new();
    put(&mut text, &serde_yaml::to_value(value)?, 0);
    Ok(text)
}

/// Appends a value whose lines begin at a depth.
fn put(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Mapping(map) if !map.is_empty() => {
            for (key, value) in map {
                begin(text, depth);
                text.push_str(&scalar(key));
                text.push_str(if is_block(value) { ":\n" } else { ": " });
                // The dashes of a list below a key stand under the key.
                put(text, value, if value.is_sequence() { depth } else { depth + 1 });
            }
        }
        Value::Sequence(list) if !list.is_empty() => {
            for value in list {
                begin(text, depth);
                text.push_str("- ");
                put(text, value, depth + 1);
            }
        }
        other => {
            text.push_str(&scalar(other));
            text.push('\n');
        }
    }
}

/// Begins a line, unless it began with a dash.
fn begin(text: &mut String, depth: usize) {
    if text.is_empty() || text.ends_with('\n') {
        text.push_str(&"  ".repeat(depth));
    }
}

/// Whether a value takes lines of its own.
fn is_block(value: &Value) -> bool {
    value.as_mapping().is_some_and(|map| !map.is_empty()) || value.as_sequence().is_some_and(|list| !list.is_empty())
}

/// What stands on one line.
fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number_text(number),
        Value::String(words) if plain(words) => words.clone(),
        Value::String(words) => quoted(words),
        Value::Sequence(_) => "[]".into(),
        Value::Mapping(_) => "{}".into(),
        Value::Tagged(tagged) => format!("{} {}", tagged.tag, scalar(&tagged.value)),
    }
}

fn number_text(number: &Number) -> String {
    let Some(value) = number.as_f64().filter(|_| number.is_f64()) else { return number.to_string() };
    if value.is_nan() {
        return ".nan".into();
    }
    if value.is_infinite() {
        return if value > 0. { ".inf" } else { "-.inf" }.into();
    }
    let text = format!("{value:?}");
    match text.split_once('e') {
        None => text,
        Some((mantissa, exponent)) => {
            let point = if mantissa.contains('.') { "" } else { ".0" };
            let sign = if exponent.starts_with('-') { "" } else { "+" };
            format!("{mantissa}{point}e{sign}{exponent}")
        }
    }
}

/// Whether a text is one to both versions as it stands.
fn plain(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "_-./ ".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/')
        && text.chars().all(inner)
        && !text.ends_with(' ')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// In double quotes, with everything escaped that is not printable or breaks a line in one of the versions.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\u{20}'..='\u{7e}' | '\u{a1}'..='\u{1fff}' | '\u{2030}'..='\u{d7ff}' => out.push(c),
            // Writing to a text does not fail.
            _ if u32::from(c) <= 0xffff => drop(write!(out, "\\u{:04x}", u32::from(c))),
            _ => drop(write!(out, "\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };

    use super::*;

    /// Texts that one of the versions may take for something else, and those that break lines.
    const TEXTS: [&str; 44] = [
        "no",
        "Yes",
        "on",
        "OFF",
        "y",
        "N",
        "true",
        "null",
        "~",
        "",
        " ",
        "a ",
        " a",
        "1",
        "-1",
        "1.5",
        "1e5",
        "1_000",
        "0x1f",
        "0o17",
        "017",
        "1:20",
        "190:20:30",
        "2001-01-01",
        ".inf",
        ".nan",
        "<<",
        "=",
        "a: b",
        "a #b",
        "- a",
        "# a",
        "&a",
        "*a",
        "!a",
        "'a'",
        "\"a\"",
        "a\nb",
        "a\tb\r",
        "\u{85}\u{2028}\u{feff}\u{7}",
        "größe µV",
        "\u{1f600}",
        "a,b",
        "{a}",
    ];

    fn everything() -> serde_json::Value {
        let texts: Vec<&str> = TEXTS.into();
        let keys: serde_json::Map<String, serde_json::Value> =
            TEXTS.iter().map(|text| ((*text).to_owned(), serde_json::json!({"a": [1, 2]}))).collect();
        let numbers =
            serde_json::json!([0.0, -0.0, 1e-8, 1.5e-7, 1e300, 0.1, 3.0, 123_456_789_012u64, -5, 1e16, u64::MAX]);
        serde_json::json!({
            "texts": texts, "keys": keys, "numbers": numbers, "nothing": null, "flags": [true, false],
            "empty": [[], {}], "lists": [[1, [2, 3]], [{"a": 1, "b": [{"c": 2}]}], {"d": {"e": []}}], "end": "a",
        })
    }

    #[test]
    fn our_own_reader_gets_back_what_was_written() {
        let text = write(&everything()).unwrap();
        assert_eq!(serde_yaml::from_str::<serde_json::Value>(&text).unwrap(), everything(), "{text}");
        for value in [serde_json::json!([]), serde_json::json!({}), serde_json::json!("no"), serde_json::json!([[1]])] {
            assert_eq!(serde_yaml::from_str::<serde_json::Value>(&write(&value).unwrap()).unwrap(), value);
        }
    }

    #[test]
    fn pyyaml_reads_the_same() {
        let script = "import json, sys, yaml\nprint(json.dumps(yaml.safe_load(sys.stdin.buffer)))";
        let mut python = Command::new("python3");
        python.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Where there is no Python, or none with PyYAML, there is nothing to compare with.
        let Ok(mut child) = python.spawn() else { return };
        // Python without the module is gone before it has read this.
        child.stdin.take().unwrap().write_all(write(&everything()).unwrap().as_bytes()).ok();
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(error.contains("No module named"), "{error}");
            return;
        }
        let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(read, everything());
    }
}
