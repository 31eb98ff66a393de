//! CMU-MOSI: is the opinion said, heard and seen here a good one?
//!
//! The features of the training file were presumably learnt with its labels: what is cut from it for validation is told
//! apart far better than the test file.

use std::path::Path;

use aim_config::settings;
use aim_core::Result;

use crate::{
    Dataset, DatasetInfo, DatasetSettings,
    files::{broken, counted, folder},
    read::csv,
    table::{Array, Part, Share, Table},
};

static INFO: DatasetInfo = DatasetInfo {
    name: "mosi",
    about: "2,199 utterances of CMU-MOSI, 2 classes (utterance features of a public bc-LSTM repository). Test as in the \
            files; every 10th row of the training file is validation",
    modalities: "text [100], audio [73], video [100]",
    needs_root: true,
};

/// Modalities, each a folder of its own.
const MODALITIES: [&str; 3] = ["text", "audio", "video"];

settings! {
    /// Settings of `mosi`: none.
    pub struct Mosi {}
}

impl DatasetSettings for Mosi {
    fn info(&self) -> &'static DatasetInfo {
        &INFO
    }
    fn load(&self, root: Option<&Path>) -> Result<Dataset> {
        let folder = folder(root, "mosi")?;
        let path = |modality: &str| folder.join(modality);
        let (modalities, (labels, parts)) = csv::modalities(&MODALITIES, path, |name| utterances(&path(name), name))?;
        let mut table = Table {
            name: "mosi",
            modalities,
            class_names: vec!["negative".to_owned(), "positive".to_owned()],
            ids: (0..labels.len()).map(|row| format!("utterance{row}")).collect(),
            labels,
            parts,
        };
        table.standardise(Share::Feature);
        table.dataset()
    }
}

/// Label and split of each row.
type Rows = (Vec<u32>, Vec<Part>);

/// A modality's training file with its test file behind it.
fn utterances(folder: &Path, modality: &str) -> Result<(Array, Rows)> {
    let file = |split: &str| folder.join(format!("{modality}_{split}0.csv"));
    let (mut array, mut labels) = csv::features(&file("train"), false, 2)?;
    let (test, test_labels) = csv::features(&file("test"), false, 2)?;
    counted(&file("train"), labels.len(), 1_447, "rows")?;
    counted(&file("test"), test_labels.len(), 752, "rows")?;
    if test.shape != array.shape {
        let problem = format!("has {:?} features, but the training file {:?}", test.shape, array.shape);
        return Err(broken(&file("test"), problem));
    }
    let part = |row: usize| if row.is_multiple_of(10) { Part::Validation } else { Part::Train };
    let parts = (0..labels.len()).map(part).chain(test_labels.iter().map(|_| Part::Test)).collect();
    array.data.extend(test.data);
    labels.extend(test_labels);
    Ok((array, (labels, parts)))
}
