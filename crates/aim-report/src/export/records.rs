//! All results of a table as one flat record a run.

use aim_core::{Error, Result};
use aim_train::{
    config::{Identity, TableConfig},
    experiment::{Results, RowResults, RunResults},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{compat, notes::provenance};

/// The columns of a run: texts, numbers and `null`; keys of what was nested are joined with dots.
pub type Record = Map<String, Value>;

/// One record for each run of a table, all with the same columns; what a run lacks is `null`. Times are left out, so
/// that the records are the same every time.
///
/// # Errors
/// If a configuration cannot be written.
pub fn records(results: &Results) -> Result<Vec<Record>> {
    let runs = results.rows.iter().flat_map(|row| row.runs.iter().map(move |run| (row, run)));
    let mut all = runs.map(|(row, run)| record(&results.table, row, run)).collect::<Result<Vec<_>>>()?;
    let mut columns: Vec<String> = Vec::new();
    for key in all.iter().flat_map(|record| record.keys()) {
        if !columns.contains(key) {
            columns.push(key.clone());
        }
    }
    for record in &mut all {
        *record = columns.iter().map(|key| (key.clone(), record.remove(key).unwrap_or_default())).collect();
    }
    Ok(all)
}

fn record(table: &TableConfig, row: &RowResults, run: &RunResults) -> Result<Record> {
    // What a reader of a table is warned of; what is said over several tables is made from their records.
    let provenance = provenance(std::iter::once(&run.config.method)).join(" ");
    let head: [(&str, Value); 9] = [
        ("table", table.name.clone().into()),
        ("set", table.set.clone().into()),
        ("protocol", run.config.protocol.name().into()),
        ("baseline", table.baseline.clone().into()),
        ("row", row.name.clone().into()),
        ("title", compat::title(row).into()),
        ("provenance", Some(provenance).filter(|said| !said.is_empty()).into()),
        ("key", Identity::new(&run.config, run.outcome.seed, run.data_crc32).key()?.into()),
        ("config", json(&run.config)?.to_string().into()),
    ];
    let mut record: Record = head.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let mut outcome = json(&run.outcome)?;
    outcome["modalities"] = run.outcome.modalities.join("+").into();
    flatten("", &outcome, &mut record);
    if let Some(fold) = run.fold {
        record.insert("fold".into(), fold.into());
    }
    record.insert("data.crc32".into(), run.data_crc32.into());
    record.insert("test.samples".into(), run.test.samples.into());
    record.insert("test.most_frequent".into(), run.test.most_frequent.into());
    Ok(record)
}

fn json(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value)
        .map_err(|e| Error::invalid("results", e.to_string(), "report this fault with the command that met it"))
}

/// Puts what is nested under keys joined with dots.
pub fn flatten(path: &str, value: &Value, into: &mut Record) {
    let Value::Object(map) = value else {
        into.insert(path.to_owned(), value.clone());
        return;
    };
    let dot = if path.is_empty() { "" } else { "." };
    map.iter().for_each(|(key, value)| flatten(&format!("{path}{dot}{key}"), value, into));
}

/// One line of JSON a record.
pub fn to_jsonl(records: &[Record]) -> String {
    records.iter().map(|record| Value::Object(record.clone()).to_string() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_nested_becomes_one_line_of_dotted_keys() {
        let mut record = Record::new();
        flatten("", &json!({"a": {"b": {"c": 0.5}, "d": "x\ny"}, "e": null}), &mut record);
        let text = to_jsonl(&[record]);
        assert_eq!(text.lines().count(), 1);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"a.b.c": 0.5, "a.d": "x\ny", "e": null}));
    }
}
