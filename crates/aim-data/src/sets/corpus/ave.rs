//! AVE: lists of `category&video&quality&start&end`.

use std::{collections::BTreeMap, path::Path};

use aim_core::Result;

use super::lists::{Listed, Sample, field, read};
use crate::table::Part;

/// A video that is listed twice is two samples, the second with `.2` behind its name; `{video}` is the video.
pub(super) fn list(folder: &Path) -> Result<Listed> {
    let (mut samples, mut times): (_, BTreeMap<String, usize>) = (vec![], BTreeMap::new());
    for (name, part) in [("trainSet.txt", Part::Train), ("valSet.txt", Part::Validation), ("testSet.txt", Part::Test)] {
        let path = folder.join(name);
        for record in read(&path, b'&')? {
            let (class, video) = (field(&record, 0, &path)?, field(&record, 1, &path)?);
            if video == "VideoID" {
                continue;
            }
            let time = times.entry(video.into()).and_modify(|n| *n += 1).or_insert(1);
            let id = if *time == 1 { video.to_owned() } else { format!("{video}.{time}") };
            samples.push(Sample::new(&id, class, part, video).word("video", video));
        }
    }
    Ok(Listed { samples, class_names: None })
}
