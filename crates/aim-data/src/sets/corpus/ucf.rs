//! UCF-101: lists of `<class>/v_<class>_g<group>_c<clip>.avi`, with the class's number behind it in training.

use std::path::Path;

use aim_core::Result;

use super::lists::{Listed, Sample, field, read};
use crate::{files::broken, table::Part};

/// The first of the three published splits.
pub(super) fn list(folder: &Path) -> Result<Listed> {
    let mut samples = vec![];
    for (name, part) in [("trainlist01.txt", Part::Train), ("testlist01.txt", Part::Test)] {
        let path = folder.join("ucfTrainTestlist").join(name);
        for record in read(&path, b' ')? {
            let file = field(&record, 0, &path)?;
            let parts = file.split_once('/').and_then(|(class, clip)| Some((class, clip.strip_suffix(".avi")?)));
            let (class, id) = parts.ok_or_else(|| broken(&path, format!("`{file}` is no <class>/<clip>.avi")))?;
            let group = id.rsplit_once("_c").map_or(id, |(group, _)| group);
            samples.push(Sample::new(id, class, part, group));
        }
    }
    Ok(Listed { samples, class_names: None })
}
