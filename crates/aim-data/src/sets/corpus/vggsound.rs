//! VGGSound: `vggsound.csv` with video, start second, class and split.

use std::path::Path;

use aim_core::Result;

use super::lists::{Listed, Sample, field, read};
use crate::{files::broken, table::Part};

/// Clips are named `<video>_<start of six digits>`; `{part}` is train or test.
pub(super) fn list(folder: &Path) -> Result<Listed> {
    let path = folder.join("vggsound.csv");
    let mut samples = vec![];
    for record in read(&path, b',')? {
        let of = |at| field(&record, at, &path);
        let (video, start, class, split) = (of(0)?, of(1)?, of(2)?, of(3)?);
        let part = match split {
            "train" => Part::Train,
            "test" => Part::Test,
            other => return Err(broken(&path, format!("split `{other}` is neither train nor test"))),
        };
        samples.push(Sample::new(&format!("{video}_{start:0>6}"), class, part, video).word("part", split));
    }
    Ok(Listed { samples, class_names: None })
}
