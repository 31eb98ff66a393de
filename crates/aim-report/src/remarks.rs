//! What a reader of a table must know of single runs: those that say one class for everything, and those that stopped
//! early.

use aim_train::experiment::{Results, RowResults, RunResults};

/// Names the rows whose runs say one class for everything.
pub fn collapsed(results: &Results) -> Option<String> {
    let rows = of(results, &|row| count(row, RunResults::single_class));
    rows.map(|rows| format!("ONE CLASS ONLY: {rows} take every test sample for one class."))
}

/// What each row has to say, of those that have.
fn of(results: &Results, each: &dyn Fn(&RowResults) -> Option<String>) -> Option<String> {
    let rows: Vec<String> = results.rows.iter().filter_map(each).collect();
    (!rows.is_empty()).then(|| rows.join("; "))
}

/// Further remarks of a table, a line each.
pub fn remarks(results: &Results) -> Vec<String> {
    let stopped = of(results, &stopped).map(|rows| format!("Stopped early, as `train.patience` wants: {rows}."));
    let lacks = |run: &RunResults| run.outcome.majority.is_none();
    let any = results.rows.iter().flat_map(|row| &row.runs).any(lacks);
    let empty = if any { "; empty where an older program made the runs" } else { "" };
    let majority =
        format!("majority: test accuracy of whoever always says the most frequent class of the training split{empty}.");
    std::iter::once(majority).chain(stopped).collect()
}

/// How many runs of a row are such, if any.
fn count(row: &RowResults, such: impl Fn(&RunResults) -> bool) -> Option<String> {
    let found = row.runs.iter().filter(|run| such(run)).count();
    (found > 0).then(|| format!("`{}`, {found} of {} runs", row.name, row.runs.len()))
}

/// After how many epochs the runs of a row stopped, if any did.
fn stopped(row: &RowResults) -> Option<String> {
    let epochs = || row.runs.iter().filter_map(|run| Some(run.outcome.stopped.as_ref()?.epochs));
    let (least, most) = (epochs().min()?, epochs().max()?);
    let after = if least == most { least.to_string() } else { format!("{least} to {most}") };
    let which = count(row, |run| run.outcome.stopped.is_some())?;
    Some(format!("{which}, after {after} of {} epochs", row.config.train.epochs))
}
