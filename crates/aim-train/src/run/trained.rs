//! A trained network that answers for new samples: from a run's folder, or from what was exported of one.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use aim_core::{Batch, Error, Method, Net, Output, Result, State};
use aim_data::NewSamples;
use aim_fusion::LateFusion;
use candle_core::{Device, Tensor};

use super::{Folder, Outcome, Preprocessing, chosen, export};
use crate::{Registries, config::Identity};

/// What a finished run leaves of itself to answer with.
pub(super) struct Parts {
    pub identity: Identity,
    pub preprocessing: Preprocessing,
    /// The chosen weights and buffers, by their names in the network.
    pub weights: BTreeMap<String, Tensor>,
    /// The method's own state at that epoch.
    pub method: State,
    /// The epoch, counted from 0.
    pub epoch: usize,
}

/// A trained network with everything that it needs to answer for new samples.
pub struct Trained {
    identity: Identity,
    preprocessing: Preprocessing,
    net: LateFusion,
    method: Box<dyn Method>,
    device: Device,
    epoch: usize,
}

/// What the folder of a run says that it is, which the name of the folder above it must bear out.
///
/// # Errors
/// If the folder is no run's, or its configuration was edited.
pub fn identity(folder: &Path, registries: &Registries) -> Result<Identity> {
    let place = || folder.display().to_string();
    if !folder.join("config.yaml").exists() {
        let remedy = "name one such as runs/mine/aim.1234abcd/seed0";
        return Err(Error::invalid(place(), "is no run's folder (it has no config.yaml)", remedy));
    }
    let (identity, above) = (Identity::load(folder, registries)?, folder.canonicalize().unwrap_or_default());
    let key = above.parent().and_then(|p| p.extension()).filter(|key| key.len() == 8);
    // An older program gave a folder another key.
    let stored = fs::read_to_string(folder.join("config.yaml")).unwrap_or_default();
    let keys = [identity.key().ok(), Identity::stored_key(&stored), Identity::first_key(&stored)];
    if key.is_some_and(|key| !keys.iter().flatten().any(|own| *key == **own)) {
        let problem = "has a config.yaml that is not the one it was trained with";
        return Err(Error::invalid(place(), problem, "undo the edit of that file"));
    }
    Ok(identity)
}

impl Parts {
    /// What a run's folder holds, with its result.
    ///
    /// # Errors
    /// If it is no run's folder, the run is not done, or a file is missing or damaged.
    pub fn of_run(folder: &Path, registries: &Registries) -> Result<(Self, Outcome)> {
        let identity = identity(folder, registries)?;
        let outcome = Folder::look(folder, &identity).result()?.ok_or_else(|| {
            let remedy = "start the run's command again, which trains it to its end";
            Error::invalid(folder.display().to_string(), "holds a run that is not done", remedy)
        })?;
        let (preprocessing, checkpoint) = (Preprocessing::load(folder)?, chosen(folder, identity.config.train.select)?);
        let (weights, method) = (checkpoint.state.part("net").0, checkpoint.state.part("method"));
        let epoch = checkpoint.epochs().saturating_sub(1);
        Ok((Self { identity, preprocessing, weights, method, epoch }, outcome))
    }
}

impl Trained {
    /// The network of a run that is done, with the weights that were chosen on validation, or of what was
    /// [`export`](super::export())ed of it.
    ///
    /// # Errors
    /// If the folder is neither, or a file is missing or damaged.
    pub fn load(folder: &Path, registries: &Registries, device: &Device) -> Result<Self> {
        let Parts { identity, preprocessing, weights, method: state, epoch } = match export::read(folder, registries)? {
            Some(parts) => parts,
            None => Parts::of_run(folder, registries)?.0,
        };
        let (config, shapes) = (&identity.config, preprocessing.named_shapes());
        let net = LateFusion::new(&config.model, &shapes, preprocessing.class_names.len(), identity.seed, device)?;
        net.params().load(&weights)?;
        let mut method = config.method.build(net.spec())?;
        method.load(&state)?;
        Ok(Self { identity, preprocessing, net, method, device: device.clone(), epoch })
    }

    /// Names of the classes, in the order of logits.
    pub fn class_names(&self) -> &[String] {
        &self.preprocessing.class_names
    }

    /// Names of the modalities.
    pub fn modalities(&self) -> &[String] {
        &self.net.spec().modalities
    }

    /// The epoch whose weights answer, counted from 0.
    pub fn epoch(&self) -> usize {
        self.epoch
    }

    /// What a reader of the answers must know of the run's protocol.
    pub fn warning(&self) -> Option<&'static str> {
        self.identity.config.protocol.warning()
    }

    /// Where the network runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Opens a file of samples as the training read its own.
    ///
    /// # Errors
    /// Those of [`NewSamples::open`].
    pub fn samples<'a>(&self, file: &'a Path) -> Result<NewSamples<'a>> {
        let Preprocessing { class_names, modalities } = &self.preprocessing;
        NewSamples::open(&self.identity.config.data, file, modalities, class_names)
    }

    /// Fused and unimodal logits `[B, classes]`, as the method answers in evaluation.
    ///
    /// # Errors
    /// If the batch does not fit the network.
    pub fn answer(&self, batch: &Batch) -> Result<Output> {
        self.method.infer(&self.net, batch)
    }
}

/// The path of a file in a folder, if the folder is not `of` itself.
pub(super) fn outside(path: &Path, of: &Path) -> Result<PathBuf> {
    let above = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (above.canonicalize(), of.canonicalize()) {
        (Ok(above), Ok(of)) if above == of => {
            let problem = "lies in the run's own folder";
            Err(Error::invalid(path.display().to_string(), problem, "choose a place outside it"))
        }
        _ => Ok(path.into()),
    }
}
