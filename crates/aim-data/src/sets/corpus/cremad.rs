//! CREMA-D. Names are `<actor>_<sentence>_<emotion>_<level>`.

use std::path::Path;

use aim_core::Result;

use super::lists::{Listed, Sample, embedded, field};
use crate::table::Part;

const TRAIN: &[u8] = include_bytes!("../../../lists/cremad-train.csv.gz");
const TEST: &[u8] = include_bytes!("../../../lists/cremad-test.csv.gz");

/// Classes in the order of the released code.
const CLASSES: [&str; 6] = ["NEU", "HAP", "SAD", "FEA", "DIS", "ANG"];

pub(super) fn list() -> Result<Listed> {
    let mut samples = vec![];
    for (list, name, part) in [(TRAIN, "cremad-train.csv", Part::Train), (TEST, "cremad-test.csv", Part::Test)] {
        for record in embedded(list, name)? {
            let (id, class) = (field(&record, 0, Path::new(name))?, field(&record, 1, Path::new(name))?);
            let actor = id.split('_').next().unwrap_or(id);
            samples.push(Sample::new(id, class, part, actor));
        }
    }
    Ok(Listed { samples, class_names: Some(CLASSES.map(String::from).to_vec()) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_lists_hold_what_the_field_uses() {
        let listed = list().unwrap();
        let of = |part| listed.samples.iter().filter(move |s| s.part == part);
        assert_eq!((of(Part::Train).count(), of(Part::Test).count()), (6698, 744));
        for part in [Part::Train, Part::Test] {
            assert_eq!(of(part).map(|s| &s.group).collect::<BTreeSet<_>>().len(), 91);
        }
        let ids: BTreeSet<&str> = listed.samples.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids.len(), 7442);
    }
}
