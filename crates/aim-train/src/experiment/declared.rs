//! When the planned comparisons of a table were declared: noted beside its runs, so that what was decided on after a
//! look at results shows.

use std::{fs, path::Path};

use aim_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Ledger, place::keyed};
use crate::{
    config::{Planned, TRIALS, TableConfig},
    run::write_atomically,
};

/// Name of the note in a table's folder.
const NOTE: &str = "planned.json";

/// When comparisons were declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Runs of the table that were done by then; searches and pilots do not count.
    pub runs_before: usize,
    /// How often they were others before.
    pub changes: usize,
}

/// What was declared, first to last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Declaration {
    planned: Planned,
    runs_before: usize,
}

impl Declaration {
    /// What was declared where runs are kept and then elsewhere, where it may have begun from that or anew.
    pub(super) fn joined(kept: Vec<Self>, here: Vec<Self>) -> Vec<Self> {
        let known = kept.iter().zip(&here).take_while(|(a, b)| a.planned == b.planned).count();
        let mut all = kept;
        all.extend(here.into_iter().skip(known));
        all.dedup_by(|later, earlier| later.planned == earlier.planned);
        all
    }
}

impl Declared {
    /// Notes what a table plans, if anything, unless that is noted; what a ledger brings was declared and done before.
    ///
    /// # Errors
    /// If the note is damaged or cannot be written.
    pub(super) fn note(table: &TableConfig, folder: &Path, ledger: Option<&Ledger>) -> Result<Option<Self>> {
        let Some(planned) = &table.planned else { return Ok(None) };
        let mut all = declarations(folder)?;
        if let Some(ledger) = ledger.filter(|_| all.is_empty()) {
            all.clone_from(&ledger.declared);
        }
        if all.last().is_none_or(|last| last.planned != *planned) {
            let runs_before = done(folder).max(ledger.map_or(0, |ledger| ledger.runs_of(0..TRIALS)));
            all.push(Declaration { planned: planned.clone(), runs_before });
        }
        if all.len() != declarations(folder)?.len() {
            let text = serde_json::to_string_pretty(&all)
                .map_err(|e| Error::invalid(NOTE, e.to_string(), "report this fault with the command that met it"))?;
            write_atomically(&folder.join(NOTE), text.as_bytes())?;
        }
        Ok(last(all).map(|(_, declared)| declared))
    }
}

/// What was declared last for the table of a folder, and when, if anything.
///
/// # Errors
/// If the note is damaged.
pub fn declared(folder: &Path) -> Result<Option<(Planned, Declared)>> {
    declarations(folder).map(last)
}

/// The declaration that counts.
fn last(mut all: Vec<Declaration>) -> Option<(Planned, Declared)> {
    let Declaration { planned, runs_before } = all.pop()?;
    Some((planned, Declared { runs_before, changes: all.len() }))
}

/// All that was declared for the table of a folder.
pub(super) fn declarations(folder: &Path) -> Result<Vec<Declaration>> {
    let path = folder.join(NOTE);
    let bytes = match fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes.map_err(|e| Error::io(&path, e))?,
    };
    serde_json::from_slice(&bytes).map_err(|e| {
        let remedy = "restore the file; without it nobody can tell when the comparisons were planned";
        Error::invalid(path.display().to_string(), format!("is damaged ({e})"), remedy)
    })
}

/// Runs that are done of seeds that are neither a search's nor a pilot's.
fn done(folder: &Path) -> usize {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let seed = |run: &Path| run.file_name()?.to_str()?.strip_prefix("seed")?.parse::<u64>().ok();
    let runs = entries(folder).filter(|path| keyed(path).is_some()).flat_map(|row| entries(&row).collect::<Vec<_>>());
    runs.filter(|run| seed(run).is_some_and(|seed| seed < TRIALS) && run.join("result.json").exists()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Scale, Source},
        standard,
    };

    fn table(against: &str) -> TableConfig {
        let text = format!(
            "name: t\ndata: {{name: synth-av}}\nplanned: {{of: aim, against: [{against}]}}\n\
             model: {{encoders: {{sound: {{name: mlp, widths: [2]}}, image: {{name: mlp, widths: [2]}}}}}}\n\
             rows:\n  - {{name: joint, method: joint}}\n  - {{name: ogm, method: ogm}}\n  - {{name: aim, method: aim}}\n"
        );
        TableConfig::new(Source::parse(Path::new("t.yaml"), &text).unwrap(), Scale::Normal, standard()).unwrap()
    }

    #[test]
    fn what_is_kept_elsewhere_was_declared_before() {
        let of = |names: &[&str]| -> Vec<Declaration> {
            let plan = |name: &&str| Planned { of: "aim".into(), against: vec![(*name).into()], test_to_train: None };
            names.iter().map(|name| Declaration { planned: plan(name), runs_before: 0 }).collect()
        };
        let joined = |kept: &[&str], here: &[&str]| Declaration::joined(of(kept), of(here));
        assert_eq!(joined(&["a"], &["a", "b"]), of(&["a", "b"]), "it went on from there");
        assert_eq!(joined(&["a"], &["b"]), of(&["a", "b"]), "it began anew");
        assert_eq!(joined(&["a", "b"], &["b"]), of(&["a", "b"]));
        assert_eq!((joined(&[], &["a"]), joined(&["a"], &[])), (of(&["a"]), of(&["a"])));
    }

    #[test]
    fn the_first_declaration_counts_and_changes_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let note = |against: &str| Declared::note(&table(against), folder.path(), None).unwrap();
        assert_eq!(note("joint"), Some(Declared { runs_before: 0, changes: 0 }));
        for (seed, row) in [(0, "joint.0000000a"), (2000, "joint.0000000a"), (1, "aim.0000000b"), (0, "other")] {
            let run = folder.path().join(row).join(format!("seed{seed}"));
            fs::create_dir_all(&run).unwrap();
            fs::write(run.join("result.json"), "").unwrap();
        }
        assert_eq!(note("joint"), Some(Declared { runs_before: 0, changes: 0 }), "it was there before the runs");
        assert_eq!(note("joint, ogm"), Some(Declared { runs_before: 2, changes: 1 }), "pilots do not count");
        let (planned, when) = declared(folder.path()).unwrap().unwrap();
        assert_eq!((planned.against, when.runs_before), (vec!["joint".to_owned(), "ogm".to_owned()], 2));
        assert_eq!(
            Declared::note(&TableConfig { planned: None, ..table("joint") }, folder.path(), None).unwrap(),
            None
        );
        fs::write(folder.path().join(NOTE), "[{").unwrap();
        assert!(declared(folder.path()).unwrap_err().to_string().contains("planned.json: is damaged"));
    }
}
