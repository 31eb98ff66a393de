//! A section of report pages: our own metric, row by row.

use aim_report::{Section, View, page::escape};

use crate::metric::LEAST_RECALL;

/// The least recall of every run.
pub const WORST_CLASS: Section = Section {
    name: "worst-class",
    title: "Worst class",
    over_seeds: false,
    about: "Smallest recall of a class on the test split, one a seed.",
    content: worst_class,
};

fn worst_class(views: &[View<'_>]) -> String {
    let row = |view: &View<'_>| {
        let values = view.runs.iter().filter_map(|run| run.outcome.test.get(LEAST_RECALL.name));
        let values: Vec<String> = values.map(|value| format!("{value:.3}")).collect();
        format!("<li>{}: {}</li>", escape(&view.title), values.join(", "))
    };
    format!("<ul>{}</ul>", views.iter().map(row).collect::<String>())
}
