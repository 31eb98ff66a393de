//! What the text under a comparison says, and what each table of the same runs must say.

use std::collections::{BTreeMap, BTreeSet};

use aim_balance::MethodSpec;
use aim_stats::table::Table;
use aim_train::{
    config::{Protocol, Select, TableConfig},
    experiment::{Results, RowResults},
};

use crate::{
    compat, recipes,
    remarks::{collapsed, remarks},
    searches,
};

/// Says what varied, what was chosen where and how many tests there are.
pub(crate) fn notes(table: &mut Table, results: &Results, over_seeds: usize, over_samples: usize) {
    let t = &results.table;
    table.note(varied(t));
    if t.planned.is_some() {
        table.note(format!(
            "Nothing is tested here: the differences to `{}` are exploratory, their intervals (t) are not corrected for their \
             number. What was planned is in a table of its own.",
            t.baseline
        ));
    } else if over_seeds + over_samples > 0 {
        tests(table, results, over_seeds, over_samples);
        unpaired(results).into_iter().for_each(|line| table.warn(line));
    }
    table.note(COSTS);
    collapsed(results).into_iter().for_each(|line| table.warn(line));
    remarks(results).into_iter().for_each(|line| table.note(line));
    if let Some(searched) = searches::note(t.seeds, &t.rows, &results.choices) {
        table.note(searched);
    }
    warnings(table, results, &results.rows.iter().collect::<Vec<_>>());
}

/// What every table of these rows must say: recipe, protocol, faults, provenance, programs, ledger, failures.
pub(crate) fn warnings(table: &mut Table, results: &Results, rows: &[&RowResults]) {
    compat::note(table);
    recipes::lines(results, rows).into_iter().for_each(|line| table.note(line));
    for (line, clean) in protocols(rows) {
        if clean { table.note(line) } else { table.warn(line) }
    }
    let lines = provenance(rows.iter().map(|row| &row.config.method)).into_iter();
    lines.chain(programs(rows)).for_each(|line| table.note(line));
    ledger(rows).into_iter().for_each(|line| table.warn(line));
    let here = |row: &RowResults| rows.iter().any(|shown| shown.name == row.name);
    let elsewhere = |failure: &str| results.rows.iter().any(|row| !here(row) && is_of(failure, row));
    let failed = results.failures.iter().filter(|failure| !elsewhere(failure));
    failed.for_each(|failure| table.warn(format!("FAILED: {failure}")));
}

/// Whether a failure, which begins with its row's title, is of this row.
fn is_of(failure: &str, row: &RowResults) -> bool {
    failure.strip_prefix(&row.title).is_some_and(|rest| rest.starts_with([',', ':']))
}

/// What the spread of a row is over, and what its interval is of.
fn varied(t: &TableConfig) -> String {
    let settings = "Settings are those of the configuration; what was searched is said below.";
    let (seeds, draws) = (t.seeds, "which vary initialisation, order of samples and the method's draws");
    let Some((folds, ratio)) = t.folds.zip(t.test_to_train()) else {
        return format!(
            "Mean ± standard deviation (n-1) over {seeds} seeds, {draws}; the data and their splits are fixed. {settings}"
        );
    };
    format!(
        "Mean ± standard deviation (n-1) over the runs of {seeds} seeds, {draws}, on all {folds} folds, which were dealt once. \
         Intervals are those of the corrected resampled t (Nadeau and Bengio 2003) over the {folds} means by fold, with \
         {ratio:.3} test samples a training sample, because all seeds share the folds and the folds' training sets overlap; \
         differences are by fold, too, and nothing is bootstrapped. majority: mean over folds. {settings}"
    )
}

/// What was scored, by protocol, and whether that is clean.
fn protocols(rows: &[&RowResults]) -> Vec<(String, bool)> {
    let select = if rows.iter().all(|r| r.config.train.select == Select::Best) {
        "the epoch with the best validation accuracy"
    } else {
        "the epoch that each row's `train.select` names"
    };
    let protocols: BTreeSet<Protocol> = rows.iter().map(|row| row.config.protocol).collect();
    let line = |protocol: &Protocol| {
        let rows = rows.iter().filter(|row| row.config.protocol == *protocol).map(|row| row.name.as_str());
        let which =
            if protocols.len() > 1 { format!("Rows {}: ", rows.collect::<Vec<_>>().join(", ")) } else { String::new() };
        let scored = format!("Scored is {select}, on the whole test split, once.");
        (which + protocol.warning().unwrap_or(&scored), protocol.is_clean())
    };
    protocols.iter().map(line).collect()
}

/// What parameters are.
const COSTS: &str = "parameters: trained numbers of the row's network.";

/// Says how many tests against the baseline there are, and what they can find.
fn tests(table: &mut Table, results: &Results, over_seeds: usize, over_samples: usize) {
    let t = &results.table;
    table.note(format!(
        "{} tests against `{}`: {over_seeds} over seeds (sign flips of the seeds' differences; with n seeds no unadjusted p \
         is below 2^(1-n) = {:.4}{}) and {over_samples} over the test samples (exact McNemar tests, one a run, combined as \
         twice their median). Each of the two columns is Holm-adjusted for its own number of tests.",
        over_seeds + over_samples,
        t.baseline,
        2f64.powi(1 - i32::try_from(t.seeds).unwrap_or(i32::MAX)),
        t.folds.map_or("", |_| "; of each seed's mean over its folds, so that it speaks of these folds alone")
    ));
    if over_seeds > 0 {
        table.note(power(t.seeds, over_seeds));
    }
    table.note(NETWORKS);
}

/// Says which rows are tested over fewer runs than the table has, because theirs or the baseline's are not there.
fn unpaired(results: &Results) -> Option<String> {
    let t = &results.table;
    let baseline = results.rows.iter().find(|row| row.name == t.baseline)?;
    let wanted = t.seeds as usize * t.folds.unwrap_or(1);
    let pairs = |row: &RowResults| row.pairs(baseline).count();
    let others = results.rows.iter().filter(|row| row.name != baseline.name && !row.runs.is_empty());
    let fewer: Vec<String> = others
        .filter(|row| pairs(row) < wanted)
        .map(|row| format!("{} ({} of {wanted})", row.title, pairs(row)))
        .collect();
    (!fewer.is_empty()).then(|| {
        let fewer = fewer.join(", ");
        format!("ATTENTION: differences and tests are of the runs that a row and `{}` both have: {fewer}.", t.baseline)
    })
}

/// Says which of these methods are no faithful ones.
pub(crate) fn provenance<'a>(methods: impl Iterator<Item = &'a MethodSpec>) -> Vec<String> {
    let mut said: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (title, provenance) in methods.flat_map(MethodSpec::provenance) {
        let titles = said.entry(provenance.warning().unwrap_or_default()).or_default();
        if !titles.contains(&title) {
            titles.push(title);
        }
    }
    said.into_iter().map(|(warning, titles)| format!("{}: {warning}.", titles.join(", "))).collect()
}

/// Says so if the runs of a table were made by several programs or on several instruction sets.
fn programs(rows: &[&RowResults]) -> Option<String> {
    let runs = rows.iter().flat_map(|row| &row.runs);
    let all: BTreeSet<String> = runs.map(|run| run.outcome.program.to_string()).collect();
    let all: Vec<String> = all.into_iter().collect();
    (all.len() > 1).then(|| {
        let all = all.join("; ");
        format!("The runs were made by several programs or processors, whose results may differ in their last digits: {all}.")
    })
}

/// Says so if runs were taken from a ledger.
fn ledger(rows: &[&RowResults]) -> Option<String> {
    let runs = || rows.iter().flat_map(|row| &row.runs);
    let (all, kept) = (runs().count(), runs().filter(|run| run.folder.is_none()).count());
    (kept > 0).then(|| {
        format!("{kept} of the {all} runs are from the ledger: they were made before, and only their figures are here.")
    })
}

/// What the test over samples does not tell.
const NETWORKS: &str = "A test over samples compares the trained networks at hand. Two trainings of one method are different networks, \
     too, so that such a test tells joint training from joint training with other seeds far more often than its level says; \
     how often is measured by the command `aa-test`. No row is better or worse than the baseline for a small p over samples \
     alone; only the test over seeds speaks of methods.";

/// The smallest p value that sign flips of so many seeds can have under Holm's correction for so many tests.
pub(crate) fn least_p(seeds: u64, tests: usize) -> f64 {
    (tests.max(1) as f64 * 2f64.powi(1 - i32::try_from(seeds).unwrap_or(i32::MAX))).min(1.)
}

/// Whether the test over seeds can find anything, and with how many seeds it could.
fn power(seeds: u64, tests: usize) -> String {
    let least = |seeds: u64| least_p(seeds, tests);
    if least(seeds) <= 0.05 {
        return format!("The smallest adjusted p over seeds that this table can have is {:.4}.", least(seeds));
    }
    let enough = (1..).find(|&seeds| least(seeds) <= 0.05).unwrap_or(u64::MAX);
    format!(
        "The smallest adjusted p over seeds that this table can have is {:.3}, so that it cannot find a difference at .05; \
         with `--seeds {enough}` it could.",
        least(seeds)
    )
}

#[cfg(test)]
mod tests {
    use super::power;

    #[test]
    fn the_text_says_how_many_seeds_are_enough() {
        // 10 tests: 10 / 2^4 = .625 with 5 seeds, 10 / 2^7 = .078 with 8, 10 / 2^8 = .039 with 9.
        assert!(power(5, 10).contains("is 0.625") && power(5, 10).contains("`--seeds 9`"), "{}", power(5, 10));
        assert!(power(9, 10).contains("is 0.0391") && !power(9, 10).contains("--seeds"), "{}", power(9, 10));
    }
}
