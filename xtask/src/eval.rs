//! `eval`.

use std::{path::PathBuf, process::ExitCode};

use aim_core::{Error, Net, Result};
use aim_train::{
    experiment::restrict,
    run::{Identity, chosen, judge, network},
};
use clap::Args;

use crate::{DeviceName, print};

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
}

impl Eval {
    /// What the run's folder says that it is, which the name of the folder above it must bear out.
    fn identity(&self) -> Result<Identity> {
        let place = || self.run.display().to_string();
        if !self.run.join("config.yaml").exists() {
            let remedy = "name one such as runs/mine/aim.1234abcd/seed0";
            return Err(Error::invalid(place(), "is no run's folder (it has no config.yaml)", remedy));
        }
        let (identity, above) = (Identity::load(&self.run)?, self.run.canonicalize().unwrap_or_default());
        let key = above.parent().and_then(|p| p.extension()).filter(|key| key.len() == 8);
        if key.is_some_and(|key| *key != *identity.key().unwrap_or_default()) {
            let problem = "has a config.yaml that is not the one it was trained with";
            return Err(Error::invalid(place(), problem, "undo the edit of that file"));
        }
        Ok(identity)
    }

    pub(crate) fn run(self) -> Result<ExitCode> {
        let identity = self.identity()?;
        let data = aim_data::load(&identity.config.data, aim_data::root(self.data_root).as_deref())?;
        if aim_train::run::checksum(&data) != identity.data_crc32 {
            let problem = "the data differ from those that the run was trained on";
            return Err(Error::invalid(self.run.display().to_string(), problem, "use the same files and version"));
        }
        let (data, device) = (restrict(&identity.config, &data)?, self.device.open()?);
        let net = network(&identity.config, &data, identity.seed, &device)?;
        let mut method = aim_balance::build(&identity.config.method, net.spec())?;
        let epoch = chosen(&self.run, identity.config.train.select)?.put(net.params(), method.as_mut())?;
        let judged = judge(&net, method.as_ref(), &data, &device)?;
        let warning = identity.config.protocol.warning().map_or(String::new(), |w| format!("{w}\n"));
        print(&format!("weights of epoch {epoch}\n{judged}{warning}"))?;
        Ok(ExitCode::SUCCESS)
    }
}
