//! Which runs a task makes: the table `tasks.tsv` of an array.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};

/// What the first line of a table says.
const HEAD: &str = "task\tfolder\tpreparation\trun";

/// Something that a task makes: a run, or a preparation that several runs share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The run's folder; for a preparation that of a run which needs it.
    pub folder: PathBuf,
    /// The preparation's own folder.
    pub preparation: Option<PathBuf>,
    /// The run in words.
    pub title: String,
}

impl Item {
    /// The folder that the result will lie in.
    pub fn made(&self) -> &Path {
        self.preparation.as_deref().unwrap_or(&self.folder)
    }
}

/// The table of an array.
pub(crate) fn table(tasks: &[Vec<Item>]) -> String {
    let line = |task: usize, Item { folder, preparation, title }: &Item| {
        let preparation = preparation.as_deref().unwrap_or(Path::new("")).display();
        format!("{task}\t{}\t{preparation}\t{}\n", folder.display(), title.replace(['\t', '\n'], " "))
    };
    let lines = tasks.iter().enumerate().flat_map(|(task, items)| items.iter().map(move |item| line(task, item)));
    format!("{HEAD}\n{}", lines.collect::<String>())
}

/// Understands a table.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Vec<Vec<Item>>> {
    let mut tasks: Vec<Vec<Item>> = Vec::new();
    for (at, line) in text.lines().enumerate().skip(1) {
        let damaged = || {
            let place = format!("{}:{}", path.display(), at + 1);
            Error::invalid(place, "is no line of a task", "delete the folder of this file, and submit the table again")
        };
        let mut cells = line.split('\t');
        let (Some(task), Some(folder), Some(preparation), Some(title), None) =
            (cells.next(), cells.next(), cells.next(), cells.next(), cells.next())
        else {
            return Err(damaged());
        };
        let task: usize = task.parse().map_err(|_| damaged())?;
        if task == tasks.len() {
            tasks.push(Vec::new());
        }
        let preparation = Some(preparation).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let item = Item { folder: folder.into(), preparation, title: title.into() };
        // Tasks stand in order, so that a line belongs to the last one or begins the next.
        let last = tasks.len().checked_sub(1).filter(|last| *last == task).ok_or_else(damaged)?;
        tasks[last].push(item);
    }
    Ok(tasks)
}

/// What a task of the table in a file makes.
///
/// # Errors
/// If the file cannot be read, or has no such task.
pub fn task(path: &Path, number: usize) -> Result<Vec<Item>> {
    let text = fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let mut tasks = parse(path, &text)?;
    if number >= tasks.len() {
        let problem = format!("has {} tasks, and none of number {number}", tasks.len());
        return Err(Error::invalid(path.display().to_string(), problem, "submit the table again"));
    }
    Ok(tasks.swap_remove(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let item = |folder: &str, preparation: Option<&str>| Item {
            folder: folder.into(),
            preparation: preparation.map(Into::into),
            title: "joint, seed 0".into(),
        };
        let tasks = vec![vec![item("/runs/a b/seed0", None)], vec![item("/x", Some("/prepared/x")), item("/y", None)]];
        let text = table(&tasks);
        assert_eq!(text.lines().nth(2), Some("1\t/x\t/prepared/x\tjoint, seed 0"));
        assert_eq!(parse(Path::new("t.tsv"), &text).unwrap(), tasks);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.tsv");
        fs::write(&path, &text).unwrap();
        assert_eq!(task(&path, 1).unwrap(), tasks[1]);
        assert!(task(&path, 2).unwrap_err().to_string().contains("has 2 tasks, and none of number 2"));
        for wrong in ["task\n0\ta", "task\nx\ta\tb\tc", "task\n3\ta\tb\tc", "task\n0\ta\tb\tc\td"] {
            let said = parse(Path::new("t.tsv"), wrong).unwrap_err().to_string();
            assert!(said.starts_with("t.tsv:2: is no line of a task"), "{wrong}: {said}");
        }
    }
}
