//! How many seeds a table needs, from pilots: what `seeds: auto` stands for.

use std::path::Path;

use aim_core::{Error, Result};
use aim_stats::{
    power::{Goal, sign_flip_power},
    summary::std,
    table::{Cell, Column, Table},
};
use aim_train::{
    config::{Planned, Power, TableConfig},
    experiment::Results,
    metrics::statistics,
    run::write_atomically,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::tables::accuracies;

/// Level of all planned tests together.
const ALPHA: f64 = 0.05;
/// Name of the file in a table's folder.
const FILE: &str = "power.json";

/// What pilots found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Checksum of what was asked: the planned rows with their settings, and what is to be found.
    asked: u32,
    /// Seeds of the pilots, which the table does not use.
    pilots: (u64, u64),
    /// One a planned comparison.
    comparisons: Vec<Comparison>,
    /// The number of seeds.
    pub seeds: u64,
    /// Chance with which the test that decides, sign flips, finds the difference with that many seeds in the comparison
    /// that varies most.
    chance: f64,
}

/// A planned comparison, as its pilots vary. What their mean difference is stays unsaid: it would be a look ahead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Comparison {
    against: String,
    std: f64,
    /// Seeds that the t test needs; none if the most are not enough.
    by_t: Option<usize>,
    /// Seeds that sign flips need.
    by_sign_flips: Option<usize>,
}

impl Found {
    /// Works out the seeds of a table from its pilots' results.
    ///
    /// # Errors
    /// If pilots failed or nothing is planned.
    pub fn of(table: &TableConfig, pilots: &Results) -> Result<Self> {
        let Some(planned) = &table.planned else { return Err(nothing_planned()) };
        let power = table.power;
        let goal = |std: f64| Goal {
            difference: power.difference,
            std,
            level: ALPHA / planned.against.len() as f64,
            power: power.chance,
            most: power.most as usize,
        };
        let compare = |against: &String| {
            let std = spread(pilots, planned, against)?;
            let by_t = goal(std).seeds_by_t().map_err(statistics)?;
            let from = by_t.unwrap_or(goal(std).most).saturating_sub(3).max(2);
            let flips = goal(std).seeds_by_sign_flips(from, &mut ChaCha8Rng::seed_from_u64(0));
            Ok(Comparison { against: against.clone(), std, by_t, by_sign_flips: flips.map_err(statistics)? })
        };
        let comparisons = planned.against.iter().map(compare).collect::<Result<Vec<Comparison>>>()?;
        let most = |c: &Comparison| Some(c.by_t?.max(c.by_sign_flips?) as u64);
        let needed = comparisons.iter().map(|c| most(c).unwrap_or(power.most)).max().unwrap_or(power.most);
        let seeds = needed.clamp(power.least, power.most);
        let widest = goal(comparisons.iter().map(|c| c.std).fold(0., f64::max));
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let chance = sign_flip_power(widest.difference, widest.std, seeds as usize, widest.level, &mut rng);
        let chance = chance.map_err(statistics)?;
        let run = pilots.table.run_seeds();
        Ok(Self { asked: asked(table)?, pilots: (run.start, run.end - 1), comparisons, seeds, chance })
    }

    /// Stores it in the table's folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, table: &TableConfig, out: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::invalid(FILE, e.to_string(), "report this fault with the command that met it"))?;
        write_atomically(&out.join(&table.name).join(FILE), text.as_bytes())
    }

    /// Where the number comes from, in words.
    fn words(&self) -> String {
        let (first, last) = self.pilots;
        let enough = self.comparisons.iter().all(|c| c.by_t.is_some() && c.by_sign_flips.is_some());
        let chance = format!(", the most that were allowed and too few: the chance is {:.0} %", 100. * self.chance);
        let few = if enough { "" } else { &chance };
        format!("found by `power` from pilots with the seeds {first} to {last}, which are not in the table{few}")
    }

    /// As a table.
    ///
    /// # Errors
    /// Never, unless a number is not finite.
    pub fn table(&self, of: &TableConfig) -> Result<Table> {
        let power = of.power;
        let mut table = Table::new(vec![
            Column::text("comparison"),
            Column::number("standard deviation of differences", 4),
            Column::text("seeds by t"),
            Column::text("seeds by sign flips"),
        ])
        .with_caption(format!("{}: {} seeds", of.title, self.seeds));
        let name = of.planned.as_ref().map_or("", |planned| planned.of.as_str());
        let seeds =
            |n: Option<usize>| Cell::text(n.map_or_else(|| format!("more than {}", power.most), |n| n.to_string()));
        for Comparison { against, std, by_t, by_sign_flips } in &self.comparisons {
            let name = Cell::text(format!("{name} - {against}"));
            table.push(vec![name, Cell::number(*std), seeds(*by_t), seeds(*by_sign_flips)]).map_err(statistics)?;
        }
        table.note(format!(
            "Seeds with which a difference of {} is found with a chance of {:.0} % at .05 / {}, Holm's first step: by the \
             noncentral t, and by a simulation of sign flips of normal differences. The larger number counts, of the comparison \
             that needs most, within {} to {}: {} seeds, with a chance of {:.0} % (sign flips, which decide) there. Of {} pilots the standard deviation \
             is itself only roughly known. Their mean differences are not shown, and they are not in the table.",
            power.difference,
            100. * power.chance,
            self.comparisons.len(),
            power.least,
            power.most,
            self.seeds,
            100. * self.chance,
            self.pilots.1 - self.pilots.0 + 1
        ));
        Ok(table)
    }
}

/// Gives a table whose `seeds` are `auto` the number that its pilots found; another is left as it is.
///
/// # Errors
/// If there are no pilots yet, or they are of other rows or settings.
pub fn settle(table: &mut TableConfig, out: &Path) -> Result<()> {
    if !table.auto {
        return Ok(());
    }
    let path = out.join(&table.name).join(FILE);
    let wrong = |problem: String, remedy: &str| Err(Error::invalid(path.display().to_string(), problem, remedy));
    let found: Found = match std::fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let remedy = "start the command `power` with the same table first, or give a number with --seeds";
            return wrong("is missing, which `seeds: auto` stands for".into(), remedy);
        }
        Err(e) => return Err(Error::io(&path, e)),
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(found) => found,
            Err(e) => return wrong(format!("is damaged ({e})"), "start the command `power` again"),
        },
    };
    if found.asked != asked(table)? {
        let remedy = "start the command `power` again; pilots that are still right are not made again";
        return wrong("is of other planned rows, settings or aims".into(), remedy);
    }
    (table.seeds, table.auto, table.seeds_from) = (found.seeds, false, Some(found.words()));
    Ok(())
}

/// Standard deviation of the pilots' differences.
fn spread(pilots: &Results, planned: &Planned, against: &str) -> Result<f64> {
    let row = |name: &str| pilots.rows.iter().find(|row| row.name == name);
    let (a, b) = row(&planned.of).zip(row(against)).map_or_else(Default::default, |(a, b)| accuracies(a, b));
    if a.len() < pilots.table.seeds as usize {
        let problem = format!(
            "only {} of {} pairs of pilots are done: {}",
            a.len(),
            pilots.table.seeds,
            pilots.failures.join("; ")
        );
        return Err(Error::invalid(format!("{} - {against}", planned.of), problem, "start the command again"));
    }
    std(&a.iter().zip(&b).map(|(a, b)| a - b).collect::<Vec<_>>()).map_err(statistics)
}

/// Checksum of what pilots are asked: the planned rows with all that decides them, and what is to be found.
fn asked(table: &TableConfig) -> Result<u32> {
    // Titles, the name of the table and the number of pilots decide nothing.
    let mut pilot = TableConfig { name: "pilot".into(), title: String::new(), seeds: 1, ..table.pilot()? };
    pilot.rows.iter_mut().for_each(|row| row.title.clear());
    let text = serde_json::to_string(&(pilot.resolved()?, Power { pilots: 0, ..table.power }))
        .map_err(|e| Error::invalid(FILE, e.to_string(), "report this fault with the command that met it"))?;
    Ok(crc32fast::hash(text.as_bytes()))
}

fn nothing_planned() -> Error {
    Error::invalid("planned", "is missing", "say what is compared: `planned: {of: aim, against: [joint]}`")
}
