//! One run with what must be trained before it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use aim_core::{Alone, Context, Error, Preparation, Prepared, Result, View};
use aim_data::Dataset;
use candle_core::Device;

use super::{Console, console::clock, place::place};
use crate::{
    Registries,
    config::{Identity, RunConfig},
    run::{Control, Folder, Lacking, Outcome, Preprocessing, Program, PublicWeights, Run, Stop, Watch, chosen, train},
};

/// How often a run looks whether a preparation that another run makes is done.
const POLL: Duration = Duration::from_millis(200);

/// What runs side by side have in common.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    /// Folder under which run folders are made; preparations go to `prepared/` there.
    pub out: &'a Path,
    /// Where networks are trained.
    pub device: &'a Device,
    /// Shows progress.
    pub console: &'a Console,
    /// Asks to stop.
    pub stop: &'a Stop,
    /// Shortest time between two checkpoints of a run; zero for one after every step.
    pub checkpoint_every: Duration,
    /// What configurations can name.
    pub registries: &'a Registries,
    /// What results say that they were made by.
    pub program: &'a Program,
    /// Public weights that encoders start from.
    pub weights: &'a PublicWeights,
}

/// A run that is to be made.
pub struct Job<'a> {
    title: &'a str,
    config: &'a RunConfig,
    seed: u64,
    data: Dataset,
    lacking: Vec<Lacking>,
    crc32: u32,
}

impl<'a> Job<'a> {
    /// A run on a data set of that checksum.
    ///
    /// # Errors
    /// If the data set lacks a modality of the network, or has another number of classes than there are weights.
    pub fn new(title: &'a str, config: &'a RunConfig, seed: u64, data: &Dataset, crc32: u32) -> Result<Self> {
        let lacking = lacking(config, data)?;
        let data = restrict(config, data)?;
        config.train.criterion(&data)?;
        Ok(Self { title, config, seed, data, lacking, crc32 })
    }

    /// What makes it the run it is.
    pub fn identity(&self) -> Identity {
        Identity::new(self.config, self.seed, self.crc32)
    }

    /// Its folder under another: where the same run lies already, whatever program made it, or where it is to be made.
    ///
    /// # Errors
    /// If the configuration cannot be written.
    pub fn folder(&self, under: &Path, registries: &Registries) -> Result<PathBuf> {
        self.folder_named(under, &self.config.name, registries)
    }

    /// The same under another name.
    ///
    /// # Errors
    /// If the configuration cannot be written.
    pub fn folder_named(&self, under: &Path, name: &str, registries: &Registries) -> Result<PathBuf> {
        let place = place(under, name, &self.identity(), registries)?;
        Ok(place.folder.join(format!("seed{}", self.seed)))
    }

    /// Stores what new samples are read with, which folders of older programs lack.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn keep_preprocessing(&self, folder: &Folder) -> Result<()> {
        Preprocessing::of(&self.data).keep(folder.path())
    }

    /// Makes its preparations, trains it to its end and scores it. A run that is done is only read.
    ///
    /// # Errors
    /// Those of [`train`]; if it is a preparation's, it says which.
    pub fn run(&self, folder: &Folder, shared: Shared<'_>) -> Result<Outcome> {
        self.keep_preprocessing(folder)?;
        if let Some(outcome) = folder.done(&|line| shared.console.say(line))? {
            return Ok(outcome);
        }
        let prepared = self.prepare(self.preparations(), shared)?;
        let start = Instant::now();
        let watch = shared.console.begin(self.title, self.seed, self.config.train.epochs, folder.path());
        let Shared { stop, checkpoint_every, program, device, weights, .. } = shared;
        let control = Control { watch: &watch, stop, checkpoint_every, program };
        let (config, seed, data, metrics) = (self.config, self.seed, &self.data, &shared.registries.metrics);
        let run = Run { config, seed, data, lacking: &self.lacking, device, prepared: &prepared, weights, metrics };
        let outcome = train(run, folder, control).inspect_err(|error| watch.log(&error.to_string()))?;
        let (done, all) = (outcome.epochs(self.config.train.epochs), self.config.train.epochs);
        shared.console.skip(all - done);
        outcome.single_class.iter().for_each(|class| watch.say(&format!("takes every test sample for `{class}`")));
        let took = clock(start.elapsed().as_secs_f64());
        watch.say(&format!("test accuracy {:.3} ({took})", outcome.test.accuracy()));
        Ok(outcome)
    }

    /// What must be trained before it.
    fn preparations(&self) -> BTreeSet<Preparation> {
        self.config.method.preparations(&self.data.modalities)
    }

    /// The folder of one of its preparations.
    fn folder_of(&self, which: &Preparation, shared: Shared<'_>) -> Result<PathBuf> {
        let identity = Identity::new(&self.config.preparation(which), self.seed, self.crc32);
        let place = place(&shared.out.join("prepared"), &identity.config.name, &identity, shared.registries)?;
        Ok(place.folder.join(format!("seed{}", self.seed)))
    }

    /// Folders of preparations that are not done.
    ///
    /// # Errors
    /// If a configuration cannot be written.
    pub(super) fn missing_preparations(&self, shared: Shared<'_>) -> Result<Vec<(Preparation, PathBuf)>> {
        let with_folder = |which: Preparation| Ok((which.clone(), self.folder_of(&which, shared)?));
        let all = self.preparations().into_iter().map(with_folder).collect::<Result<Vec<_>>>()?;
        Ok(all.into_iter().filter(|(_, folder)| !folder.join("result.json").exists()).collect())
    }

    /// Has the console expect what must be trained before it.
    ///
    /// # Errors
    /// If a configuration cannot be written.
    pub(super) fn announce(&self, shared: Shared<'_>) -> Result<()> {
        for (which, folder) in self.missing_preparations(shared)? {
            shared.console.expect_preparation(&folder, self.config.preparation(&which).train.epochs);
        }
        Ok(())
    }

    /// Makes the one of its preparations that has this folder.
    ///
    /// # Errors
    /// Those of the preparation; if the run needs none that has.
    pub(super) fn prepare_one(&self, folder: &Path, shared: Shared<'_>) -> Result<()> {
        let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
        let same = |own: PathBuf| real(&own) == real(folder);
        let mut wanted = self.preparations();
        wanted.retain(|which| self.folder_of(which, shared).is_ok_and(same));
        if wanted.is_empty() {
            let problem = format!("needs no preparation in {}", folder.display());
            return Err(Error::invalid(self.title, problem, "submit its table again"));
        }
        self.prepare(wanted, shared).map(drop)
    }

    /// Makes or reads preparations. Those that another run is making come last.
    fn prepare(&self, mut wanted: BTreeSet<Preparation>, shared: Shared<'_>) -> Result<Prepared> {
        let (mut prepared, mut told) = (Prepared::default(), false);
        while !wanted.is_empty() {
            let mut busy = wanted.clone();
            for which in &wanted {
                if let Some(view) = self.make(which, shared).at(|| format!("preparation `{which}`"))? {
                    store(&mut prepared, which, view)?;
                    busy.remove(which);
                }
            }
            if busy.len() == wanted.len() {
                let names = busy.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                if !std::mem::replace(&mut told, true) {
                    let (title, seed) = (self.title, self.seed);
                    shared.console.say(&format!("{title}, seed {seed}: waits for {names}, in training elsewhere"));
                }
                shared.stop.check()?;
                std::thread::sleep(POLL);
            }
            wanted = busy;
        }
        Ok(prepared)
    }

    /// Trains a preparation, unless that is done; `None` while another run does so.
    fn make(&self, which: &Preparation, shared: Shared<'_>) -> Result<Option<View>> {
        let config = self.config.preparation(which);
        let title = format!("{}: {which}", self.title);
        // The protocol has split this run's data: a second time, what it shows as validation would be trained on.
        let data = project(&config, &self.data)?;
        let job = Job { title: &title, config: &config, seed: self.seed, data, lacking: Vec::new(), crc32: self.crc32 };
        let path = job.folder(&shared.out.join("prepared"), shared.registries)?;
        let Some(folder) = Folder::open_if_free(&path, &job.identity(), shared.registries)? else { return Ok(None) };
        if folder.done(&|line| shared.console.say(line))?.is_none() {
            shared.console.expect_preparation(&path, config.train.epochs);
            job.run(&folder, shared)?;
            shared.console.done();
        }
        let weights = chosen(&path, config.train.select)?.state.part("net").0;
        let moved = |(name, tensor): (String, candle_core::Tensor)| Ok((name.into(), tensor.to_device(shared.device)?));
        weights.into_iter().map(moved).collect::<Result<_>>().map(Some)
    }
}

/// Files the weights of a preparation.
///
/// # Errors
/// If they lack the head of a modality alone.
pub fn store(prepared: &mut Prepared, which: &Preparation, mut view: View) -> Result<()> {
    let Preparation::Alone { modality } = which else {
        prepared.joint = Some(view);
        return Ok(());
    };
    let mut take = |name: &str| {
        let missing =
            || Error::invalid(format!("preparation `{which}`"), format!("has no `{name}`"), "delete its folder");
        view.remove(name).ok_or_else(missing)
    };
    let (weight, bias) = (take("head.weight")?, take("head.bias")?);
    prepared.alone.insert(modality.clone(), Alone { encoder: view, weight, bias });
    Ok(())
}

/// The data as a run sees them: the modalities that its network reads, in the data set's order, split as its protocol
/// wants.
///
/// # Errors
/// If the data set lacks a modality, or the protocol cannot be followed.
pub fn restrict(config: &RunConfig, data: &Dataset) -> Result<Dataset> {
    let data = match &config.train.missing {
        Some(missing) => project(config, &missing.apply(data)?)?,
        None => project(config, data)?,
    };
    config.protocol.apply(data, &config.train)
}

/// The test split once more at each rate of missing modalities that the configuration names.
fn lacking(config: &RunConfig, data: &Dataset) -> Result<Vec<Lacking>> {
    let tests = config.train.missing.as_ref().map_or(Vec::new(), |missing| missing.tests(data));
    let one = |(rate, test)| Ok(Lacking { rate, test: project(config, &Dataset { test, ..data.clone() })?.test });
    tests.into_iter().map(one).collect()
}

/// Only the modalities that a run's network reads.
fn project(config: &RunConfig, data: &Dataset) -> Result<Dataset> {
    let wanted = config.modalities();
    if let Some(missing) = wanted.iter().find(|m| !data.modalities.contains(m)) {
        let problem = format!("data set `{}` has no modality `{missing}`", data.name);
        let remedy = format!("name the encoders after its modalities: {}", data.modalities.join(", "));
        return Err(Error::invalid("model.encoders", problem, remedy));
    }
    let order: Vec<String> = data.modalities.iter().filter(|m| wanted.contains(m)).cloned().collect();
    data.clone().project(&order)
}
