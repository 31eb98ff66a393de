//! Where two configurations say different things.

use serde_yaml::{Mapping, Value};

/// A key whose values differ; `null` where one side lacks it.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The key, with dots between its parts.
    pub key: String,
    /// What the first says.
    pub left: Value,
    /// What the second says.
    pub right: Value,
}

/// Every key whose values differ, in the order of the first. Lists differ as a whole.
pub fn differences(left: &Value, right: &Value) -> Vec<Difference> {
    let mut all = Vec::new();
    collect("", left, right, &mut all);
    all
}

fn collect(path: &str, left: &Value, right: &Value, all: &mut Vec<Difference>) {
    match (left, right) {
        (Value::Mapping(a), Value::Mapping(b)) => {
            let dot = if path.is_empty() { "" } else { "." };
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(key))) {
                let at = |map: &Mapping| map.get(key).cloned().unwrap_or_default();
                collect(&format!("{path}{dot}{}", text(key)), &at(a), &at(b), all);
            }
        }
        _ if left == right => {}
        _ => all.push(Difference { key: path.into(), left: left.clone(), right: right.clone() }),
    }
}

/// A value on one line.
pub fn text(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default().replace('"', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_with_its_dotted_key() {
        let parse = |text: &str| serde_yaml::from_str::<Value>(text).unwrap();
        let a = parse("{seed: 1, train: {epochs: 3, batch: 32}, list: [1, 2], same: {x: [a]}}");
        let b = parse("{list: [2], train: {batch: 32, epochs: 4, select: last}, same: {x: [a]}}");
        let said: Vec<_> =
            differences(&a, &b).iter().map(|d| format!("{} {} {}", d.key, text(&d.left), text(&d.right))).collect();
        assert_eq!(said, ["seed 1 null", "train.epochs 3 4", "train.select null last", "list [1,2] [2]"]);
        assert_eq!(differences(&a, &a), []);
    }
}
