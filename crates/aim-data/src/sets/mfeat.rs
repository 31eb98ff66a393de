//! Multiple Features: six ways to describe a handwritten digit.

use std::path::Path;

use aim_config::settings;
use aim_core::Result;

use crate::{
    Dataset, DatasetInfo, DatasetSettings,
    files::{counted, folder},
    read::csv,
    table::{Part, Share, Table},
};

static INFO: DatasetInfo = DatasetInfo {
    name: "mfeat",
    about: "2,000 handwritten digits in six views (UCI Multiple Features, CC BY 4.0). Of the rows every 5th is test, the 2nd \
            of every 10 validation, the rest training",
    modalities: "fou [76], fac [216], kar [64], pix [240], zer [47], mor [6]",
    needs_root: true,
};

/// Fourier coefficients, profile correlations, Karhunen-Loeve coefficients, pixel averages, Zernike moments,
/// morphology.
const VIEWS: [&str; 6] = ["fou", "fac", "kar", "pix", "zer", "mor"];

settings! {
    /// Settings of `mfeat`: none.
    pub struct Mfeat {}
}

impl DatasetSettings for Mfeat {
    fn info(&self) -> &'static DatasetInfo {
        &INFO
    }
    fn load(&self, root: Option<&Path>) -> Result<Dataset> {
        let folder = folder(root, "mfeat")?;
        let path = |view: &str| folder.join(format!("mfeat-{view}.csv"));
        let (modalities, labels) = csv::modalities(&VIEWS, path, |view| csv::features(&path(view), true, 10))?;
        counted(&path(VIEWS[0]), labels.len(), 2_000, "rows")?;
        let mut table = Table {
            name: "mfeat",
            modalities,
            class_names: (0..10).map(|digit: u32| digit.to_string()).collect(),
            ids: (0..labels.len()).map(|row| format!("row{row}")).collect(),
            parts: (0..labels.len()).map(part).collect(),
            labels,
        };
        table.standardise(Share::Feature);
        table.dataset()
    }
}

fn part(row: usize) -> Part {
    match row % 10 {
        0 | 5 => Part::Test,
        1 => Part::Validation,
        _ => Part::Train,
    }
}
