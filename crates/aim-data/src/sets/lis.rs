//! The Italian sign alphabet, felt by an armband.

use std::path::Path;

use aim_config::{by_type, settings};
use aim_core::Result;

use crate::{
    Dataset, DatasetInfo, DatasetSettings,
    files::{counted, folder},
    read::npz::Npz,
    table::{Array, Part, Share, Table},
};

static INFO: DatasetInfo = DatasetInfo {
    name: "lis",
    about: "780 signs of 26 letters of the Italian sign alphabet (Data in Brief 33, 2020; research and educational use): \
            muscle activity and motion of the forearm. Split by time: of each letter's 30 signs the last 6 are test, the 3 \
            before them validation",
    modalities: "emg [8, 400], gyro [3, 400], acc [3, 400] and, if wanted, ori [4, 400]",
    needs_root: true,
};

settings! {
    /// Settings of `lis`.
    pub struct Lis {
        /// Whether the armband's orientation (quaternions) is a fourth modality, `ori`.
        pub orientation: bool = false => by_type(), "ours";
    }
}

impl DatasetSettings for Lis {
    fn info(&self) -> &'static DatasetInfo {
        &INFO
    }
    fn load(&self, root: Option<&Path>) -> Result<Dataset> {
        let path = folder(root, "lis")?.join("lis.npz");
        let mut file = Npz::open(path.clone())?;
        let len = file.len("y")?;
        let labels = file.labels("y", len, 26)?;
        let times = file.texts("ts", len)?;
        counted(&path, len, 780, "signs")?;
        let names = if self.orientation { &SENSORS[..] } else { &SENSORS[..3] };
        let mut sensor = |&(name, channels): &(&str, usize)| -> Result<(String, Array)> {
            Ok((name.to_owned(), file.array(name, len, &[400, channels])?.transposed()))
        };
        let mut table = Table {
            name: "lis",
            modalities: names.iter().map(&mut sensor).collect::<Result<_>>()?,
            class_names: ('A'..='Z').map(String::from).collect(),
            parts: parts(&labels, &times),
            labels,
            ids: times.iter().enumerate().map(|(row, time)| format!("{row} {time}")).collect(),
        };
        table.standardise(Share::Channel);
        table.dataset()
    }
}

/// Sensors with their channels; the last one by setting.
const SENSORS: [(&str, usize); 4] = [("emg", 8), ("gyro", 3), ("acc", 3), ("ori", 4)];

/// Split by time within each letter, so that later signs test what earlier ones teach.
fn parts(labels: &[u32], times: &[String]) -> Vec<Part> {
    let key = |row: usize| (labels[row], when(&times[row]), row);
    let part = |row: usize| match (0..labels.len()).filter(|&r| labels[r] == labels[row] && key(r) > key(row)).count() {
        0..=5 => Part::Test,
        6..=8 => Part::Validation,
        _ => Part::Train,
    };
    (0..labels.len()).map(part).collect()
}

/// Times stand as day/month/year/clock; sorted as texts the 9th of July would precede the 26th of June.
fn when(time: &str) -> [&str; 4] {
    let mut at = time.splitn(4, '/').map(str::trim);
    let mut next = || at.next().unwrap_or_default();
    let (day, month, year, clock) = (next(), next(), next(), next());
    [year, month, day, clock]
}
