//! Searches: lists that are crossed and values that are drawn, in a row's `tune` section or a table's `sweep` section.

use std::collections::{BTreeMap, BTreeSet};

use aim_balance::MethodSpec;
use aim_config::{rounded, yaml::from_yaml};
use aim_core::{Error, Result, Rng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_yaml::Value;

use crate::Registries;

use super::{
    RunConfig,
    planned::TRIALS,
    source::{merge, nested},
};

/// The most trials of a row, far beyond what anyone can train.
const MOST: usize = 100_000;

/// What is tried for a row before its seeds are run.
///
/// Every point of the grid meets every draw. The first draw leaves the row as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Values that are crossed, by key (`optimizer.lr: [0.001, 0.01]`).
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Vec<serde_json::Value>>")]
    pub grid: BTreeMap<String, Vec<Value>>,
    /// Values that are drawn.
    #[serde(default)]
    pub random: Random,
    /// Seeds of each trial; the mean of their validation accuracies decides.
    #[serde(default = "one")]
    pub seeds: u64,
    /// The first of these seeds, which by default are none of the table's.
    #[serde(default = "apart")]
    pub first_seed: u64,
}

/// Draws, each of all keys at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Random {
    /// Number of draws; the first is the row as it is written.
    pub trials: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Settings of methods, drawn as their cards say, in every row whose method has them.
    pub method: Vec<String>,
    /// Whether each method's main setting is drawn, too, which its card names.
    pub main: bool,
    /// Intervals of other keys, for all rows.
    pub ranges: BTreeMap<String, Interval>,
}

/// Numbers between two ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
    /// Whether the logarithm is drawn evenly, not the number.
    #[serde(default)]
    pub log: bool,
}

/// One configuration that is tried.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What differs from the row as it is written.
    pub settings: BTreeMap<String, Value>,
    /// The run.
    pub config: RunConfig,
}

fn one() -> u64 {
    1
}

fn apart() -> u64 {
    TRIALS
}

impl Default for Random {
    fn default() -> Self {
        Self { trials: 1, seed: 0, method: Vec::new(), main: false, ranges: BTreeMap::new() }
    }
}

impl Search {
    /// The same number for every row.
    pub fn trials(&self) -> usize {
        self.grid.values().map(Vec::len).fold(self.random.trials, usize::saturating_mul)
    }

    /// Checks what does not depend on a row; `place` names the section in messages.
    ///
    /// # Errors
    /// With the key as place.
    pub fn check(&self, place: &str) -> Result<()> {
        let wrong =
            |key: String, problem: &str, remedy: &str| Err(Error::invalid(format!("{place}.{key}"), problem, remedy));
        if self.seeds == 0 || self.random.trials == 0 {
            let key = if self.seeds == 0 { "seeds" } else { "random.trials" };
            return wrong(key.into(), "is 0", "use a number of at least 1");
        }
        if self.first_seed.checked_add(self.seeds).is_none() {
            return wrong("first_seed".into(), "leaves no room for the seeds", "use a smaller number");
        }
        if let Some((key, _)) = self.grid.iter().find(|(_, values)| values.is_empty()) {
            return wrong(format!("grid.{key}"), "is empty", "list the values to try");
        }
        for (key, Interval { low, high, log }) in &self.random.ranges {
            if !(low.is_finite() && high.is_finite() && low < high && (!log || *low > 0.)) {
                let remedy = "low must be below high, and above 0 if log is true";
                return wrong(format!("random.ranges.{key}"), "is no range", remedy);
            }
        }
        if self.trials() > MOST {
            let problem = format!("makes more than {MOST} trials a row");
            return wrong("grid".into(), &problem, "use fewer `trials` or shorter lists");
        }
        if self.trials() < 2 {
            let remedy = "name values under `grid`, or `trials` of at least 2 under `random`";
            return wrong("grid".into(), "there is one trial only, so nothing is chosen", remedy);
        }
        Ok(())
    }

    /// Checks that every setting that is to be drawn is one of a method of these rows.
    ///
    /// # Errors
    /// Names the one that is not.
    pub fn check_settings(&self, place: &str, rows: &[&RunConfig], registries: &Registries) -> Result<()> {
        for setting in &self.random.method {
            let methods = &registries.methods;
            let drawn = |row: &&RunConfig| row.method.draw(methods, setting, &mut Rng::keyed(0, setting));
            let drawn: Vec<_> = rows.iter().map(drawn).collect::<Result<_>>()?;
            if drawn.iter().all(|(_, values)| values.is_empty()) {
                let problem = format!("no method here has a setting `{setting}` that can be drawn");
                return Err(Error::invalid(format!("{place}.random.method"), problem, "see `list methods`"));
            }
        }
        Ok(())
    }

    /// What is tried for a row: the same values for all rows, wherever these have the setting, and whatever is searched
    /// beside it.
    ///
    /// # Errors
    /// If a trial cannot work, or two are alike, because the row would then have fewer trials than others.
    pub fn plan(&self, place: &str, row: &RunConfig, registries: &Registries) -> Result<Vec<Trial>> {
        let mut trials = Vec::with_capacity(self.trials());
        let mut seen = BTreeSet::new();
        for point in self.points() {
            for draw in 0..self.random.trials {
                let number = trials.len();
                let wrong = |problem: String, remedy| {
                    Error::invalid(place, format!("trial {number} of `{}` {problem}", row.name), remedy)
                };
                let trial = self.trial(row, &point, draw, registries);
                let trial = trial.map_err(|e| wrong(format!("cannot work: {e}"), "correct what is tried"))?;
                let text = serde_yaml::to_string(&trial.config);
                if !seen.insert(text.map_err(|e| {
                    Error::invalid("config", e.to_string(), "report this fault with the command that met it")
                })?) {
                    let remedy = "for as many trials as other rows have, name a key that all have under random.ranges, \
                                  such as optimizer.lr, and put settings of few values into grid";
                    return Err(wrong("is the same as one before".into(), remedy));
                }
                trials.push(trial);
            }
        }
        Ok(trials)
    }

    /// The seeds of a trial.
    pub fn trial_seeds(&self) -> std::ops::Range<u64> {
        self.first_seed..self.first_seed + self.seeds
    }

    /// Settings of a row's methods that are drawn.
    fn settings(&self, row: &RunConfig, registries: &Registries) -> BTreeSet<String> {
        let main = if self.random.main { row.method.main_settings(&registries.methods) } else { Vec::new() };
        self.random.method.iter().cloned().chain(main.into_iter().map(Into::into)).collect()
    }

    /// Every combination of the grid's values; the last key varies fastest.
    fn points(&self) -> Vec<Vec<(&String, &Value)>> {
        let mut points = vec![Vec::new()];
        for (key, values) in &self.grid {
            let with = |point: &Vec<_>, value| point.iter().copied().chain([(key, value)]).collect();
            points = points.iter().flat_map(|p| values.iter().map(move |v| with(p, v))).collect();
        }
        points
    }

    fn trial(
        &self,
        row: &RunConfig,
        point: &[(&String, &Value)],
        draw: usize,
        registries: &Registries,
    ) -> Result<Trial> {
        let mut value = yaml(row)?;
        let mut settings = BTreeMap::new();
        let put = |whole: &mut Value, key: &str, new: &Value| merge(whole, &nested(key, new.clone()));
        for (key, new) in point {
            put(&mut value, key, new);
            settings.insert((*key).clone(), (*new).clone());
        }
        if draw > 0 {
            let rng = |key: &str| Rng::keyed(self.random.seed, &format!("{key}@{draw}"));
            for (key, interval) in &self.random.ranges {
                let new = Value::from(interval.draw(&mut rng(key)));
                put(&mut value, key, &new);
                settings.insert(key.clone(), new);
            }
            for setting in self.settings(row, registries) {
                let method = from_yaml(&value["method"], "method")?;
                let method = MethodSpec::read(&registries.methods, &method)?;
                let (method, drawn) = method.draw(&registries.methods, &setting, &mut rng(&setting))?;
                value["method"] = yaml(&method)?;
                for (key, new) in drawn {
                    settings.insert(key, yaml(&new)?);
                }
            }
        }
        Ok(Trial { settings, config: RunConfig::read(value, registries)? })
    }
}

fn yaml(value: &impl Serialize) -> Result<Value> {
    serde_yaml::to_value(value)
        .map_err(|e| Error::invalid("config", e.to_string(), "report this fault with the command that met it"))
}

impl Interval {
    fn draw(self, rng: &mut Rng) -> f64 {
        let Self { low, high, log } = self;
        let share = rng.uniform();
        let value = if log { low * (high / low).powf(share) } else { low + (high - low) * share };
        rounded(value).clamp(low, high)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Scale, Source, TableConfig};
    use crate::standard;

    const TABLE: &str = "name: t\ndata: {name: synth-av}\n\
        model: {encoders: {sound: {name: mlp, widths: [2]}, image: {name: mlp, widths: [2]}}}\n\
        rows:\n  - {name: joint, method: joint}\n  - {name: ogm, method: {name: ogm, alpha: 0.5}}\n  \
        - {name: both, method: [opm, ogm-ge]}\n";

    fn row(at: usize) -> RunConfig {
        let source = Source::parse(Path::new("t.yaml"), TABLE).unwrap();
        TableConfig::new(source, Scale::Normal, standard()).unwrap().rows[at].config.clone()
    }

    fn search(text: &str) -> Search {
        let search: Search = serde_yaml::from_str(text).unwrap();
        search.check("sweep").unwrap();
        search
    }

    fn tried(search: &Search, row: &RunConfig) -> Vec<String> {
        let text = |t: &Trial| serde_json::to_string(&t.settings).unwrap();
        search.plan("sweep", row, standard()).unwrap().iter().map(text).collect()
    }

    #[test]
    fn lists_are_crossed() {
        let search = search("grid: {train.batch: [8, 16], optimizer.lr: [0.1, 0.2, 0.3]}");
        let trials = search.plan("sweep", &row(0), standard()).unwrap();
        let of = |t: &Trial| (t.config.optimizer.lr(), t.config.train.batch);
        let all: Vec<_> = trials.iter().map(of).collect();
        assert_eq!(all, [(0.1, 8), (0.1, 16), (0.2, 8), (0.2, 16), (0.3, 8), (0.3, 16)]);
    }

    #[test]
    fn draws_begin_with_the_row_and_depend_on_key_and_number_alone() {
        let range = "ranges: {optimizer.lr: {low: 0.0001, high: 0.01, log: true}}";
        let search = |rest: &str| search(&format!("random: {{trials: 4, {range}, {rest}}}"));
        let (few, more) = (search(""), search("method: [alpha]"));
        let joint = tried(&few, &row(0));
        assert_eq!(joint[0], "{}");
        assert_eq!(tried(&more, &row(0)), joint, "joint has no alpha");
        for at in [1, 2] {
            let with = more.plan("sweep", &row(at), standard()).unwrap();
            let rates: Vec<_> = with.iter().map(|t| t.config.optimizer.lr()).collect();
            let alone: Vec<_> =
                few.plan("sweep", &row(0), standard()).unwrap().iter().map(|t| t.config.optimizer.lr()).collect();
            assert_eq!(rates, alone, "all rows try the same rates");
        }
        let alpha =
            |at: usize, name: &str| more.plan("sweep", &row(at), standard()).unwrap()[1].settings[name].as_f64();
        assert!(alpha(1, "ogm.alpha").is_some() && alpha(1, "ogm.alpha") == alpha(2, "ogm-ge.alpha"));
    }

    #[test]
    fn each_methods_main_setting_is_drawn_where_that_is_asked_for() {
        let range = "ranges: {optimizer.lr: {low: 0.0001, high: 0.01, log: true}}";
        let search = search(&format!("random: {{trials: 2, main: true, {range}}}"));
        let names = |at: usize| {
            let trials = search.plan("sweep", &row(at), standard()).unwrap();
            trials[1].settings.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(0), ["optimizer.lr"]);
        assert_eq!(names(1), ["ogm.alpha", "optimizer.lr"]);
        assert_eq!(names(2), ["ogm-ge.alpha", "opm.q_base", "optimizer.lr"]);
    }

    #[test]
    fn seeds_of_trials_are_apart_from_those_of_tables() {
        assert_eq!(search("{seeds: 2, grid: {optimizer.lr: [1, 2]}}").trial_seeds(), 1000..1002);
        assert_eq!(search("{first_seed: 0, grid: {optimizer.lr: [1, 2]}}").trial_seeds(), 0..1);
    }

    #[test]
    fn a_row_with_fewer_trials_than_others_is_refused() {
        let search = search("random: {trials: 3, method: [alpha]}");
        assert_eq!(search.plan("sweep", &row(1), standard()).unwrap().len(), 3);
        let error = search.plan("sweep", &row(0), standard()).unwrap_err().to_string();
        assert!(error.contains("sweep: trial 1 of `joint` is the same as one before"), "{error}");
    }

    #[test]
    fn what_cannot_work_is_named() {
        let say = |text: &str| {
            let search: Search = serde_yaml::from_str(text).unwrap();
            search
                .check("sweep")
                .and_then(|()| search.plan("sweep", &row(1), standard()).map(drop))
                .unwrap_err()
                .to_string()
        };
        assert!(say("{}").contains("there is one trial only"));
        assert!(say("grid: {optimizer.lr: []}").contains("sweep.grid.optimizer.lr: is empty"));
        assert!(say("{seeds: 0, grid: {optimizer.lr: [1]}}").contains("sweep.seeds: is 0"));
        let many = say("random: {trials: 18446744073709551615, ranges: {optimizer.lr: {low: 0.1, high: 1}}}");
        assert!(many.contains("sweep.grid: makes more than 100000 trials"), "{many}");
        let end = say("{first_seed: 18446744073709551615, grid: {optimizer.lr: [1, 2]}}");
        assert!(end.contains("sweep.first_seed: leaves no room"), "{end}");
        assert!(
            say("random: {trials: 2, ranges: {optimizer.lr: {low: 0, high: 1, log: true}}}").contains("is no range")
        );
        assert!(say("grid: {train.epochs: [1, 0]}").contains("trial 1 of `ogm` cannot work: train.epochs: is 0"));
    }
}
