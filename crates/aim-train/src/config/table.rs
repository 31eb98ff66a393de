//! The configuration of a table: what all runs share, and what each row changes.

use std::{collections::BTreeSet, path::Path};

use aim_core::{Error, Result};
use serde_yaml::Value;

use crate::Registries;

use super::{
    Planned, Power, Protocol, Recipe, RunConfig, Search, Source,
    file::{File, RowHead},
    planned::{PILOTS, Seeds, TRIALS},
    recipe::over,
    run::typed,
    source::merge,
};

/// A table of runs.
#[derive(Clone, Debug)]
pub struct TableConfig {
    /// Name of the table, of its folder and its report.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// Number of seeds.
    pub seeds: u64,
    /// The first seed: 0 but for pilots.
    pub first_seed: u64,
    /// Whether the number is still to be found out, by `power`.
    pub auto: bool,
    /// Where a number that was found out comes from, in words.
    pub seeds_from: Option<String>,
    /// What `auto` is to be enough for.
    pub power: Power,
    /// The comparisons that are tested; if there are none, every row is tested against the baseline.
    pub planned: Option<Planned>,
    /// Number of folds that each row is run on with each seed, where it is run on all.
    pub folds: Option<usize>,
    /// The row that the others are compared with.
    pub baseline: String,
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// What `sweep` searches for every row.
    pub sweep: Option<Search>,
    /// The family of tables that it belongs to, if any.
    pub family: Option<String>,
    /// The set that it is of, as the family names it.
    pub set: Option<String>,
    /// The recipe that its rows follow.
    pub recipe: Option<Recipe>,
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its label.
    pub title: String,
    /// Its runs.
    pub config: RunConfig,
    /// What is tried before, to choose the runs' configuration.
    pub tune: Option<Search>,
    /// Where it says something else than its recipe, in words.
    pub departures: Vec<String>,
}

/// How much of a table is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// As the file says.
    #[default]
    Normal,
    /// With the file's `quick` section laid over it.
    Quick,
    /// With the file's `full` section laid over it.
    Full,
}

impl TableConfig {
    /// Reads a table.
    ///
    /// # Errors
    /// Whatever is wrong with the file, with its line.
    pub fn load(path: &Path, scale: Scale, registries: &Registries) -> Result<Self> {
        Self::new(Source::load(path)?, scale, registries)
    }

    /// Understands a table.
    ///
    /// # Errors
    /// Whatever is wrong with it, with its line.
    pub fn new(mut source: Source, scale: Scale, registries: &Registries) -> Result<Self> {
        apply_scale(&mut source.value, scale).map_err(|e| source.locate(e, None))?;
        let file: File = typed(source.value.clone(), "").map_err(|e| source.locate(e, None))?;
        let recipe = file.recipe(&source)?;
        let rows = rows(&file, &source, recipe.as_ref(), registries, |_| true)?;
        let locate = |e| source.locate(e, None);
        if let Some(baseline) = file.baseline.as_ref().filter(|b| rows.iter().all(|row| row.config.name != **b)) {
            let names: Vec<&str> = rows.iter().map(|row| row.config.name.as_str()).collect();
            let (problem, remedy) =
                (format!("there is no row `{baseline}`"), format!("use one of {}", names.join(", ")));
            return Err(locate(Error::invalid("baseline", problem, remedy)));
        }
        let mut table = Self {
            title: file.title.unwrap_or_else(|| file.name.clone()),
            name: file.name,
            seeds: 0,
            first_seed: 0,
            auto: false,
            seeds_from: None,
            power: file.power,
            planned: file.planned,
            folds: file.folds.zip(rows.first()).map(|(_, row)| row.config.fold_count()).transpose().map_err(locate)?,
            baseline: file.baseline.unwrap_or_else(|| "joint".into()),
            rows,
            family: None,
            set: None,
            recipe,
            sweep: file.sweep,
        };
        table.set_seeds(file.seeds);
        table.check().map_err(locate)?;
        Ok(table)
    }

    /// The seeds of its rows.
    pub fn run_seeds(&self) -> std::ops::Range<u64> {
        self.first_seed..self.first_seed + self.seeds
    }

    /// Samples of a test part divided by those of a training part, in a table over folds: what its plan says, or 1 /
    /// (k - 2), because of k folds one tests and one validates; 1 / (k - 1) as published, where that one trains. None
    /// where there are no folds.
    pub fn test_to_train(&self) -> Option<f64> {
        let folds = self.folds?;
        let planned = self.planned.as_ref().and_then(|planned| planned.test_to_train);
        let all_train = self.rows.iter().all(|row| row.config.protocol == Protocol::AsPublished);
        let apart = if all_train { 1 } else { 2 };
        Some(planned.unwrap_or(1. / folds.saturating_sub(apart).max(1) as f64))
    }

    pub(super) fn set_seeds(&mut self, seeds: Seeds) {
        (self.seeds, self.auto) = match seeds {
            Seeds::Number(number) => (number, false),
            Seeds::Auto => (self.power.least, true),
        };
    }

    /// The pilot of a table: its planned rows with seeds of their own. Its runs lie beside the table's and do not count
    /// in it.
    ///
    /// # Errors
    /// If nothing is planned, `power` is out of range, or the table is over folds, of which pilots with other seeds
    /// tell nothing.
    pub fn pilot(&self) -> Result<Self> {
        let missing = || {
            let remedy = "say what is compared: `planned: {of: aim, against: [joint]}`";
            Error::invalid("planned", "is missing, so that there is nothing to find seeds for", remedy)
        };
        let planned = self.planned.as_ref().ok_or_else(missing)?;
        if self.folds.is_some() {
            return Err(Error::invalid("folds", "is all: pilots tell how seeds vary, not folds", "say how many seeds"));
        }
        self.power.check()?;
        let mut pilot = Self { first_seed: PILOTS, seeds: self.power.pilots, auto: false, ..self.clone() };
        pilot.rows.retain(|row| planned.rows().any(|name| *name == row.config.name));
        Ok(pilot)
    }

    /// The protocols of its rows.
    pub fn protocols(&self) -> BTreeSet<Protocol> {
        self.rows.iter().map(|row| row.config.protocol).collect()
    }

    /// Only the rows of a table, of those that `wanted` names by their places.
    pub(super) fn rows_of(
        mut source: Source,
        scale: Scale,
        registries: &Registries,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Vec<Row>> {
        apply_scale(&mut source.value, scale).map_err(|e| source.locate(e, None))?;
        let file: File = typed(source.value.clone(), "").map_err(|e| source.locate(e, None))?;
        let recipe = file.recipe(&source)?;
        rows(&file, &source, recipe.as_ref(), registries, wanted)
    }

    /// Refuses rows that read other data than their recipe's table: their numbers are not to be compared.
    fn check_recipe(&self) -> Result<()> {
        let (Some(recipe), Some(first)) = (&self.recipe, self.rows.first()) else { return Ok(()) };
        let other = self.rows.iter().position(|row| row.config.data != first.config.data);
        let Some(i) = other else { return Ok(()) };
        let problem = format!("is another than that of the other rows, which follow recipe {}", recipe.name);
        let remedy = "make a table of its own for it; a family with `recipes` sets tables side by side";
        Err(Error::invalid(format!("rows[{i}].data"), problem, remedy))
    }

    pub(super) fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        self.check_recipe()?;
        if self.seeds == 0 {
            return Err(Error::invalid("seeds", "is 0", "use at least 1; an interval needs 2"));
        }
        if self.seeds > TRIALS {
            let problem = format!("is {}, and seeds from {TRIALS} on are those of searches and pilots", self.seeds);
            return Err(Error::invalid("seeds", problem, format!("use at most {TRIALS}")));
        }
        if self.rows.is_empty() {
            return Err(Error::invalid("rows", "is missing or empty", "list the rows of the table, or use `train`"));
        }
        for (i, row) in self.rows.iter().enumerate() {
            if self.rows[..i].iter().any(|other| other.config.name == row.config.name) {
                let place = format!("rows[{i}].name");
                return Err(Error::invalid(place, format!("`{}` is there twice", row.config.name), "rename one"));
            }
        }
        self.power.check()?;
        if self.auto && self.planned.is_none() {
            let remedy = "say what is compared under `planned`, or how many seeds there are";
            return Err(Error::invalid("seeds", "is auto, but nothing is planned", remedy));
        }
        if self.auto && self.folds.is_some() {
            let remedy = "say how many seeds there are";
            return Err(Error::invalid("seeds", "is auto, which is worked out for seeds and not for folds", remedy));
        }
        self.check_planned()?;
        self.check_folds()?;
        self.sweep.as_ref().map_or(Ok(()), |sweep| sweep.check("sweep"))
    }

    /// Checks what is said of folds. All rows have as many, and no search, whose choice on the validation split of one
    /// fold would see the test split of another.
    fn check_folds(&self) -> Result<()> {
        let Some(count) = self.folds else {
            let ratio = self.planned.as_ref().and_then(|planned| planned.test_to_train);
            let remedy = "leave it out, or add `folds: all`";
            let problem = "is of folds whose training sets overlap, and the table is not over folds";
            return ratio.map_or(Ok(()), |_| Err(Error::invalid("planned.test_to_train", problem, remedy)));
        };
        for (i, row) in self.rows.iter().enumerate() {
            if row.config.fold_count()? != count {
                let problem = format!("has another number of folds than the {count} of the first row");
                return Err(Error::invalid(format!("rows[{i}].data"), problem, "give all rows the same"));
            }
            if row.tune.is_some() {
                let problem = "searches on one fold what is tested on the others";
                return Err(Error::invalid(format!("rows[{i}].tune"), problem, "leave it out in a table over folds"));
            }
        }
        Ok(())
    }

    fn check_planned(&self) -> Result<()> {
        let names: Vec<&str> = self.rows.iter().map(|row| row.config.name.as_str()).collect();
        self.planned.as_ref().map_or(Ok(()), |planned| planned.check(&names))
    }

    /// The table in which every row is searched as the `sweep` section says. Rows with a search of their own are left
    /// out, because they are the reference for rows without one.
    ///
    /// # Errors
    /// If there is no such section, or a row has no trials of its own to make.
    pub fn swept(mut self, registries: &Registries) -> Result<Self> {
        let missing = || Error::invalid("sweep", "is missing", "say what is tried, under `grid` and `random`");
        if self.folds.is_some() {
            let problem = "is all: a search on one fold would choose on what the others test";
            return Err(Error::invalid("folds", problem, "leave it out for a sweep"));
        }
        let search = self.sweep.take().ok_or_else(missing)?;
        self.rows.retain(|row| row.tune.is_none());
        self.check_planned()?;
        let configs: Vec<&RunConfig> = self.rows.iter().map(|row| &row.config).collect();
        search.check_settings("sweep", &configs, registries)?;
        for row in &mut self.rows {
            search.plan("sweep", &row.config, registries)?;
            row.tune = Some(search.clone());
        }
        self.name += "-sweep";
        self.family = self.family.map(|family| family + "-sweep");
        self.title += ", every row searched";
        Ok(self)
    }
}

/// Lays the `quick` or `full` section over the rest and removes both.
pub(super) fn apply_scale(value: &mut Value, scale: Scale) -> Result<()> {
    let Value::Mapping(map) = value else { return Ok(()) };
    let (quick, full) = (map.remove("quick"), map.remove("full"));
    let (name, patch) = match scale {
        Scale::Normal => return Ok(()),
        Scale::Quick => ("quick", quick),
        Scale::Full => ("full", full),
    };
    let remedy =
        || format!("write one, for instance `{name}: {{seeds: 2, train: {{epochs: 2}}}}`, or leave --{name} out");
    merge(value, &patch.ok_or_else(|| Error::invalid(name, "the table has no such section", remedy()))?);
    Ok(())
}

fn rows(
    file: &File,
    source: &Source,
    recipe: Option<&Recipe>,
    registries: &Registries,
    wanted: impl Fn(usize) -> bool,
) -> Result<Vec<Row>> {
    (0..file.rows.len()).filter(|i| wanted(*i)).map(|i| row(file, i, source, recipe, registries)).collect()
}

/// One row of a file, with an error's line.
pub(super) fn row(
    file: &File,
    i: usize,
    source: &Source,
    recipe: Option<&Recipe>,
    registries: &Registries,
) -> Result<Row> {
    let section = format!("rows[{i}]");
    let below = file.below(recipe);
    let read = || -> Result<Row> {
        let head: RowHead = typed(file.rows[i].clone(), "")?;
        let mut value = file.shared(&head.name);
        let mut changes = file.rows[i].clone();
        if let Value::Mapping(map) = &mut changes {
            map.remove("title");
            map.remove("name");
            map.remove("tune");
        }
        merge(&mut value, &changes);
        check_name(&head.name)?;
        let config = RunConfig::read(over(below, value)?, registries)?;
        if let Some(search) = &head.tune {
            search.check("tune")?;
            search.check_settings("tune", &[&config], registries)?;
            search.plan("tune", &config, registries)?;
        }
        let departures = recipe.map(|recipe| recipe.changes(&config, registries)).transpose()?;
        let departures = departures.unwrap_or_default();
        Ok(Row { departures, title: head.title.unwrap_or_else(|| head.name.clone()), config, tune: head.tune })
    };
    read().map_err(|e| source.locate_below(e, Some(&section), below))
}

/// Letters that a name may have: it becomes a folder's, with more behind it, and those have at most 255 bytes.
pub(super) const LONGEST: usize = 100;

/// Names become folders.
pub(super) fn check_name(name: &str) -> Result<()> {
    if name.len() > LONGEST {
        let problem = format!("has {} letters", name.len());
        return Err(Error::invalid("name", problem, format!("use at most {LONGEST}")));
    }
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && name.chars().all(fine) && !name.starts_with('.') {
        return Ok(());
    }
    Err(Error::invalid("name", format!("`{name}` cannot name a folder"), "use letters, digits, `-`, `_` and `.`"))
}
