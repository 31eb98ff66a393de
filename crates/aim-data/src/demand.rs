//! What reading a set takes of the machine's memory, before it is read.

use std::fmt;

use aim_core::{Error, Result};

use crate::source::PIECE_BYTES;

/// Memory that reading a set takes, and what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Most bytes that it takes, about; 0 for a set that is generated, or whose files do not tell and are small.
    pub bytes: u64,
    /// Bytes that the machine has left; none where the system does not say.
    pub left: Option<u64>,
}

impl Demand {
    /// So many bytes, and those of the samples that are checked together, on this machine as it is now.
    pub(crate) fn of(bytes: u64) -> Self {
        let bytes = bytes.saturating_add(bytes.min(2 * PIECE_BYTES as u64));
        Self { bytes, left: available() }
    }

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

/// Bytes that can be had: what the machine has left, and no more than the control group of this process has.
fn available() -> Option<u64> {
    let read = |path: String| std::fs::read_to_string(path).ok();
    let group = read("/proc/self/cgroup".into()).unwrap_or_default();
    // Within a container its own group is the root.
    let folders = [group.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").to_owned(), "/".to_owned()];
    let in_group = folders.iter().filter_map(|folder| {
        let number = |file| read(format!("/sys/fs/cgroup{folder}/{file}"))?.trim().parse::<u64>().ok();
        Some(number("memory.max")?.saturating_sub(number("memory.current")?))
    });
    in_group.chain(read("/proc/meminfo".into()).and_then(|text| left(&text))).min()
}

/// Bytes that Linux says could be had without swapping.
fn left(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_has_not_is_refused_before_it_is_read() {
        assert_eq!(left("MemTotal: 9 kB\nMemAvailable:    2097152 kB\n"), Some(2 << 30));
        assert_eq!(left("MemTotal: 9 kB\n"), None);
        let of = |bytes, left| Demand { bytes, left };
        assert!(of(2 << 30, Some(2 << 30)).check().is_ok() && of(u64::MAX, None).check().is_ok());
        let error = of(3 << 29, Some(1 << 30)).check().unwrap_err().to_string();
        assert!(error.contains("takes up to about 1.50 GiB of memory, of 1.00 GiB that are left; lower"), "{error}");
    }
}
