//! UPMC Food-101: lists of picture, title and class.

use std::path::Path;

use aim_core::Result;

use super::lists::{Listed, Sample, field, read};
use crate::table::Part;

/// `{text}` is the title, `{file}` the picture's name, `{part}` train or test.
pub(super) fn list(folder: &Path) -> Result<Listed> {
    let mut samples = vec![];
    for (split, part) in [("train", Part::Train), ("test", Part::Test)] {
        let path = folder.join("texts").join(format!("{split}_titles.csv"));
        for record in read(&path, b',')? {
            let (file, title, class) =
                (field(&record, 0, &path)?, field(&record, 1, &path)?, field(&record, 2, &path)?);
            let id = file.strip_suffix(".jpg").unwrap_or(file);
            samples.push(Sample::new(id, class, part, id).word("text", title).word("file", file).word("part", split));
        }
    }
    Ok(Listed { samples, class_names: None })
}
