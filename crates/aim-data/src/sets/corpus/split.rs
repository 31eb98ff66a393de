//! Which sample trains, validates and tests.

use std::path::Path;

use aim_core::Result;

use super::Corpus;
use crate::{
    sets::manifest::inner::{Row, deal, hold_out},
    table::Part,
};

/// Splits rows by folds, or by the published lists; where these name no validation split, a part of training is held
/// out.
pub(super) fn split(rows: &mut [Row], settings: &Corpus, folder: &Path) -> Result<()> {
    if let Some(folds) = settings.split.folds() {
        return deal(rows, &folds, folder);
    }
    if !settings.layout.splits().contains(&Part::Validation) {
        hold_out(rows, settings.split.held_out, settings.split.seed, "corpus.held-out");
    }
    Ok(())
}
