//! Makes runs of which only the folders are known, as they are handed over to other machines.

use std::path::Path;

use aim_core::{Error, Result};

use super::{
    Console, Job, RunResults, Shared,
    jobs::{Loaded, Options, loaded, pool},
    needs::{Needs, memory},
};
use crate::{
    Registries,
    config::RunConfig,
    run::{Failure, Folder, PublicWeights, Stop, identity},
};

/// Makes one run after the other; data that they share are read once.
pub struct Worker<'a> {
    options: &'a Options,
    stop: &'a Stop,
    registries: &'a Registries,
    console: Console,
    data: Vec<Loaded>,
}

impl<'a> Worker<'a> {
    /// Has read nothing yet.
    pub fn new(options: &'a Options, stop: &'a Stop, registries: &'a Registries) -> Self {
        Self { options, stop, registries, console: Console::new(options.quiet), data: Vec::new() }
    }

    /// Makes the run whose folder this is, or only one of its preparations. How a run fails is noted in its folder,
    /// unless it was stopped.
    ///
    /// # Errors
    /// If the folder does not say what its run is, the data are others than those that the run was planned on or take
    /// more memory than there is, and those of the run.
    pub fn make(&mut self, folder: &Path, preparation: Option<&Path>) -> Result<()> {
        let made = self.one(folder, preparation);
        if preparation.is_none() {
            Failure::keep(&made, folder)?;
        }
        made
    }

    fn one(&mut self, path: &Path, preparation: Option<&Path>) -> Result<()> {
        self.stop.check()?;
        let (registries, planned) = (self.registries, identity(path, self.registries)?);
        let mut weights = PublicWeights::default();
        let config = weights.pin(&planned.config, self.options.data_root.as_deref(), registries)?;
        let Options { out, device, checkpoint_every, program, threads, .. } = self.options;
        let Loaded { data, crc32, demand, .. } = loaded(&mut self.data, &config, self.options)?;
        if *crc32 != planned.data_crc32 {
            let problem = format!("was planned on data of checksum {}, those here have {crc32}", planned.data_crc32);
            let remedy = "make the same data seen on every machine";
            return Err(Error::invalid(path.display().to_string(), problem, remedy));
        }
        let title = title(path, &config);
        let job = Job::new(&title, &config, planned.seed, data, *crc32)?;
        let (console, stop, weights, checkpoint_every) = (&self.console, self.stop, &weights, *checkpoint_every);
        let shared = Shared { out, device, console, stop, checkpoint_every, registries, program, weights };
        let pool = pool(*threads)?;
        if device.is_cpu() && !path.join("result.json").exists() {
            // Better one clear line than a task that its cluster kills for its memory.
            memory(&[*demand], Needs::of(&config, data), 1)?;
        }
        if let Some(preparation) = preparation {
            return pool.install(|| job.prepare_one(preparation, shared));
        }
        let folder = Folder::open(path, &job.identity(), registries)?;
        Failure::forget(path)?;
        // What only a look at the whole result finds damaged is made anew, and not submitted for ever.
        RunResults::whole(&folder, &config, &|line| self.console.say(line))?;
        pool.install(|| job.run(&folder, shared)).map(drop)
    }
}

/// What a run is called where its row's label is not known.
fn title(path: &Path, config: &RunConfig) -> String {
    let above = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    above.unwrap_or(&config.name).to_owned()
}
