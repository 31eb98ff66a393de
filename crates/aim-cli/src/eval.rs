//! `eval`.

use std::{path::PathBuf, process::ExitCode};

use aim_core::{Error, Net, Result};
use aim_train::{
    Registries,
    config::Identity,
    experiment::restrict,
    run::{chosen, judge, network},
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
    /// What the run's folder says that it is, which the name of the folder above it must bear out.
    fn identity(&self, registries: &Registries) -> Result<Identity> {
        let place = || self.run.display().to_string();
        if !self.run.join("config.yaml").exists() {
            let remedy = "name one such as runs/mine/aim.1234abcd/seed0";
            return Err(Error::invalid(place(), "is no run's folder (it has no config.yaml)", remedy));
        }
        let (identity, above) = (Identity::load(&self.run, registries)?, self.run.canonicalize().unwrap_or_default());
        let key = above.parent().and_then(|p| p.extension()).filter(|key| key.len() == 8);
        // An older program gave a folder another key.
        let stored = std::fs::read_to_string(self.run.join("config.yaml")).unwrap_or_default();
        let keys = [identity.key().ok(), Identity::stored_key(&stored), Identity::first_key(&stored)];
        if key.is_some_and(|key| !keys.iter().flatten().any(|own| *key == **own)) {
            let problem = "has a config.yaml that is not the one it was trained with";
            return Err(Error::invalid(place(), problem, "undo the edit of that file"));
        }
        Ok(identity)
    }

    pub(crate) fn run(self, application: &Application) -> Result<ExitCode> {
        let identity = self.identity(&application.registries)?;
        let data = aim_data::load(&identity.config.data, aim_data::root(self.data_root).as_deref())?;
        data.read_by(&self.reading.reading());
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
