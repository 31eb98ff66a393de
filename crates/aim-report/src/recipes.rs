//! What a table says of the recipe that it follows.

use aim_stats::table::Table;
use aim_train::experiment::Results;

/// Choices that a reader of a table must know.
const TOLD: [&str; 3] = ["shape", "frames", "selection"];

/// Names the recipe, its choices, and where rows say something else than it.
pub(crate) fn note(table: &mut Table, results: &Results) {
    let Some(recipe) = &results.table.recipe else { return };
    let facts = TOLD.iter().filter_map(|what| recipe.fact(what));
    let facts: Vec<String> = facts.map(|fact| format!("{}: {} ({})", fact.what, fact.is, fact.sure)).collect();
    table.note(format!(
        "Recipe `{}`, {}; {}. Rows of other recipes are not comparable with these.",
        recipe.name,
        recipe.about,
        facts.join("; ")
    ));
    for line in departures(results) {
        table.note(line);
    }
}

/// What rows change, the same changes of several rows said once.
fn departures(results: &Results) -> Vec<String> {
    let mut said: Vec<(String, Vec<&str>)> = vec![];
    for row in &results.table.rows {
        let changes = row.departures.join(", ");
        match said.iter_mut().find(|(known, _)| *known == changes) {
            _ if changes.is_empty() => {}
            Some((_, rows)) => rows.push(&row.config.name),
            None => said.push((changes, vec![&row.config.name])),
        }
    }
    let all = results.table.rows.len();
    let who = |rows: &[&str]| if rows.len() == all { "all rows".into() } else { rows.join(", ") };
    said.into_iter().map(|(changes, rows)| format!("Not as the recipe has it, {}: {changes}.", who(&rows))).collect()
}
