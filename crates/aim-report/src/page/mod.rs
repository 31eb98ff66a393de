//! Pages: one HTML file each without any other, no script, readable on a phone, light and dark.

mod charts;
mod html;
mod sections;

use aim_config::{Named, Registry};
use aim_stats::{paired::Repeats, table::Table};
use aim_train::{
    config::RunConfig,
    experiment::{Results, RowResults, RunResults},
};

use crate::{compat, runs::repeats};
pub use html::escape;
use html::table;
pub use sections::builtin;

const STYLE: &str = include_str!("style.css");

/// Runs that a page shows under one name.
pub struct View<'a> {
    /// Title of the row.
    pub title: String,
    /// Configuration of its runs.
    pub config: &'a RunConfig,
    /// The runs.
    pub runs: Vec<&'a RunResults>,
    /// How they depend on each other.
    pub repeats: Repeats,
}

/// A section of the pages of tables and runs.
#[derive(Clone, Copy)]
pub struct Section {
    /// Name in the registry.
    pub name: &'static str,
    /// Heading.
    pub title: &'static str,
    /// Whether numbers are means over runs, where there are several.
    pub over_seeds: bool,
    /// Note under the heading; may be empty.
    pub about: &'static str,
    /// Content as HTML; empty where there is nothing to show. Texts from outside go through [`escape`].
    pub content: fn(&[View<'_>]) -> String,
}

impl Named for Section {
    fn name(&self) -> &str {
        self.name
    }
}

/// Sections by name, in their order on the page.
pub type Sections = Registry<Section>;

impl<'a> View<'a> {
    fn of(row: &'a RowResults, repeats: Repeats) -> Self {
        Self { title: compat::title(row), config: &row.config, runs: row.runs.iter().collect(), repeats }
    }
}

/// The page of a table.
pub fn of_table(results: &Results, tables: &[&Table], sections: &Sections) -> String {
    let views: Vec<View<'_>> = results.rows.iter().map(|row| View::of(row, repeats(&results.table))).collect();
    let body = tables.iter().map(|t| table(t)).collect::<String>() + &all(&views, sections);
    document(&results.table.title, &body)
}

/// The page of a run.
pub fn of_run(title: &str, run: &RunResults, sections: &Sections) -> String {
    let config = &run.config;
    let views = [View { title: title.to_owned(), config, runs: vec![run], repeats: Repeats::Independent }];
    let fold = run.fold.map_or_else(String::new, |fold| format!(", fold {fold}"));
    let title = format!("{title}, seed {}{fold}", run.outcome.seed);
    let compat = compat::reproduces_a_fault(config).then(|| format!("This run {}", compat::WARNING));
    let warning = |w: &str| format!("<p class=\"warning\">{}</p>\n", escape(w));
    let warnings: String = config.protocol.warning().into_iter().chain(compat.as_deref()).map(warning).collect();
    let scores = format!("<pre>{}</pre>\n", escape(&run.outcome.to_string()));
    document(&title, &(warnings + &scores + &all(&views, sections)))
}

/// Every section that has something to show.
fn all(views: &[View<'_>], sections: &Sections) -> String {
    let several = views.iter().any(|v| v.runs.len() > 1);
    let one = |section: &Section| {
        let content = (section.content)(views);
        if content.is_empty() {
            return content;
        }
        let over = if several && section.over_seeds { ", mean over runs" } else { "" };
        let about = section.about;
        let about = if about.is_empty() { String::new() } else { format!("<p class=\"note\">{about}</p>\n") };
        format!("<h2>{}{over}</h2>\n{about}{content}\n", section.title)
    };
    sections.iter().map(one).collect()
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
