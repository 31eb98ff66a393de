//! GeoTec: what a phone and a watch feel while their wearer moves.

use std::path::Path;

use aim_config::settings;
use aim_core::Result;

use crate::{
    Dataset, DatasetInfo, DatasetSettings,
    files::{counted, folder},
    read::npz::Npz,
    table::{Part, Share, Table},
};

static INFO: DatasetInfo = DatasetInfo {
    name: "geotec",
    about: "2,992 windows of 5 activities by 23 subjects (GeoTec sp-sw-har-dataset, CC BY 4.0): accelerometer and gyroscope \
            of a phone and of a watch. Split by subject: the last 6 are test, the 3 before them validation",
    modalities: "phone [6, 100], watch [6, 100]",
    needs_root: true,
};

settings! {
    /// Settings of `geotec`: none.
    pub struct Geotec {}
}

impl DatasetSettings for Geotec {
    fn info(&self) -> &'static DatasetInfo {
        &INFO
    }
    fn load(&self, root: Option<&Path>) -> Result<Dataset> {
        let path = folder(root, "geotec")?.join("windows.npz");
        let mut file = Npz::open(path.clone())?;
        let (classes, len) = (file.len("classes")?, file.len("y")?);
        counted(&path, len, 2_992, "windows")?;
        let subjects = file.whole("subject", len)?;
        let windows = file.array("X", len, &[100, 12])?.transposed();
        let mut table = Table {
            name: "geotec",
            modalities: vec![
                ("phone".to_owned(), windows.channels(0..6)),
                ("watch".to_owned(), windows.channels(6..12)),
            ],
            class_names: file.texts("classes", classes)?,
            labels: file.labels("y", len, classes)?,
            ids: subjects.iter().enumerate().map(|(row, subject)| format!("subject{subject}.{row}")).collect(),
            parts: parts(&subjects),
        };
        table.standardise(Share::Channel);
        table.dataset()
    }
}

/// Split by subject, so that every score is about people never seen before.
fn parts(subjects: &[i64]) -> Vec<Part> {
    let mut sorted = subjects.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let part = |subject| match sorted.len() - sorted.partition_point(|s| s < subject) {
        1..=6 => Part::Test,
        7..=9 => Part::Validation,
        _ => Part::Train,
    };
    subjects.iter().map(part).collect()
}
