//! The configuration of a table: what all runs share, and what each row changes.

use std::{collections::BTreeSet, path::Path};

use aim_core::{Error, Result};
use serde_yaml::Value;

use crate::Registries;

use super::{
    Planned, Power, Protocol, RunConfig, Search, Source,
    file::{File, RowHead},
    planned::{PILOTS, Seeds},
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
        let rows = rows(&file, &source, registries, |_| true)?;
        if let Some(baseline) = file.baseline.as_ref().filter(|b| rows.iter().all(|row| row.config.name != **b)) {
            let names: Vec<&str> = rows.iter().map(|row| row.config.name.as_str()).collect();
            let (problem, remedy) =
                (format!("there is no row `{baseline}`"), format!("use one of {}", names.join(", ")));
            return Err(source.locate(Error::invalid("baseline", problem, remedy), None));
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
            baseline: file.baseline.unwrap_or_else(|| "joint".into()),
            rows,
            family: None,
            set: None,
            sweep: file.sweep,
        };
        table.set_seeds(file.seeds);
        table.check().map_err(|e| source.locate(e, None))?;
        Ok(table)
    }

    /// The seeds of its rows.
    pub fn run_seeds(&self) -> std::ops::Range<u64> {
        self.first_seed..self.first_seed + self.seeds
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
    /// If nothing is planned.
    pub fn pilot(&self) -> Result<Self> {
        let missing = || {
            let remedy = "say what is compared: `planned: {of: aim, against: [joint]}`";
            Error::invalid("planned", "is missing, so that there is nothing to find seeds for", remedy)
        };
        let planned = self.planned.as_ref().ok_or_else(missing)?;
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
        rows(&file, &source, registries, wanted)
    }

    pub(super) fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        if self.seeds == 0 {
            return Err(Error::invalid("seeds", "is 0", "use at least 1; an interval needs 2"));
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
        if self.auto && self.planned.as_ref().is_some_and(|planned| planned.test_to_train.is_some()) {
            let remedy = "say how many seeds there are";
            return Err(Error::invalid("seeds", "is auto, which is worked out for seeds and not for folds", remedy));
        }
        self.check_planned()?;
        self.sweep.as_ref().map_or(Ok(()), |sweep| sweep.check("sweep"))
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

fn rows(file: &File, source: &Source, registries: &Registries, wanted: impl Fn(usize) -> bool) -> Result<Vec<Row>> {
    (0..file.rows.len()).filter(|i| wanted(*i)).map(|i| row(file, i, source, registries)).collect()
}

/// One row of a file, with an error's line.
pub(super) fn row(file: &File, i: usize, source: &Source, registries: &Registries) -> Result<Row> {
    let section = format!("rows[{i}]");
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
        let config = RunConfig::read(value, registries)?;
        if let Some(search) = &head.tune {
            search.check("tune")?;
            search.check_settings("tune", &[&config], registries)?;
            search.plan("tune", &config, registries)?;
        }
        Ok(Row { title: head.title.unwrap_or_else(|| head.name.clone()), config, tune: head.tune })
    };
    read().map_err(|e| source.locate(e, Some(&section)))
}

/// Names become folders.
fn check_name(name: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && name.chars().all(fine) && !name.starts_with('.') {
        return Ok(());
    }
    Err(Error::invalid("name", format!("`{name}` cannot name a folder"), "use letters, digits, `-`, `_` and `.`"))
}
