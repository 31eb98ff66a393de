//! CMU-MOSI and MOSEI: `label.csv` with video, clip, text, an annotation from -3 to 3 and a split.

use std::path::Path;

use aim_core::Result;

use super::{
    Labels,
    lists::{Listed, Sample, field, read},
};
use crate::{files::broken, table::Part};

/// Columns by name, in any order.
const COLUMNS: [&str; 5] = ["video_id", "clip_id", "text", "label", "mode"];

/// `{video}`, `{clip}` and `{text}` are those of the row.
pub(super) fn list(folder: &Path, labels: Labels) -> Result<Listed> {
    let path = folder.join("label.csv");
    let records = read(&path, b',')?;
    let (header, rows) = records.split_first().ok_or_else(|| broken(&path, "is empty"))?;
    let at = |name: &str| {
        let at = header.iter().position(|field| field.trim() == name);
        at.ok_or_else(|| broken(&path, format!("has no column `{name}`")))
    };
    let columns = COLUMNS.map(at).into_iter().collect::<Result<Vec<_>>>()?;
    let mut samples = vec![];
    for row in rows {
        let of = |k: usize| field(row, columns[k], &path);
        let (video, clip, text, value, mode) = (of(0)?, of(1)?, of(2)?, of(3)?, of(4)?);
        let value = value.parse().ok().filter(|value| (-3. ..=3.).contains(value));
        let value: f64 =
            value.ok_or_else(|| broken(&path, format!("{video}, clip {clip} has no label from -3 to 3")))?;
        let part = match mode {
            "train" => Part::Train,
            "valid" => Part::Validation,
            "test" => Part::Test,
            other => return Err(broken(&path, format!("mode `{other}` is none of train, valid and test"))),
        };
        let Some(class) = class(value, labels) else { continue };
        let sample = Sample::new(&format!("{video}/{clip}"), &class, part, video);
        samples.push(sample.word("video", video).word("clip", clip).word("text", text));
    }
    let class_names = match labels {
        Labels::Seven => (-3..=3).map(|value| value.to_string()).collect(),
        _ => vec!["negative".into(), if labels == Labels::Non0 { "positive" } else { "not negative" }.into()],
    };
    Ok(Listed { samples, class_names: Some(class_names) })
}

/// The class of an annotation, if the rule gives it one.
fn class(value: f64, labels: Labels) -> Option<String> {
    match labels {
        Labels::Seven => Some(format!("{}", value.round_ties_even() as i64)),
        Labels::Non0 if value == 0. => None,
        _ if value < 0. => Some("negative".into()),
        Labels::Non0 => Some("positive".into()),
        _ => Some("not negative".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_become_classes_by_three_rules() {
        let of = |value, labels| class(value, labels).unwrap_or_default();
        let rule = |labels| [-2.6, -0.2, 0., 0.4, 1.5].map(|value| of(value, labels));
        assert_eq!(rule(Labels::Has0), ["negative", "negative", "not negative", "not negative", "not negative"]);
        assert_eq!(rule(Labels::Non0), ["negative", "negative", "", "positive", "positive"]);
        // As NumPy rounds: halves to even.
        assert_eq!(rule(Labels::Seven), ["-3", "0", "0", "0", "2"]);
    }
}
