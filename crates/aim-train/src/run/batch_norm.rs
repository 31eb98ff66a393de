//! Batches in which a batch norm leaves nothing of a sample.

use aim_core::{Draws, Error, Net, Norm, Pass, Result};
use aim_data::{Loader, Source};
use candle_core::{DType, Device, Tensor};

/// Samples that are compared.
const COMPARED: usize = 8;

/// Refuses batches of one where a batch norm then sees one value a channel: it takes away whatever the value is, so
/// that the encoder says the same of every sample, and nothing is learnt without a word.
pub(super) fn check_batch_norm(net: &dyn Net, train: &dyn Source, device: &Device) -> Result<()> {
    let batches = Loader::new(train, 1, device).in_order().take(COMPARED).collect::<Result<Vec<_>>>()?;
    let bits = |x: &Tensor| -> Result<Vec<f32>> { Ok(x.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?) };
    for (m, name) in net.spec().modalities.iter().enumerate() {
        let prefix = format!("encoders.{name}.");
        let normed = |key: &String| key.starts_with(&prefix) && key.ends_with(".running_var");
        if !net.params().tensors().keys().any(normed) {
            continue;
        }
        let (mut inputs, mut features) = (vec![], vec![]);
        for batch in &batches {
            let draws = Draws { seed: 0, epoch: 0, step: 0 };
            let feature = net.encode(m, &batch.inputs[m], &mut Pass::train(draws).norm(Norm::Batch))?;
            inputs.push(bits(&batch.inputs[m].values)?);
            features.push(bits(&feature.detach())?);
        }
        let same = |all: &[Vec<f32>]| all.windows(2).all(|pair| pair[0] == pair[1]);
        if same(&features) && !same(&inputs) {
            let problem = format!(
                "is 1, so that a batch norm of the encoder of `{name}` sees a single value a channel and makes all samples \
                 the same"
            );
            return Err(Error::invalid("train.batch", problem, "use 2 or more, or an encoder without batch norm"));
        }
    }
    Ok(())
}
