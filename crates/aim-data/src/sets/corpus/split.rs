//! Which sample trains, validates and tests.

use std::{collections::BTreeMap, path::Path};

use aim_core::{Result, Rng};

use super::Corpus;
use crate::{
    sets::manifest::inner::{Row, deal},
    table::Part,
};

/// Splits rows by folds, or by the published lists; where these name no validation split, a part of training is held
/// out.
pub(super) fn split(rows: &mut [Row], settings: &Corpus, folder: &Path) -> Result<()> {
    if let Some(folds) = settings.split.folds() {
        return deal(rows, &folds, folder);
    }
    if !settings.layout.splits().contains(&Part::Validation) {
        hold_out(rows, settings.split.held_out, settings.split.seed);
    }
    Ok(())
}

/// Moves a share of each class's training samples to validation, in a keyed order, rounded, so that a class of few
/// samples may have none there. Groups are not looked at.
fn hold_out(rows: &mut [Row], share: f64, seed: u64) {
    let mut classes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate().filter(|(_, row)| row.part == Part::Train) {
        classes.entry(row.label.clone()).or_default().push(i);
    }
    let mut rng = Rng::keyed(seed, "corpus.held-out");
    for members in classes.values() {
        let count = (share * members.len() as f64).round() as usize;
        let order = rng.permutation(members.len());
        order.into_iter().take(count).for_each(|k| rows[members[k]].part = Part::Validation);
    }
}
