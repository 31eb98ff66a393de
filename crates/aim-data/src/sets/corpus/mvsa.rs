//! MVSA-Single: `labelResultAll.txt` with a post's number and the labels of its text and its picture.

use std::path::Path;

use aim_core::Result;

use super::{
    Labels,
    lists::{Listed, Sample, field, read},
};
use crate::{files::broken, table::Part};

pub(super) fn list(folder: &Path, labels: Labels) -> Result<Listed> {
    let path = folder.join("labelResultAll.txt");
    let mut samples = vec![];
    for record in read(&path, b'\t')?.iter().skip(1) {
        let (id, pair) = (field(record, 0, &path)?, field(record, 1, &path)?);
        let (text, image) =
            pair.split_once(',').ok_or_else(|| broken(&path, format!("`{pair}` are no two labels of post {id}")))?;
        if let Some(class) = class(text.trim(), image.trim(), labels) {
            samples.push(Sample::new(id, class, Part::Unused, id));
        }
    }
    Ok(Listed { samples, class_names: Some(["negative", "neutral", "positive"].map(String::from).to_vec()) })
}

/// The class of a post, if the rule gives it one.
fn class<'a>(text: &'a str, image: &'a str, labels: Labels) -> Option<&'a str> {
    match labels {
        Labels::Text => Some(text),
        _ if text == image => Some(text),
        Labels::Merge if text == "neutral" => Some(image),
        Labels::Merge if image == "neutral" => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_rules_by_hand() {
        let pairs =
            [("positive", "positive"), ("neutral", "negative"), ("positive", "neutral"), ("positive", "negative")];
        let of = |labels| pairs.map(|(text, image)| class(text, image, labels));
        assert_eq!(of(Labels::Agree), [Some("positive"), None, None, None]);
        assert_eq!(of(Labels::Merge), [Some("positive"), Some("negative"), Some("positive"), None]);
        assert_eq!(of(Labels::Text), [Some("positive"), Some("neutral"), Some("positive"), Some("positive")]);
    }
}
