//! What a table says of the recipe that it follows.

use aim_train::experiment::{Results, RowResults};

/// Choices that a reader of a table must know.
const TOLD: [&str; 3] = ["shape", "frames", "selection"];

/// Names the recipe, its choices, and where these rows say something else than it, a line each.
pub(crate) fn lines(results: &Results, rows: &[&RowResults]) -> Vec<String> {
    let Some(recipe) = &results.table.recipe else { return Vec::new() };
    let facts = TOLD.iter().filter_map(|what| recipe.fact(what));
    let facts: Vec<String> = facts.map(|fact| format!("{}: {} ({})", fact.what, fact.is, fact.sure)).collect();
    let named = format!(
        "Recipe `{}`, {}; {}. Rows of other recipes are not comparable with these.",
        recipe.name,
        recipe.about,
        facts.join("; ")
    );
    std::iter::once(named).chain(departures(results, rows)).collect()
}

/// What rows change, the same changes of several rows said once.
fn departures(results: &Results, rows: &[&RowResults]) -> Vec<String> {
    let mut said: Vec<(String, Vec<&str>)> = vec![];
    let shown = |name: &str| rows.iter().any(|row| row.name == name);
    for row in results.table.rows.iter().filter(|row| shown(&row.config.name)) {
        let changes = row.departures.join(", ");
        match said.iter_mut().find(|(known, _)| *known == changes) {
            _ if changes.is_empty() => {}
            Some((_, rows)) => rows.push(&row.config.name),
            None => said.push((changes, vec![&row.config.name])),
        }
    }
    let all = rows.len();
    let who = |rows: &[&str]| if rows.len() == all { "all rows".into() } else { rows.join(", ") };
    said.into_iter().map(|(changes, rows)| format!("Not as the recipe has it, {}: {changes}.", who(&rows))).collect()
}
