//! How missing runs become arrays of tasks.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    profile::{Profile, Resources},
    tasks::Item,
};

/// A run or preparation that is to be handed over.
#[derive(Clone, Debug)]
pub(crate) struct Missing {
    pub item: Item,
    /// Name of its row.
    pub row: String,
    /// Seconds that it takes, if that is known.
    pub seconds: Option<f64>,
    /// Folders of shared preparations that it waits for.
    pub needs: Vec<PathBuf>,
}

/// Tasks that ask for the same, and wait for preparations or do not.
pub(crate) struct Class {
    pub resources: Resources,
    pub needs: Vec<PathBuf>,
    pub tasks: Vec<Vec<Item>>,
}

/// The classes of what is missing, each with its tasks, in which what is small goes together.
pub(crate) fn classes(missing: &[Missing], profile: &Profile) -> Vec<Class> {
    let mut kinds: BTreeMap<(bool, Resources), Vec<&Missing>> = BTreeMap::new();
    for one in missing {
        kinds.entry((!one.needs.is_empty(), profile.of_row(&one.row))).or_default().push(one);
    }
    let class = |((_, resources), members): ((bool, Resources), Vec<&Missing>)| {
        let mut needs: Vec<PathBuf> = members.iter().flat_map(|one| one.needs.iter().cloned()).collect();
        needs.sort();
        needs.dedup();
        Class { resources, needs, tasks: packed(&members, profile) }
    };
    kinds.into_iter().map(class).collect()
}

/// Tasks of as many runs as the profile says.
fn packed(members: &[&Missing], profile: &Profile) -> Vec<Vec<Item>> {
    let (mut tasks, mut seconds): (Vec<Vec<Item>>, f64) = (Vec::new(), 0.);
    let full = profile.minutes_per_task.map(|minutes| minutes.get() as f64 * 60.);
    let mut timed = true;
    for one in members {
        let fits = |task: &Vec<Item>| match (full, one.seconds) {
            (Some(full), Some(more)) if timed => seconds + more <= full,
            _ => one.seconds.is_some() == timed && task.len() < profile.runs_per_task.get(),
        };
        match tasks.last_mut().filter(|task| fits(task)) {
            Some(task) => task.push(one.item.clone()),
            None => {
                tasks.push(vec![one.item.clone()]);
                (seconds, timed) = (0., one.seconds.is_some());
            }
        }
        seconds += one.seconds.unwrap_or_default();
    }
    tasks
}

/// The throttle of each array of at most so many tasks, so that those of all classes together keep to one.
pub(crate) fn throttle(classes: &[Class], most: usize, at_once: Option<usize>) -> Option<usize> {
    let arrays: usize = classes.iter().map(|class| class.tasks.len().div_ceil(most)).sum();
    at_once.map(|all| (all / arrays.max(1)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(row: &str, seconds: Option<f64>, needs: &[&str]) -> Missing {
        let item = Item { folder: row.into(), preparation: None, title: row.into() };
        Missing { item, row: row.into(), seconds, needs: needs.iter().map(Into::into).collect() }
    }

    fn sizes(runs: &[Missing], profile: &str) -> Vec<Vec<usize>> {
        let classes = classes(runs, &serde_yaml::from_str(profile).unwrap());
        classes.iter().map(|class| class.tasks.iter().map(Vec::len).collect()).collect()
    }

    #[test]
    fn runs_share_tasks_by_number_or_by_time() {
        let timed: Vec<Missing> = [20., 20., 20., 50., 70., 10.].map(|s| missing("a", Some(s), &[])).into();
        assert_eq!(sizes(&timed, "{}"), [[1; 6]]);
        assert_eq!(sizes(&timed, "runs-per-task: 4"), [[4, 2]]);
        assert_eq!(sizes(&timed, "minutes-per-task: 1"), [[3, 1, 1, 1]], "60 s each; one run may take longer");
        let some: Vec<Missing> =
            [Some(20.), None, None, None, Some(20.), Some(20.)].map(|s| missing("a", s, &[])).into();
        assert_eq!(sizes(&some, "{minutes-per-task: 1, runs-per-task: 2}"), [[1, 2, 1, 2]]);
    }

    #[test]
    fn what_asks_for_the_same_and_waits_alike_is_an_array() {
        let runs =
            [missing("a", None, &[]), missing("b", None, &[]), missing("a", None, &["p"]), missing("c", None, &[])];
        let profile = serde_yaml::from_str("rows: {b: {gres: gpu:1}}").unwrap();
        let classes = classes(&runs, &profile);
        let of = |class: &Class| (class.resources.gres.clone(), class.needs.len(), class.tasks.len());
        let gpu = Some("gpu:1".to_owned());
        assert_eq!(classes.iter().map(of).collect::<Vec<_>>(), [(None, 0, 2), (gpu, 0, 1), (None, 1, 1)]);
    }

    #[test]
    fn all_arrays_share_the_throttle() {
        let of = |tasks: usize| Class { resources: Resources::default(), needs: vec![], tasks: vec![vec![]; tasks] };
        let classes = [of(95), of(7)];
        assert_eq!(throttle(&classes, 40, Some(20)), Some(5), "three arrays and one");
        assert_eq!(throttle(&classes[..1], 40, Some(20)), Some(6));
        assert_eq!(throttle(&classes, 1000, Some(20)), Some(10));
        assert_eq!(throttle(&classes, 10, Some(2)), Some(1), "none at all would never end");
        assert_eq!((throttle(&classes, 10, None), throttle(&[], 10, Some(3))), (None, Some(3)));
    }
}
