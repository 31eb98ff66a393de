//! The report page of a table: one HTML file without any other, readable on a phone, light and dark.

mod charts;
mod html;

use aim_stats::table::Table;

use crate::experiment::{Results, RowResults};
use charts::{Line, bars, heat, lines};
use html::{escape, table};

const STYLE: &str = include_str!("style.css");

/// The page of a table.
pub fn page(results: &Results, tables: &[&Table]) -> String {
    let title = escape(&results.table.title);
    let mut body = format!("<h1>{title}</h1>\n");
    body += &tables.iter().map(|t| table(t)).collect::<String>();
    body += &section("Test accuracy, one dot a seed", &accuracy(results));
    body += &section("Validation accuracy by epoch, mean over seeds", &curves(results));
    body += &section("AIM by depth and epoch, mean over seeds", &modulation(results));
    body += &section("Settings", &settings(results));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head>\n<body>{body}</body></html>\n"
    )
}

fn section(title: &str, content: &str) -> String {
    if content.is_empty() { String::new() } else { format!("<h2>{title}</h2>\n{content}\n") }
}

fn accuracy(results: &Results) -> String {
    let rows = results.rows.iter().map(|r| (r.title.as_str(), r.values(|run| Some(run.outcome.test.accuracy))));
    bars(&rows.filter(|(_, values)| !values.is_empty()).collect::<Vec<_>>())
}

/// One chart for the fused prediction and one for each modality's own.
fn curves(results: &Results) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in results.rows.iter().flat_map(|r| &r.runs).flat_map(|r| &r.outcome.modalities) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let chart = |title: &str, of: &dyn Fn(&RowResults, usize) -> Option<f64>| {
        let line = |row: &RowResults| Line {
            label: row.title.clone(),
            points: (0..row.config.train.epochs).map_while(|epoch| of(row, epoch)).collect(),
        };
        let all: Vec<Line> = results.rows.iter().map(line).collect();
        lines(title, &all)
    };
    let mut out = chart("fused", &|row, epoch| over_seeds(row, |run| Some(run.log.get(epoch)?.validation.accuracy)));
    for name in names {
        let own = |row: &RowResults, epoch: usize| {
            over_seeds(row, |run| run.log.get(epoch)?.validation.modality.get(name).copied())
        };
        out += &chart(name, &own);
    }
    out
}

/// Mean over the runs that have the quantity.
fn over_seeds(row: &RowResults, of: impl Fn(&crate::experiment::RunResults) -> Option<f64>) -> Option<f64> {
    let values = row.values(of);
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// A map for each quantity that a method logs by depth (`rho`, `lambda`, `keep`) and each modality.
fn modulation(results: &Results) -> String {
    let mut out = String::new();
    for row in &results.rows {
        let mut maps = String::new();
        for quantity in ["rho", "lambda", "keep"] {
            for name in row.runs.first().map(|r| r.outcome.modalities.as_slice()).unwrap_or_default() {
                let key = format!("{quantity}.{name}");
                let at = |depth: usize, epoch: usize| {
                    over_seeds(row, |run| run.log.get(epoch)?.train.get(&key)?.values().get(depth).copied())
                };
                maps += &heat(&key, row.config.train.epochs, &at);
            }
        }
        if !maps.is_empty() {
            out += &format!("<h3>{}</h3><div class=\"maps\">{maps}</div>\n", escape(&row.title));
        }
    }
    out
}

fn settings(results: &Results) -> String {
    let one = |row: &RowResults| {
        let yaml = serde_yaml::to_string(&row.config).unwrap_or_default();
        format!("<details><summary>{}</summary><pre>{}</pre></details>\n", escape(&row.title), escape(&yaml))
    };
    results.rows.iter().map(one).collect()
}
