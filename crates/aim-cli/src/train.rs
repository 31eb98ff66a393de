//! `train`.

use std::{process::ExitCode, time::Duration};

use aim_core::Result;
use aim_report::write_run;
use aim_train::{
    config::{RunConfig, Source},
    experiment::{Console, Job, Needs, RunResults, Shared, fits, memory},
    run::{Folder, PublicWeights, checksum},
};
use clap::Args;

use crate::{Application, Places, config::yaml, interrupt::stop_on_interrupt, print, reproduce::path};

#[derive(Args)]
pub(crate) struct Train {
    /// The configuration: a run, or a table of which one row is run; a path, or the name of a table in configs/.
    #[arg(long, value_name = "FILE")]
    config: String,
    /// The row of a table; without it, what stands outside the rows (method `joint` if none is given).
    #[arg(long, value_name = "NAME")]
    row: Option<String>,
    /// Seed of the run [default: the configuration's, or 0].
    #[arg(long)]
    seed: Option<u64>,
    /// Settings in place of the configuration's, for instance `method.name=aim train.epochs=20`.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Print the run's resolved configuration, which runs again as it is, and train nothing.
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    places: Places,
}

impl Train {
    pub(crate) fn run(self, application: &Application) -> Result<ExitCode> {
        let Application { registries, sections, program, .. } = application;
        let mut source = Source::load(&path(&self.config)?)?;
        source.set_all(&self.overrides)?;
        let (config, stored) = RunConfig::single(&source, self.row.as_deref(), registries)?;
        let seed = self.seed.unwrap_or(stored);
        if self.print_config {
            print(&yaml(&config.resolved(seed)?)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        let (device, stop) = (self.places.device.open()?, stop_on_interrupt()?);
        let (root, mut weights) = (aim_data::root(self.places.data_root), PublicWeights::default());
        let config = weights.pin(&config, root.as_deref(), registries)?;
        let (console, reading) = (Console::new(self.places.quiet), self.places.reading.reading());
        let (data, demand) = aim_data::load_by(&config.data, root.as_deref(), &reading)?;
        fits(&config, &data, &weights)?;
        let needs = if device.is_cpu() { Needs::of(&config, &data) } else { Needs::default() };
        memory(&[demand], needs, 1)?.iter().for_each(|line| console.say(line));
        let job = Job::new(&config.name, &config, seed, &data, checksum(&data)?)?;
        let method = config.method.name().replace('(', "-").replace(')', "");
        let name = if config.name == method { method } else { format!("{}-{method}", config.name) };
        let folder = job.folder_named(&self.places.out, &name, registries)?;
        let folder = Folder::open(&folder, &job.identity(), registries)?;
        RunResults::whole(&folder, &config, &|line| console.say(line))?;
        console.say(&data.summary());
        console.expect(1, config.train.epochs);
        let checkpoint_every = Duration::from_secs(self.places.checkpoint_every);
        let (out, device, console, stop) = (&self.places.out, &device, &console, &stop);
        let weights = &weights;
        let shared = Shared { out, device, console, stop, checkpoint_every, registries, program, weights };
        let outcome = job.run(&folder, shared)?;
        let warning = config.protocol.warning().map_or(String::new(), |w| format!("{w}\n"));
        let run = RunResults::read(&folder, &config)?;
        run.map(|run| write_run(&config.name, &run, sections)).transpose()?;
        print(&format!("{outcome}{warning}folder: {}\n", folder.path().display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
