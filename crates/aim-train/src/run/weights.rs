//! Public weights that the encoders of runs start from.

use std::{path::Path, sync::Arc};

use aim_backbones::{Starting, Weights};
use aim_core::{Context, Error, Net, Result};
use aim_data::Checkpoint;

use super::normalised::{Statistics, note};
use crate::{
    Registries,
    config::{RunConfig, weights_file},
};

/// Files of public weights, each read once, however many runs start from it.
#[derive(Clone, Debug, Default)]
pub struct PublicWeights(Vec<Known>);

/// A file that was read, and what stands beside it.
#[derive(Clone, Debug)]
struct Known {
    weights: Weights,
    checkpoint: Arc<Checkpoint>,
    statistics: Option<Statistics>,
}

/// Whether two settings name one file.
fn same(a: &Weights, b: &Weights) -> bool {
    (&a.file, &a.hub, &a.revision) == (&b.file, &b.hub, &b.revision)
}

impl PublicWeights {
    /// Reads the files that a configuration's encoders start from, and notes their checksums there: they are part of
    /// what makes a run the run it is. `root` is the folder of the data.
    ///
    /// # Errors
    /// If a file is not there or cannot be read, or is another than the one whose checksum the configuration names.
    pub fn pin(&mut self, config: &RunConfig, root: Option<&Path>, registries: &Registries) -> Result<RunConfig> {
        let mut pinned = config.clone();
        for name in config.modalities() {
            let place = format!("model.encoders.{name}");
            let Some(encoder) = config.model.encoders.get(&name) else { continue };
            let Some(weights) = encoder.weights() else { continue };
            let crc32 = self.read(weights, root).at(|| format!("{place}.weights"))?.crc32;
            if let Some(wanted) = weights.crc32.filter(|wanted| *wanted != crc32) {
                let problem = format!("is {wanted}, but the file's is {crc32}");
                let remedy = "give the file that was meant, or leave the checksum out, which makes other runs";
                return Err(Error::invalid(format!("{place}.weights.crc32"), problem, remedy));
            }
            let mut section = encoder.section();
            section["weights"]["crc32"] = crc32.into();
            pinned.model.encoders.insert(name, registries.encoders.read(&section, &place)?);
        }
        Ok(pinned)
    }

    /// Sets the encoders of a new network to the weights that its configuration names; a line for each says what became
    /// of the file's tensors, and another one where the data set's pictures are not what the weights read.
    ///
    /// # Errors
    /// If a file does not fit its encoder, or was not read by [`pin`](Self::pin).
    pub fn adopt(&self, config: &RunConfig, net: &dyn Net) -> Result<Vec<String>> {
        let (spec, mut lines) = (net.spec(), vec![]);
        for (m, name) in spec.modalities.iter().enumerate() {
            let Some(encoder) = config.model.encoders.get(name) else { continue };
            let Some(weights) = encoder.weights() else { continue };
            let known = self.0.iter().find(|known| same(&known.weights, weights));
            let Known { checkpoint, statistics, .. } = known.ok_or_else(|| {
                let place = format!("model.encoders.{name}.weights");
                Error::invalid(place, "has not been read", "read it by `PublicWeights::pin` before the run")
            })?;
            let starting = Starting { encoder, modality: (name, m), input: &spec.inputs[m] };
            let adopted = starting.adopt(&checkpoint.tensors, net.params())?;
            lines.push(format!("{name} starts from {}: {adopted}", weights.file.display()));
            lines.extend(note(&config.data, name, encoder, statistics.as_ref()));
        }
        Ok(lines)
    }

    fn read(&mut self, weights: &Weights, root: Option<&Path>) -> Result<Arc<Checkpoint>> {
        if let Some(known) = self.0.iter().find(|known| same(&known.weights, weights)) {
            return Ok(known.checkpoint.clone());
        }
        let file = weights_file(weights).locate(root)?;
        let checkpoint = Arc::new(Checkpoint::read(&file)?);
        let statistics = Statistics::beside(&file);
        self.0.push(Known { weights: weights.clone(), checkpoint: checkpoint.clone(), statistics });
        Ok(checkpoint)
    }
}
