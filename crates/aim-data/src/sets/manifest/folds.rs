//! Splits by folds, a part of training that validates, and groups that stay in one split.

use std::{collections::BTreeMap, path::Path};

use aim_core::{Result, Rng};

use super::{Folds, faults::Faults, rows::Row};
use crate::{files::broken, table::Part};

/// Deals the samples, or whole groups of them, to folds of about equal size: in a keyed order, each to the fold that
/// has fewest samples so far. Fold `fold` becomes the test split, the next one validation.
pub(in crate::sets) fn deal(rows: &mut [Row], rule: &Folds, file: &Path) -> Result<()> {
    let mut members: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate() {
        let alone = || row.id.clone();
        let group = if rule.by_group { row.group.clone().unwrap_or_else(alone) } else { alone() };
        members.entry(group).or_default().push(i);
    }
    if members.len() < rule.folds {
        let what = if rule.by_group { "groups" } else { "samples" };
        return Err(broken(file, format!("has {} {what}, fewer than the {} folds", members.len(), rule.folds)));
    }
    let groups: Vec<Vec<usize>> = members.into_values().collect();
    let order = Rng::keyed(rule.seed, "manifest.folds").permutation(groups.len());
    let mut sizes = vec![0; rule.folds];
    for group in order.into_iter().map(|i| &groups[i]) {
        let fold = (0..rule.folds).min_by_key(|fold| sizes[*fold]).unwrap_or(0);
        sizes[fold] += group.len();
        let part = match (fold + rule.folds - rule.fold) % rule.folds {
            0 => Part::Test,
            1 => Part::Validation,
            _ => Part::Train,
        };
        group.iter().for_each(|i| rows[*i].part = part);
    }
    Ok(())
}

/// Moves a share of each class's training samples to validation, in a keyed order, rounded, so that a class of few
/// samples may have none there. Groups are not looked at.
pub(in crate::sets) fn hold_out(rows: &mut [Row], share: f64, seed: u64, key: &str) {
    let mut classes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate().filter(|(_, row)| row.part == Part::Train) {
        classes.entry(row.label.clone()).or_default().push(i);
    }
    let mut rng = Rng::keyed(seed, key);
    for members in classes.values() {
        let count = (share * members.len() as f64).round() as usize;
        let order = rng.permutation(members.len());
        order.into_iter().take(count).for_each(|k| rows[members[k]].part = Part::Validation);
    }
}

/// Refuses groups that are in two splits: one fault a group, at the first row outside the split that has most of it.
pub(super) fn check_groups(rows: &[Row], file: &Path) -> Result<()> {
    let mut groups: BTreeMap<&str, BTreeMap<Part, Vec<usize>>> = BTreeMap::new();
    for row in rows {
        if let Some(group) = &row.group {
            groups.entry(group).or_default().entry(row.part).or_default().push(row.line);
        }
    }
    let mut faults = Faults::default();
    for (group, parts) in groups.iter().filter(|(_, parts)| parts.len() > 1) {
        let most = parts.values().map(Vec::len).max();
        let home = parts.iter().find(|(_, lines)| Some(lines.len()) == most).map(|(part, _)| *part);
        let line = parts.iter().filter(|(part, _)| Some(**part) != home).filter_map(|(_, lines)| lines.first()).min();
        let told = |(part, lines): (&Part, &Vec<usize>)| format!("{} rows in {}", lines.len(), part.name());
        let told = parts.iter().map(told).collect::<Vec<_>>().join(", ");
        faults.add(
            line.copied().unwrap_or_default(),
            format!(
                "group `{group}` is in several splits ({told}): give all of it to one (or, where groups may be seen \
                 in training and tested, `groups_across_splits: true`)"
            ),
        );
    }
    faults.refuse(file)
}
