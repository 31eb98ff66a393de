//! What the text under a table says of its searches.

use aim_train::{config::Row, experiment::Choice};

/// The note under a table of so many seeds with these rows; none if no search is done.
pub(crate) fn note(of: u64, rows: &[Row], choices: &[Choice]) -> Option<String> {
    let (search, Choice { rule, .. }) = (rows.iter().find_map(|row| row.tune.as_ref())?, choices.first()?);
    let each = rows.iter().all(|row| row.tune == rows[0].tune);
    let who = if each { "Every row was" } else { "The rows named here were, and no other was," };
    let seeds = search.trial_seeds();
    let apart = if seeds.start < of { "among those of the table" } else { "apart from those of the table" };
    let seeds = if search.seeds == 1 {
        format!("seed {}, {apart}", seeds.start)
    } else {
        format!("seeds {} to {}, {apart}", seeds.start, seeds.end - 1)
    };
    let chosen: Vec<String> = choices.iter().map(Choice::words).collect();
    Some(format!(
        "{who} searched before the seeds of the table were run, each trial with {seeds}; trials count from 0. \
         Chosen is {rule}; all trials are in the files `<row>.search.json` beside the runs. {}.",
        chosen.join("; ")
    ))
}
