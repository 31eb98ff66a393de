//! Arrays that were submitted, as they stand in a table's folder.

use std::{
    collections::HashMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};
use aim_train::run::write_atomically;

use crate::{
    commands,
    queue::{Key, Queue},
    tasks::{self, Item},
};

/// An array.
pub(crate) struct Array {
    pub folder: PathBuf,
    /// Name of its job.
    pub name: String,
    /// Number of its job; none if it was not submitted, as far as is known.
    pub job: Option<u64>,
    pub tasks: Vec<Vec<Item>>,
}

/// A task of an array: what was to be made of an item last.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub array: &'a Array,
    pub key: Key,
}

impl Attempt<'_> {
    /// The task as Slurm writes it.
    pub fn words(&self) -> String {
        format!("{}_{}", self.key.0, self.key.1)
    }

    /// Last lines of what the task said.
    pub fn log(&self) -> Vec<String> {
        last_lines(&self.array.folder.join(format!("{}.log", self.key.1)))
    }
}

/// Last lines of a file, as far as it can be read.
pub(crate) fn last_lines(path: &Path) -> Vec<String> {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(5)..].iter().map(|line| (*line).to_owned()).collect()
}

/// Where a table's arrays stand.
fn folder(table: &Path) -> PathBuf {
    table.join("slurm")
}

/// Whether anything of a table was submitted.
pub(crate) fn any(table: &Path) -> bool {
    folder(table).exists()
}

/// The name of an array's job, which no other table's has.
fn name(table: &Path, number: &str) -> String {
    let short = table.file_name().unwrap_or_default().to_string_lossy();
    let path = std::path::absolute(table).unwrap_or_else(|_| table.into());
    format!("{short}.{number}.{:08x}", crc32fast::hash(path.as_os_str().as_encoded_bytes()))
}

/// All arrays of a table, first to last. One of which it is not written that it was submitted is looked for in the
/// queue.
pub(crate) fn all(table: &Path, queue: &Queue) -> Result<Vec<Array>> {
    let place = folder(table);
    let entries = match fs::read_dir(&place) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| Error::io(&place, e))?,
    };
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    folders.into_iter().filter_map(|folder| read(table, folder, queue).transpose()).collect()
}

/// An array; none if its folder was not finished.
fn read(table: &Path, folder: PathBuf, queue: &Queue) -> Result<Option<Array>> {
    let text = |file: &str| match fs::read_to_string(folder.join(file)) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        text => text.map(Some).map_err(|e| Error::io(folder.join(file), e)),
    };
    let Some(list) = text("tasks.tsv")? else { return Ok(None) };
    let name = name(table, &folder.file_name().unwrap_or_default().to_string_lossy());
    let job = text("job")?.and_then(|number| number.trim().parse().ok()).or_else(|| queue.job(&name));
    let tasks = tasks::parse(&folder.join("tasks.tsv"), &list)?;
    Ok(Some(Array { folder, name, job, tasks }))
}

/// The last attempt at every run and preparation, by the folder of what was to be made.
pub(crate) fn attempts(arrays: &[Array]) -> HashMap<&Path, Attempt<'_>> {
    let mut all = HashMap::new();
    for (array, job) in arrays.iter().filter_map(|array| Some((array, array.job?))) {
        for (task, items) in array.tasks.iter().enumerate() {
            all.extend(items.iter().map(|item| (item.made(), Attempt { array, key: (job, task) })));
        }
    }
    all
}

/// A new array of a table, with a folder of its own.
pub(crate) fn new(table: &Path, tasks: &[Vec<Item>]) -> Result<Array> {
    let place = folder(table);
    fs::create_dir_all(&place).map_err(|e| Error::io(&place, e))?;
    let numbers = fs::read_dir(&place).map_err(|e| Error::io(&place, e))?.flatten();
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let number = format!("{:04}", numbers.filter_map(number).max().unwrap_or_default() + 1);
    let folder = place.join(&number);
    fs::create_dir(&folder).map_err(|e| Error::io(&folder, e))?;
    let array = Array { name: name(table, &number), folder, job: None, tasks: tasks.to_vec() };
    write_atomically(&array.folder.join("tasks.tsv"), tasks::table(tasks).as_bytes())?;
    Ok(array)
}

impl Array {
    /// Submits it, with these options of its own. What Slurm refuses leaves no folder.
    pub fn submit(&mut self, script: &str, own: &[String]) -> Result<u64> {
        let path = self.folder.join("job.sh");
        let submit = || {
            write_atomically(&path, script.as_bytes())?;
            // An answer may be lost on its way: then the queue has the job all the same.
            commands::submit(&path, own)
                .or_else(|error| Queue::read().ok().and_then(|q| q.job(&self.name)).ok_or(error))
        };
        let job = submit().inspect_err(|error| {
            // Where Slurm did not answer the job may still appear, and is then found by its name.
            if !commands::is_silent(error) {
                // Best effort: a folder without a job is an array that nobody waits for.
                drop(fs::remove_dir_all(&self.folder));
            }
        })?;
        self.job = Some(job);
        write_atomically(&self.folder.join("job"), format!("{job}\n").as_bytes())?;
        Ok(job)
    }

    /// Whether a task of it waits or runs.
    pub fn is_alive(&self, queue: &Queue) -> bool {
        self.job.is_some_and(|job| (0..self.tasks.len()).any(|task| queue.is_alive((job, task), &self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(folder: &str) -> Item {
        Item { folder: folder.into(), preparation: None, title: folder.into() }
    }

    #[test]
    fn the_last_attempt_counts_and_an_array_without_a_job_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("test");
        let first = new(&table, &[vec![item("a")], vec![item("b"), item("c")]]).unwrap();
        fs::write(first.folder.join("job"), "12\n").unwrap();
        let second = new(&table, &[vec![item("c")]]).unwrap();
        assert!(second.folder.ends_with("slurm/0002") && second.name.starts_with("test.0002."));
        fs::write(second.folder.join("job"), "13\n").unwrap();
        new(&table, &[vec![item("a")]]).unwrap();
        fs::create_dir(table.join("slurm/0004")).unwrap();
        let arrays = all(&table, &Queue::default()).unwrap();
        assert_eq!(arrays.iter().map(|array| array.job).collect::<Vec<_>>(), [Some(12), Some(13), None]);
        let attempts = attempts(&arrays);
        let of = |name: &str| attempts.get(Path::new(name)).map(Attempt::words);
        assert_eq!(["a", "b", "c", "d"].map(of), [Some("12_0".into()), Some("12_1".into()), Some("13_0".into()), None]);
    }
}
