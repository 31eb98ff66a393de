//! One file for several tables: the same rows on several sets.

use std::path::Path;

use aim_core::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_yaml::{Mapping, Value};

use crate::Registries;

use super::{Planned, Power, Protocol, Scale, Search, Source, TableConfig, planned::Seeds, run::typed};

/// A file that names sets. Each of them is a table of its own beside it, which becomes one here: its rows, then these.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Family {
    /// Begins the names of the tables.
    name: String,
    /// Begins their titles.
    title: Option<String>,
    /// Names of the files whose tables are extended, with a path if they lie elsewhere (`../grid`).
    sets: Vec<String>,
    /// Names of the sets' own rows that are taken; all, if left out.
    of_set: Option<Vec<String>>,
    /// The protocols under which each table is made.
    #[serde(default = "clean")]
    protocols: Vec<Protocol>,
    /// The recipes by which each table is made, in place of the tables' own.
    #[serde(default)]
    recipes: Vec<String>,
    /// Number of seeds, or `auto`, in place of the tables' own.
    #[schemars(with = "serde_json::Value", extend("anyOf" = [{"type": "integer", "minimum": 1}, {"const": "auto"}]))]
    seeds: Option<Seeds>,
    /// The comparisons that are tested in every table, in place of the tables' own.
    planned: Option<Planned>,
    /// What `seeds: auto` is to be enough for, in place of the tables' own.
    power: Option<Power>,
    /// What `sweep` searches for every row, in place of the tables' own.
    sweep: Option<Search>,
    /// The rows that every table gets beside its own.
    #[serde(default)]
    #[schemars(with = "Vec<serde_json::Value>")]
    rows: Vec<Mapping>,
}

fn clean() -> Vec<Protocol> {
    vec![Protocol::Clean]
}

/// Reads a file: its table, or one for each of the `sets` that it names, and for each of the `protocols`. `overrides`
/// are laid over what all rows of a table share.
///
/// In such a file a row may say `sets: […]` if it is not meant for all of them, and `each_encoder: {…}` for settings
/// that every encoder of a set gets, whatever its modality is called.
///
/// # Errors
/// Whatever is wrong with a file, with its line.
pub fn load_tables(
    path: &Path,
    scale: Scale,
    overrides: &[String],
    registries: &Registries,
) -> Result<Vec<TableConfig>> {
    let mut source = Source::load(path)?;
    if source.value.get("sets").is_none() {
        source.set_all(overrides)?;
        return Ok(vec![TableConfig::new(source, scale, registries)?]);
    }
    let family: Family = typed(source.value.clone(), "").map_err(|e| source.locate(e, None))?;
    family.check().map_err(|e| source.locate(e, None))?;
    let mut tables = Vec::new();
    for set in &family.sets {
        let mut base = Source::load(&path.with_file_name(format!("{set}.yaml")))?;
        base.set_all(overrides)?;
        let recipes = family.recipes.iter().map(Some);
        for recipe in if family.recipes.is_empty() { vec![None] } else { recipes.collect() } {
            for protocol in &family.protocols {
                tables.push(family.table(set, (recipe, *protocol), base.clone(), (&source, scale), registries)?);
            }
        }
    }
    Ok(tables)
}

impl Family {
    fn check(&self) -> Result<()> {
        let none = [("sets", self.sets.is_empty()), ("protocols", self.protocols.is_empty())];
        if let Some((place, _)) = none.into_iter().find(|(_, empty)| *empty) {
            return Err(Error::invalid(
                place,
                "is empty, so that there is no table to make",
                "name one, or leave it out",
            ));
        }
        let sets = |row: &Mapping| row.get("sets").and_then(Value::as_sequence).cloned().unwrap_or_default();
        for (i, row) in self.rows.iter().enumerate() {
            if let Some(wrong) =
                sets(row).iter().find(|s| !s.as_str().is_some_and(|s| self.sets.iter().any(|o| o == s)))
            {
                let wrong = serde_yaml::to_string(wrong).unwrap_or_default();
                let problem = format!("{} is none of this file's sets", wrong.trim_end());
                return Err(Error::unknown(format!("rows[{i}].sets"), problem, &self.sets));
            }
        }
        Ok(())
    }

    fn table(
        &self,
        set: &str,
        (recipe, protocol): (Option<&String>, Protocol),
        mut base: Source,
        (source, scale): (&Source, Scale),
        registries: &Registries,
    ) -> Result<TableConfig> {
        let mut suffix = String::new();
        if let Some(recipe) = recipe {
            base.set(&format!("recipe={recipe}"))?;
            base.recipe_of(source);
            suffix = format!("-{}", recipe.trim_end_matches(".yaml").replace(['/', '\\'], "-"));
        }
        if !protocol.is_clean() {
            base.set(&format!("protocol={}", protocol.name()))?;
            suffix = format!("{suffix}-{}", protocol.name());
        }
        // The rows keep their places, so that errors find their lines.
        let mut both = source.clone();
        both.value = base.value.clone();
        both.recipe_of(&base);
        if !both.value.is_mapping() {
            return Err(Error::invalid(format!("{set}.yaml"), "is no table of keys", "give the path of a table"));
        }
        both.value["rows"] = self.rows.iter().map(|row| Value::Mapping(own(row, &base.value))).collect();
        let rows =
            TableConfig::rows_of(both, scale, registries, |i| self.rows.get(i).is_none_or(|row| meant_for(row, set)))?;
        let baseline = base.value.get("baseline").and_then(Value::as_str).map(str::to_owned);
        let mut table = TableConfig::new(base, scale, registries)?;
        table.title = format!("{}: {}", self.title.as_ref().unwrap_or(&self.name), table.title);
        let short = set.rsplit('/').next().unwrap_or(set);
        table.name = format!("{}-{short}{suffix}", self.name);
        (table.family, table.set) = (Some(self.name.clone()), Some(short.into()));
        self.choose(set, &mut table).map_err(|e| source.locate(e, None))?;
        table.rows.extend(rows);
        table.sweep = self.sweep.clone().or(table.sweep);
        table.planned = self.planned.clone().or(table.planned);
        table.power = self.power.unwrap_or(table.power);
        if let Some(seeds) = self.seeds.filter(|_| scale == Scale::Normal) {
            table.set_seeds(seeds);
        }
        self.check_left_out(set, baseline.as_ref(), &table)
            .and_then(|()| table.check())
            .map_err(|e| source.locate(e, None))?;
        Ok(table)
    }

    /// Leaves a set the rows of its own that are taken.
    fn choose(&self, set: &str, table: &mut TableConfig) -> Result<()> {
        let Some(names) = &self.of_set else { return Ok(()) };
        if let Some(name) = names.iter().find(|name| table.rows.iter().all(|row| row.config.name != **name)) {
            let known = table.rows.iter().map(|row| &row.config.name);
            return Err(Error::unknown("of_set", format!("{set} has no row `{name}`"), known));
        }
        table.rows.retain(|row| names.contains(&row.config.name));
        Ok(())
    }

    /// Checks that no row is left out which the set's own file names as baseline or in its plan.
    fn check_left_out(&self, set: &str, baseline: Option<&String>, table: &TableConfig) -> Result<()> {
        let planned = table.planned.iter().filter(|_| self.planned.is_none()).flat_map(Planned::rows);
        let lacks = |name: &&String| table.rows.iter().all(|row| row.config.name != **name);
        baseline.into_iter().chain(planned).find(lacks).map_or(Ok(()), |name| {
            let problem = format!("leaves out `{name}`, which {set} compares with");
            Err(Error::invalid("of_set", problem, "add it, or say here what is `planned`"))
        })
    }
}

fn meant_for(row: &Mapping, set: &str) -> bool {
    let Some(Value::Sequence(sets)) = row.get("sets") else { return true };
    sets.iter().any(|s| s.as_str() == Some(set))
}

/// A row in the words of an ordinary table.
fn own(row: &Mapping, base: &Value) -> Mapping {
    let mut row = row.clone();
    row.remove("sets");
    if let Some(each) = row.remove("each_encoder") {
        let names = base["model"]["encoders"].as_mapping().into_iter().flat_map(Mapping::keys);
        let encoders: Mapping = names.map(|name| (name.clone(), each.clone())).collect();
        let model = row.entry("model".into()).or_insert_with(|| Value::Mapping(Mapping::new()));
        if let Value::Mapping(model) = model {
            model.insert("encoders".into(), Value::Mapping(encoders));
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standard;

    fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    const SET: &str = "name: A\ndata: {name: bundle, train: a, validation: b, test: c}\nmodel: {encoders: {x: {name: mlp, widths: [2]}, y: {name: mlp, widths: [2]}}}\n\
         seeds: 3\nrows:\n  - {name: joint, method: joint}\n";

    fn family(rows: &str) -> Result<Vec<TableConfig>> {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a.yaml", &SET.replace('A', "a"));
        write(folder.path(), "b.yaml", &SET.replace('A', "b"));
        let file = write(folder.path(), "all.yaml", &format!("name: all\nsets: [a, b]\nseeds: 2\nrows:\n{rows}"));
        load_tables(&file, Scale::Normal, &[], standard())
    }

    #[test]
    fn each_set_becomes_a_table_with_its_own_rows_and_these() {
        let tables = family(
            "  - {name: only-b, sets: [b], method: mmcosine}\n  - {name: lora, each_encoder: {lora: {rank: 1}}, method: lora}\n",
        );
        let tables = tables.unwrap();
        let names = |t: &TableConfig| t.rows.iter().map(|r| r.config.name.clone()).collect::<Vec<_>>();
        assert_eq!(tables.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["all-a", "all-b"]);
        assert_eq!(names(&tables[0]), ["joint", "lora"]);
        assert_eq!(names(&tables[1]), ["joint", "only-b", "lora"]);
        assert!(tables.iter().all(|t| t.seeds == 2));
        let encoders = &tables[0].rows[1].config.model.encoders;
        assert!(encoders.len() == 2 && encoders.values().all(|e| e.low_rank().is_some()));
    }

    #[test]
    fn a_file_of_no_table_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a.yaml", &SET.replace('A', "a"));
        let of = |sets: &str, more: &str| {
            let text = format!("name: all\nsets: [{sets}]\n{more}");
            load_tables(&write(folder.path(), "all.yaml", &text), Scale::Normal, &[], standard())
        };
        assert_eq!(of("a", "").unwrap().len(), 1);
        let row = "rows: [{name: agm, method: agm, sets: [base]}]";
        for (sets, more, wanted) in [
            ("", "", "all.yaml:2: sets: is empty, so that there is no table to make; name one, or leave it out"),
            ("a", "protocols: []", "all.yaml:3: protocols: is empty"),
            ("a", row, "all.yaml:3: rows[0].sets: base is none of this file's sets; use a"),
        ] {
            let message = of(sets, more).unwrap_err().to_string();
            assert!(message.contains(wanted), "{message}");
        }
    }

    #[test]
    fn a_file_may_lie_elsewhere_and_take_some_rows_of_a_set() {
        let folder = tempfile::tempdir().unwrap();
        let rows = "  - {name: joint, method: joint}\n  - {name: ogm, method: ogm}\n";
        write(folder.path(), "a.yaml", &SET.replace('A', "a").replace("  - {name: joint, method: joint}\n", rows));
        std::fs::create_dir(folder.path().join("study")).unwrap();
        let of = |row: &str| {
            let text = format!("name: few\nsets: [../a]\nof_set: [{row}]\nrows:\n  - {{name: agm, method: agm}}\n");
            load_tables(&write(&folder.path().join("study"), "few.yaml", &text), Scale::Normal, &[], standard())
        };
        let tables = of("ogm").unwrap();
        let names: Vec<&str> = tables[0].rows.iter().map(|row| row.config.name.as_str()).collect();
        assert_eq!(
            (tables[0].name.as_str(), tables[0].set.as_deref(), names),
            ("few-a", Some("a"), vec!["ogm", "agm"])
        );
        let message = of("ogn").unwrap_err().to_string();
        assert!(message.contains("few.yaml:3: of_set: ../a has no row `ogn`; use one of joint, ogm"), "{message}");
        // What the set compares with must be there, unless it is said here what is compared.
        let own = |extra: &str| {
            let set = SET.replace('A', "a").replace("  - {name: joint, method: joint}\n", rows);
            write(folder.path(), "a.yaml", &format!("{set}{extra}"));
        };
        own("baseline: joint\n");
        let message = of("ogm").unwrap_err().to_string();
        assert!(message.contains("few.yaml:3: of_set: leaves out `joint`, which ../a compares with"), "{message}");
        own("planned: {of: ogm, against: [joint]}\n");
        assert!(of("ogm").unwrap_err().to_string().contains("of_set: leaves out `joint`"));
        assert!(of("ogm]\nplanned: {of: agm, against: [ogm]}\nrecipes: [").is_ok());
    }

    #[test]
    fn rows_of_a_family_have_the_folds_of_its_set() {
        let folder = tempfile::tempdir().unwrap();
        let of = |row: &str| {
            let encoders = "{x: {name: mlp, widths: [2]}, y: {name: mlp, widths: [2]}}";
            let modalities = "{x: {array: {file: x.npy}}, y: {array: {file: y.npy}}}";
            let set = format!(
                "name: a\ndata: {{name: manifest, file: m.csv, modalities: {modalities}, folds: {{folds: 4}}}}\n\
                 model: {{encoders: {encoders}}}\nfolds: all\nrows:\n  - {{name: joint, method: joint}}\n"
            );
            write(folder.path(), "a.yaml", &set);
            let text = format!("name: all\nsets: [a]\nrows:\n  - {{name: b, method: joint{row}}}\n");
            load_tables(&write(folder.path(), "all.yaml", &text), Scale::Normal, &[], standard())
        };
        assert_eq!(of("").unwrap()[0].folds, Some(4));
        let message = of(", data: {folds: {folds: 3}}").unwrap_err().to_string();
        assert!(message.contains("another number of folds than the 4"), "{message}");
        let message = of(", tune: {grid: {optimizer.lr: [0.1, 0.2]}}").unwrap_err().to_string();
        assert!(message.contains("searches on one fold"), "{message}");
    }

    #[test]
    fn errors_name_the_line_of_the_row() {
        let say = |rows: &str| family(rows).unwrap_err().to_string();
        assert!(say("  - {name: m, method: {name: aim, alpa: 1}}\n").contains("all.yaml:5: method.alpa"));
        assert!(say("  - {name: m, sets: [c], method: joint}\n").contains("all.yaml:5: rows[0].sets: c is none"));
        assert!(say("  - {name: joint, method: joint}\n").contains("`joint` is there twice"));
    }
}
