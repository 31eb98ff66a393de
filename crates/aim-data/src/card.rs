//! Settings of data sets, and the registry of those that a configuration can name.

use std::{path::Path, sync::Arc};

use aim_config::{AnySettings, Card, Registry, Settings, Spec, Value};
use aim_core::Result;

use crate::{Dataset, NewForm, PrepareOptions, Prepared, Reading, demand::Demand};

/// Description of a data set.
#[derive(Clone, Copy, Debug)]
pub struct DatasetInfo {
    /// Name in a configuration.
    pub name: &'static str,
    /// Content, origin and split.
    pub about: &'static str,
    /// Modalities with the shape of one sample.
    pub modalities: &'static str,
    /// Whether it is read from the folder of the data (`--data-root` or `AIM_DATA`).
    pub needs_root: bool,
}

/// Settings of a data set, and how it is read.
pub trait DatasetSettings: AnySettings {
    /// The set's description.
    fn info(&self) -> &'static DatasetInfo;

    /// Reads or generates the set; `root` is the folder of the data, if it is known. Whoever uses the set calls the
    /// function [`load`](load()), which checks the settings before and the samples afterwards.
    ///
    /// # Errors
    /// If files are missing or broken.
    fn load(&self, root: Option<&Path>) -> Result<Dataset>;

    /// The same by what reading may use: raw files that are more than that are decoded when they are asked for. Whoever
    /// uses the set calls the function [`load_by`](load_by()).
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    fn load_by(&self, root: Option<&Path>, _reading: &Reading) -> Result<Dataset> {
        self.load(root)
    }

    /// Most bytes that reading the set takes in memory; `None` if that is not worth telling. Whoever uses the set calls
    /// the function [`load_by`](load_by()), which refuses what the machine has not.
    ///
    /// # Errors
    /// If files are missing.
    fn demand(&self, _root: Option<&Path>, _reading: &Reading) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Prepares the set, see [`prepare`](crate::prepare()); `None` for a set without raw files that are decoded.
    ///
    /// # Errors
    /// If files are missing or broken, or the store cannot be written.
    fn prepare(&self, _root: Option<&Path>, _options: &PrepareOptions<'_>) -> Result<Option<Prepared>> {
        Ok(None)
    }

    /// What samples that the set does not hold can be given as, for networks that were trained on it; `None` for a set
    /// that is read by its own loader alone.
    fn new_form(&self) -> Option<NewForm> {
        None
    }

    /// Checks what single declarations cannot say, without touching any file.
    ///
    /// # Errors
    /// If settings do not go together; the place is `data.<key>`.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// The card of a data set.
pub type DatasetCard = Card<dyn DatasetSettings>;

/// Data sets by name.
pub type Datasets = Registry<DatasetCard>;

/// A data set with its settings, as a configuration names it.
pub type DatasetSpec = Spec<dyn DatasetSettings>;

/// The card of the data set that `S` configures, for a registry.
pub fn card<S: Settings + DatasetSettings>() -> DatasetCard {
    let read: fn(&Value, &str) -> Result<Arc<dyn DatasetSettings>> = |section, place| {
        let settings: S = DatasetCard::read_as(section, place)?;
        DatasetSettings::check(&settings)?;
        Ok(Arc::new(settings))
    };
    let defaults = S::default();
    DatasetCard::new(defaults.info().name, Arc::new(defaults), read)
}

/// A data set with settings that were made in Rust.
pub fn dataset<S: Settings + DatasetSettings>(settings: S) -> DatasetSpec {
    Spec::of(settings.info().name, Arc::new(settings))
}

/// Reads or generates a data set, and checks its settings before and its samples afterwards.
///
/// # Errors
/// Values out of range, files that are missing or broken, and data that [`Dataset::check`] refuses.
pub fn load(spec: &DatasetSpec, root: Option<&Path>) -> Result<Dataset> {
    check(spec)?;
    let dataset = spec.load(root)?;
    dataset.check()?;
    Ok(dataset)
}

/// The same within what reading may use, which is handed to the set, and what reading takes. No value depends on it.
///
/// # Errors
/// Those of [`load`](load()), and a set that takes more memory than the machine has left.
pub fn load_by(spec: &DatasetSpec, root: Option<&Path>, reading: &Reading) -> Result<(Dataset, Demand)> {
    check(spec)?;
    let demand = Demand::of(spec.demand(root, reading)?.unwrap_or(0));
    demand.check()?;
    let dataset = spec.load_by(root, reading)?;
    dataset.read_by(reading);
    dataset.check()?;
    Ok((dataset, demand))
}

fn check(spec: &DatasetSpec) -> Result<()> {
    spec.check_values("data")?;
    DatasetSettings::check(&**spec)
}
