//! What reading a set takes of the machine's memory, before it is read.

use std::{fmt, path::Path};

use aim_core::{Error, Result};

use crate::{DatasetSettings, DatasetSpec, Reading};

/// Memory that reading a set takes, and what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Most bytes that it takes, about.
    pub bytes: u64,
    /// Bytes that the machine has left; none where the system does not say.
    pub left: Option<u64>,
}

/// What reading a set will take; `None` for a set whose files do not tell before they are read, which are small.
///
/// # Errors
/// If files are missing.
pub fn demand(spec: &DatasetSpec, root: Option<&Path>, reading: &Reading) -> Result<Option<Demand>> {
    let left = || left(&std::fs::read_to_string("/proc/meminfo").ok()?);
    Ok(DatasetSettings::demand(&**spec, root, reading)?.map(|bytes| Demand { bytes, left: left() }))
}

impl Demand {
    /// Goes on if the machine has that much.
    ///
    /// # Errors
    /// If it has not.
    pub fn check(&self) -> Result<()> {
        if self.left.is_none_or(|left| self.bytes <= left) {
            return Ok(());
        }
        let remedy = "lower --memory, or make a manifest of a bundle, which is read sample by sample";
        Err(Error::invalid("data", self.to_string(), remedy))
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        write!(f, "reading takes up to about {:.2} GiB of memory", gib(self.bytes))?;
        self.left.map_or(Ok(()), |left| write!(f, ", of {:.2} GiB that are left", gib(left)))
    }
}

/// Bytes that Linux says could be had without swapping.
fn left(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bundle, dataset};

    #[test]
    fn what_the_machine_has_not_is_refused_before_it_is_read() {
        assert_eq!(left("MemTotal: 9 kB\nMemAvailable:    2097152 kB\n"), Some(2 << 30));
        assert_eq!(left("MemTotal: 9 kB\n"), None);
        let of = |bytes, left| Demand { bytes, left };
        assert!(of(2 << 30, Some(2 << 30)).check().is_ok() && of(u64::MAX, None).check().is_ok());
        let error = of(3 << 29, Some(1 << 30)).check().unwrap_err().to_string();
        assert!(error.contains("takes up to about 1.50 GiB of memory, of 1.00 GiB that are left; lower"), "{error}");
    }

    #[test]
    fn a_bundle_takes_three_times_its_files_and_files_of_a_manifest_what_they_may() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        [("a", 100), ("b", 20), ("c", 3)].iter().for_each(|(name, n)| std::fs::write(path(name), vec![1; *n]).unwrap());
        let bundle = dataset(Bundle { train: path("a"), validation: path("b"), test: path("c"), ..Bundle::default() });
        let bytes = |spec, memory| demand(&spec, None, &Reading::new(memory, 0)).unwrap().map(|demand| demand.bytes);
        assert_eq!(bytes(bundle, 1), Some(369));
        // Two rows of 3 x 100,000 numbers, beside 100 bytes of an array.
        std::fs::write(path("m.csv"), "split,label,x,y\ntrain,a,0,b\ntest,a,0,b\n").unwrap();
        let modalities = serde_json::json!({
            "x": {"array": {"file": "a"}}, "y": {"series": {"columns": 3, "length": 100_000}},
        });
        let manifest = |memory: f64| {
            let section = serde_json::json!({"name": "manifest", "file": path("m.csv"), "modalities": modalities, "memory": memory});
            crate::builtin().read(&section, "data").unwrap()
        };
        assert_eq!(bytes(manifest(4.), 9000), Some(100 + 100 + 2_400_000));
        assert_eq!(bytes(manifest(4.), 1), Some(100 + (1 << 20)));
        assert_eq!(bytes(manifest(1. / f64::from(1 << 20)), 9000), Some(100 + 1024));
    }
}
