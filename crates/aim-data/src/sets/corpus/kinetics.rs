//! Kinetics-Sounds: by the list of 31 classes, or by folders of classes.

use std::path::{Path, PathBuf};

use aim_core::Result;

use super::lists::{Listed, Sample, embedded, field};
use crate::{
    files::{broken, visible},
    table::Part,
};

const TRAIN: &[u8] = include_bytes!("../../../lists/kinetics-sounds-train.csv.gz");
const TEST: &[u8] = include_bytes!("../../../lists/kinetics-sounds-test.csv.gz");

/// Letters of a video's name, which begins a clip's.
const VIDEO: usize = 11;

/// The listed clips. Their classes are numbers, 0 to 30; the list does not say whose.
pub(super) fn list() -> Result<Listed> {
    let mut samples = vec![];
    let lists = [(TRAIN, "kinetics-sounds-train.csv", Part::Train), (TEST, "kinetics-sounds-test.csv", Part::Test)];
    for (list, name, part) in lists {
        for record in embedded(list, name)? {
            let (id, class) = (field(&record, 0, Path::new(name))?, field(&record, 2, Path::new(name))?);
            samples.push(clip(id, class, part));
        }
    }
    Ok(Listed { samples, class_names: Some((0..31).map(|class| class.to_string()).collect()) })
}

fn clip(id: &str, class: &str, part: Part) -> Sample {
    Sample::new(id, class, part, id.get(..VIDEO).unwrap_or(id))
        .word("part", if part == Part::Test { "test" } else { "train" })
}

/// Every clip that a folder of a class holds; `{visual}` is `train_img` or `val_img`, `{part}` train or test.
pub(super) fn folders(folder: &Path) -> Result<Listed> {
    let mut samples = vec![];
    for (visual, part) in [("train_img", Part::Train), ("val_img", Part::Test)] {
        let at = folder.join("visual").join(visual).join("Image-01-FPS");
        for class in names(&at)? {
            for id in names(&at.join(&class))? {
                samples.push(clip(&id, &class, part).word("visual", visual));
            }
        }
    }
    if samples.is_empty() { Err(broken(folder, "holds no clips")) } else { Ok(Listed { samples, class_names: None }) }
}

/// Names in a folder, sorted, without hidden ones.
fn names(folder: &Path) -> Result<Vec<String>> {
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(visible(folder)?.iter().filter_map(name).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_has_31_classes() {
        let listed = list().unwrap();
        let of = |part| listed.samples.iter().filter(|s| s.part == part).count();
        assert_eq!((of(Part::Train), of(Part::Test)), (14_799, 2_597));
        assert_eq!(listed.samples.iter().map(|s| &s.class).collect::<BTreeSet<_>>().len(), 31);
    }
}
