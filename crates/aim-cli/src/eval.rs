//! `eval`.

use std::{path::PathBuf, process::ExitCode};

use aim_core::{Error, Net, Result};
use aim_train::{
    experiment::restrict,
    run::{chosen, identity, judge, network},
};
use clap::Args;

use crate::{Application, DeviceName, ReadingOptions, print};

#[derive(Args)]
pub(crate) struct Eval {
    /// Folder of the run.
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Folder of the real data sets [default: $AIM_DATA].
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Where the network runs.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceName,
    #[command(flatten)]
    reading: ReadingOptions,
}

impl Eval {
    pub(crate) fn run(self, application: &Application) -> Result<ExitCode> {
        let identity = identity(&self.run, &application.registries)?;
        let (root, reading) = (aim_data::root(self.data_root), self.reading.reading());
        let (data, _) = aim_data::load_by(&identity.config.data, root.as_deref(), &reading)?;
        if aim_train::run::checksum(&data)? != identity.data_crc32 {
            let problem = "the data differ from those that the run was trained on";
            return Err(Error::invalid(self.run.display().to_string(), problem, "use the same files and version"));
        }
        let (data, device) = (restrict(&identity.config, &data)?, self.device.open()?);
        let net = network(&identity.config, &data, identity.seed, &device)?;
        let mut method = identity.config.method.build(net.spec())?;
        let epoch = chosen(&self.run, identity.config.train.select)?.put(net.params(), method.as_mut())?;
        let judged = judge(&net, method.as_ref(), &data, &device, &application.registries.metrics)?;
        let warning = identity.config.protocol.warning().map_or(String::new(), |w| format!("{w}\n"));
        print(&format!("weights of epoch {epoch}\n{judged}{warning}"))?;
        Ok(ExitCode::SUCCESS)
    }
}
