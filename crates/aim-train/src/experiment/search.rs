//! The choice of a configuration among trials, by validation alone, and the file that says why.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};
use aim_stats::summary::mean;
use serde::{Deserialize, Serialize};
use serde_yaml::Value;

use super::{
    jobs::{Task, Work},
    results::RunResults,
};
use crate::{
    Registries,
    config::{Row, RunConfig, Search, Select, TableConfig, Trial, text},
    metrics::statistics,
    run::{Outcome, write_atomically},
};

/// How a trial is chosen by a metric.
fn rule(select: Select) -> String {
    let metric = select.metric();
    format!(
        "the highest mean validation {metric} over the seeds, the earlier trial on a tie; the test split is not looked at"
    )
}

/// All trials of a row and the one that was chosen: the content of `<row>.search.json` beside the runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Name of the row.
    pub row: String,
    /// How a trial is chosen.
    pub rule: String,
    /// The chosen trial, counted from 0.
    pub chosen: usize,
    /// Later trials with the same mean.
    pub ties: Vec<usize>,
    /// Every trial.
    pub trials: Vec<Tried>,
    /// Seeds of each trial; older programs did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<Range<u64>>,
}

/// A trial that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// What differs from the row as it is written.
    pub settings: BTreeMap<String, Value>,
    /// Key of its runs' folder.
    pub key: String,
    /// Validation accuracy, or what `train.select` names, at the scored epoch, one a seed; none if a seed diverged.
    pub validation: Option<Vec<f64>>,
    /// Their mean.
    pub mean: Option<f64>,
}

/// As it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    choice: Choice,
    /// Of the rest.
    crc32: u32,
}

impl Choice {
    /// Chooses among a row's trials by what its seeds scored on validation (none where one diverged).
    fn among(
        row: &RunConfig,
        (trials, seeds): (&[Trial], Range<u64>),
        keys: Vec<String>,
        validation: Vec<Option<Vec<f64>>>,
    ) -> Result<Self> {
        let tried = |((trial, key), validation): ((&Trial, String), Option<Vec<f64>>)| {
            let mean = validation.as_ref().map(|v| mean(v).map_err(statistics)).transpose()?;
            Ok(Tried { settings: trial.settings.clone(), key, validation, mean })
        };
        let trials: Vec<Tried> = trials.iter().zip(keys).zip(validation).map(tried).collect::<Result<_>>()?;
        let best = trials.iter().filter_map(|t| t.mean).max_by(f64::total_cmp).ok_or_else(|| {
            Error::invalid(format!("search of `{}`", row.name), "every trial diverged", "try lower learning rates")
        })?;
        let mut ties = (0..trials.len()).filter(|&i| trials[i].mean == Some(best));
        let chosen = ties.next().unwrap_or_default();
        let (row, rule) = (row.name.clone(), rule(row.train.select));
        Ok(Self { row, rule, chosen, ties: ties.collect(), trials, seeds: Some(seeds) })
    }

    /// Seeds of each trial: older programs counted them from 0.
    fn seeds(&self) -> Range<u64> {
        let seeds = self.trials.iter().find_map(|trial| trial.validation.as_ref()).map_or(0, Vec::len);
        self.seeds.clone().unwrap_or(0..seeds as u64)
    }

    /// The choice that is stored for a row, if it was made among trials of these keys and seeds. A damaged file is told
    /// of, and made anew from the runs.
    fn read(folder: &Path, row: &Row, keys: &[String], tell: &dyn Fn(&str)) -> Result<Option<Self>> {
        let Some(tune) = &row.tune else { return Ok(None) };
        let row = &row.config.name;
        let path = place(folder, row);
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|e| Error::io(&path, e))?,
        };
        let stored = serde_json::from_slice::<Stored>(&bytes).ok();
        let whole = |s: &Stored| s.choice.crc32().is_ok_and(|crc| crc == s.crc32) && s.choice.chosen < keys.len();
        let Some(Stored { choice, .. }) = stored.filter(whole) else {
            tell(&format!("{}: is damaged; it is made anew", path.display()));
            return Ok(None);
        };
        let same = |c: &Self| c.row == *row && c.seeds() == tune.trial_seeds();
        Ok(Some(choice).filter(|c| same(c) && c.trials.iter().map(|t| &t.key).eq(keys)))
    }

    /// Stores it beside the runs.
    fn write(&self, folder: &Path) -> Result<()> {
        let stored = Stored { choice: self.clone(), crc32: self.crc32()? };
        let text = serde_json::to_string_pretty(&stored).map_err(|e| unwritten(&e))?;
        write_atomically(&place(folder, &self.row), text.as_bytes())
    }

    fn crc32(&self) -> Result<u32> {
        Ok(crc32fast::hash(serde_json::to_string(self).map_err(|e| unwritten(&e))?.as_bytes()))
    }

    /// What was chosen, in words.
    pub fn words(&self) -> String {
        let Tried { settings, mean, .. } = &self.trials[self.chosen];
        let mut settings: Vec<String> = settings.iter().map(|(key, value)| format!("{key} {}", text(value))).collect();
        if settings.is_empty() {
            settings.push("as written".into());
        }
        let ties: Vec<String> = self.ties.iter().map(ToString::to_string).collect();
        let ties = if ties.is_empty() { String::new() } else { format!(", as good as {}", ties.join(", ")) };
        let diverged = self.trials.iter().filter(|t| t.mean.is_none()).count();
        let diverged = if diverged == 0 { String::new() } else { format!(", {diverged} diverged") };
        let (row, chosen, all, settings) = (&self.row, self.chosen, self.trials.len(), settings.join(", "));
        format!(
            "`{row}` trial {chosen} of {all} ({settings}; validation {:.3}{ties}{diverged})",
            mean.unwrap_or(f64::NAN)
        )
    }
}

/// What the rows of a table are run with.
pub(super) struct Settled {
    /// One a row, as it is written or as it was chosen; none if its search is not done.
    pub configs: Vec<Option<RunConfig>>,
    pub choices: Vec<Choice>,
    pub failures: Vec<String>,
}

/// The trials of every row; none where there is no search.
pub(super) fn plans(table: &TableConfig, registries: &Registries) -> Result<Vec<Vec<Trial>>> {
    let none = || Ok(Vec::new());
    let plan = |row: &Row| row.tune.as_ref().map_or_else(none, |search| search.plan("tune", &row.config, registries));
    table.rows.iter().map(plan).collect()
}

/// The trial of each row that was chosen, if that is stored.
pub(super) fn chosen(work: &Work<'_>, table: &TableConfig, plans: &[Vec<Trial>]) -> Result<Vec<Option<usize>>> {
    let stored = |(row, trials): (&Row, &Vec<Trial>)| {
        let keys: Vec<String> = trials.iter().map(|trial| work.key(&trial.config)).collect::<Result<_>>()?;
        Ok(Choice::read(work.folder, row, &keys, &|_| ())?.map(|choice| choice.chosen))
    };
    table.rows.iter().zip(plans).map(stored).collect()
}

/// Makes the trials of all rows, unless their choice is stored, and chooses.
pub(super) fn settle(work: &Work<'_>, table: &TableConfig, plans: &[Vec<Trial>]) -> Result<Settled> {
    let found = table.rows.iter().zip(plans).map(|(row, trials)| Found::new(work, row, trials));
    let mut found: Vec<Found<'_>> = found.collect::<Result<_>>()?;
    // The first trial of every row before the second.
    let most = plans.iter().map(Vec::len).max().unwrap_or_default();
    let places = (0..most).flat_map(|trial| (0..found.len()).map(move |row| (row, trial)));
    let tasks = places.flat_map(|(row, trial)| found[row].tasks(trial).map(move |task| (row, trial, task)));
    let tasks: Vec<(usize, usize, Task<'_>)> = tasks.collect();
    work.shared.console.expect(tasks.len(), tasks.iter().map(|(.., task)| task.config.train.epochs).sum());

    let outcomes = work.make(&tasks.iter().map(|(.., task)| task).collect::<Vec<_>>())?;
    let mut failures = Vec::new();
    for ((row, trial, task), outcome) in tasks.iter().zip(outcomes) {
        failures.extend(found[*row].take(*trial, task, outcome));
    }
    let mut settled = Settled { configs: Vec::new(), choices: Vec::new(), failures };
    for found in found {
        let config = found.choose(work, &mut settled)?;
        settled.configs.push(config);
    }
    Ok(settled)
}

/// What is known of a row's trials.
struct Found<'a> {
    row: &'a Row,
    trials: &'a [Trial],
    keys: Vec<String>,
    /// The choice, if it is stored.
    stored: Option<Choice>,
    /// What each trial's seeds scored on validation; none if one diverged.
    validation: Vec<Option<Vec<f64>>>,
    /// Whether no trial is missing.
    whole: bool,
}

impl<'a> Found<'a> {
    fn new(work: &Work<'_>, row: &'a Row, trials: &'a [Trial]) -> Result<Self> {
        let keys: Vec<String> = trials.iter().map(|trial| work.key(&trial.config)).collect::<Result<_>>()?;
        let tell = |line: &str| work.shared.console.say(line);
        let stored = Choice::read(work.folder, row, &keys, &tell)?;
        Ok(Self { row, trials, keys, stored, validation: vec![Some(Vec::new()); trials.len()], whole: true })
    }

    /// The runs of a trial, one a seed; none if the choice is made.
    fn tasks(&self, trial: usize) -> impl Iterator<Item = Task<'a>> + use<'a> {
        let Self { row, trials, .. } = *self;
        let seeds = if self.stored.is_none() { seeds(row) } else { 0..0 };
        let config = trials.get(trial).map(|trial| &trial.config);
        let task = move |seed| {
            Some(Task { title: format!("{}, trial {trial}", row.title), config: config?, seed, fold: None })
        };
        seeds.filter_map(task)
    }

    /// Takes what came of a run; what is to be told if it failed. Divergence is an answer, not a failure.
    fn take(&mut self, trial: usize, task: &Task<'_>, outcome: Option<Result<RunResults>>) -> Option<String> {
        match outcome {
            Some(Ok(run)) => self.validation[trial].as_mut()?.push(scored(&run.outcome, self.row.config.train.select)),
            Some(Err(error)) if error.is_divergence() => self.validation[trial] = None,
            Some(Err(error)) if !error.is_stop() => {
                self.whole = false;
                return Some(task.failure(&error));
            }
            _ => self.whole = false,
        }
        None
    }

    /// The configuration to run, if it is known; a new choice is stored.
    fn choose(self, work: &Work<'_>, settled: &mut Settled) -> Result<Option<RunConfig>> {
        let Self { row, trials, keys, stored, validation, whole } = self;
        if trials.is_empty() {
            return Ok(Some(row.config.clone()));
        }
        let choice = match stored {
            Some(choice) => choice,
            None if !whole => return Ok(None),
            None => match Choice::among(&row.config, (trials, seeds(row)), keys, validation) {
                Ok(choice) => {
                    if !work.launcher.only_shows() {
                        choice.write(work.folder)?;
                    }
                    choice
                }
                Err(error) => {
                    settled.failures.push(format!("{}: {error}", row.title));
                    return Ok(None);
                }
            },
        };
        let config = trials.get(choice.chosen).map(|trial| trial.config.clone());
        settled.choices.push(choice);
        Ok(config)
    }
}

/// Seeds of each of a row's trials.
fn seeds(row: &Row) -> Range<u64> {
    row.tune.as_ref().map_or(0..0, Search::trial_seeds)
}

/// The only number that a choice sees.
fn scored(outcome: &Outcome, select: Select) -> f64 {
    outcome.validation.get(select.metric()).unwrap_or(f64::NAN)
}

fn place(folder: &Path, row: &str) -> PathBuf {
    folder.join(format!("{row}.search.json"))
}

fn unwritten(e: &serde_json::Error) -> Error {
    Error::invalid("search", e.to_string(), "report this fault with the command that met it")
}
