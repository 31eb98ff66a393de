//! Pages: one HTML file each without any other, no script, readable on a phone, light and dark.

mod charts;
mod html;
mod sections;

use aim_stats::table::Table;

use crate::{
    config::RunConfig,
    experiment::{Results, RowResults, RunResults, compat},
};
use html::{escape, table};

const STYLE: &str = include_str!("style.css");

/// Runs that a page shows under one name.
struct View<'a> {
    title: &'a str,
    config: &'a RunConfig,
    runs: Vec<&'a RunResults>,
}

impl<'a> View<'a> {
    fn of(row: &'a RowResults) -> Self {
        Self { title: &row.title, config: &row.config, runs: row.runs.iter().collect() }
    }
}

/// The page of a table.
pub fn of_table(results: &Results, tables: &[&Table]) -> String {
    let views: Vec<View<'_>> = results.rows.iter().map(View::of).collect();
    let body = tables.iter().map(|t| table(t)).collect::<String>() + &sections::all(&views);
    document(&results.table.title, &body)
}

/// The page of a run.
pub fn of_run(title: &str, config: &RunConfig, run: &RunResults) -> String {
    let views = [View { title, config, runs: vec![run] }];
    let title = format!("{title}, seed {}", run.outcome.seed);
    let compat = compat::reproduces_a_fault(config).then(|| format!("This run {}", compat::WARNING));
    let warning = |w: &str| format!("<p class=\"warning\">{}</p>\n", escape(w));
    let warnings: String = config.protocol.warning().into_iter().chain(compat.as_deref()).map(warning).collect();
    let scores = format!("<pre>{}</pre>\n", escape(&run.outcome.to_string()));
    document(&title, &(warnings + &scores + &sections::all(&views)))
}

/// A page of tables alone.
pub fn of_tables(title: &str, tables: &[&Table]) -> String {
    document(title, &tables.iter().map(|t| table(t)).collect::<String>())
}

fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <link rel=\"icon\" href=\"data:,\"><title>{title}</title><style>{STYLE}</style></head>\n\
         <body><h1>{title}</h1>\n{body}</body></html>\n"
    )
}
