//! Pages: one HTML file each without any other, no script, readable on a phone, light and dark.

mod axis;
mod charts;
mod html;
mod points;
mod sections;
mod strips;

use aim_config::{Named, Registry};
use aim_stats::{paired::Repeats, table::Table};
use aim_train::{
    config::{RunConfig, TableConfig},
    experiment::{Results, RowResults, RunResults},
};

use crate::{compat, runs::repeats};
pub use html::escape;
use html::{prose, table};
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
    /// Names of the classes, in the order of labels; empty where no run's folder has them.
    pub class_names: Vec<String>,
    /// How they depend on each other.
    pub repeats: Repeats,
    /// Whether it is the row that the others are compared with.
    pub baseline: bool,
    /// Whether it is the row that planned comparisons are of.
    pub planned: bool,
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
    fn of(row: &'a RowResults, table: &TableConfig) -> Self {
        Self {
            title: compat::title(row),
            config: &row.config,
            class_names: class_names(&row.runs),
            runs: row.runs.iter().collect(),
            repeats: repeats(table),
            baseline: row.name == table.baseline,
            planned: table.planned.as_ref().is_some_and(|planned| planned.of == row.name),
        }
    }

    /// What a class is called: its name, or its number where that is all that is known.
    pub fn class(&self, class: usize) -> String {
        self.class_names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}

/// Names of the classes, of the first run whose folder has them.
fn class_names(runs: &[RunResults]) -> Vec<String> {
    runs.iter().map(|run| &run.class_names).find(|names| !names.is_empty()).cloned().unwrap_or_default()
}

/// The rows of a table, as its page shows them.
pub(crate) fn views(results: &Results) -> Vec<View<'_>> {
    results.rows.iter().map(|row| View::of(row, &results.table)).collect()
}

/// The page of a table: what it says in words, its tables, and the sections.
pub fn of_table(results: &Results, verdict: &[String], tables: &[Table], sections: &Sections) -> String {
    let views = views(results);
    let lines: String = verdict.iter().map(|line| format!("<p>{}</p>\n", prose(line))).collect();
    let verdict = if lines.is_empty() { lines } else { format!("<div class=\"verdict\">\n{lines}</div>\n") };
    let (first, rest) = split(&views, sections);
    let body = [verdict, first, each(tables), rest].concat();
    document(&results.table.title, &body)
}

/// Tables one after the other.
fn each<'a>(tables: impl IntoIterator<Item = &'a Table>) -> String {
    tables.into_iter().enumerate().map(|(number, made)| table(made, number)).collect()
}

/// The page of a run.
pub fn of_run(title: &str, run: &RunResults, sections: &Sections) -> String {
    let config = &run.config;
    let views = [View {
        title: title.to_owned(),
        config,
        runs: vec![run],
        class_names: class_names(std::slice::from_ref(run)),
        repeats: Repeats::Independent,
        baseline: false,
        planned: false,
    }];
    let fold = run.fold.map_or_else(String::new, |fold| format!(", fold {fold}"));
    let title = format!("{title}, seed {}{fold}", run.outcome.seed);
    let compat = compat::reproduces_a_fault(config).then(|| format!("This run {}", compat::WARNING));
    let warning = |w: &str| format!("<p class=\"warning\">{}</p>\n", escape(w));
    let warnings: String = config.protocol.warning().into_iter().chain(compat.as_deref()).map(warning).collect();
    let scores = format!("<pre>{}</pre>\n", escape(&run.outcome.to_string()));
    let (first, rest) = split(&views, sections);
    document(&title, &[warnings, scores, first, rest].concat())
}

/// Every section that has something to show: the first one, which stands before the tables, and the others.
fn split(views: &[View<'_>], sections: &Sections) -> (String, String) {
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
    let mut all = sections.iter().map(one);
    (all.next().unwrap_or_default(), all.collect())
}

/// A page of tables alone.
pub fn of_tables(title: &str, tables: &[&Table]) -> String {
    document(title, &each(tables.iter().copied()))
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
