//! Features of a whole split, and what each modality's feature contributes.

use std::ops::ControlFlow::Continue;

use aim_core::{Error, Net, Pass, Result};
use aim_data::{Loader, Source};
use aim_stats::shapley;
use candle_core::{DType, Device, Tensor};

use super::{
    Contributions, Plain, REMOVAL,
    evaluation::{batch, classes, share_right},
    statistics,
};

/// Features of every sample of a split, in order.
pub struct Features {
    /// One tensor a modality, `[N, width]`.
    pub of: Vec<Tensor>,
    /// Classes.
    pub labels: Vec<usize>,
    /// Which sample has which modality, `[N, M]`; `None` where all have all.
    pub present: Option<Tensor>,
}

impl Features {
    /// The features with the mean over their frames, `[N, width of a frame]`.
    ///
    /// # Errors
    /// If they are not made of that many frames.
    pub fn pooled(&self, frames: &[usize]) -> Result<Vec<Tensor>> {
        let one = |(x, frames): (&Tensor, &usize)| {
            let (samples, width) = x.dims2()?;
            Ok(x.reshape((samples, *frames, width / frames))?.mean(1)?)
        };
        self.of.iter().zip(frames).map(one).collect()
    }
}

/// The encoders' features in evaluation mode; that of a modality which a sample lacks is 0, as in the network's own
/// pass.
///
/// # Errors
/// If the split does not fit the network.
pub fn features(net: &dyn Net, source: &dyn Source, device: &Device) -> Result<Features> {
    let modalities = net.modalities();
    let (mut parts, mut present, mut whole) = (vec![Vec::new(); modalities], vec![], true);
    let net = Plain::new(net);
    Loader::new(source, batch(source), device).in_order().visit(|batch| {
        for (m, x) in batch.inputs.iter().enumerate() {
            let feature = net.encode(m, x, &mut Pass::eval())?;
            parts[m].push(match &batch.present {
                Some(present) => feature.broadcast_mul(&present.narrow(1, m, 1)?.to_dtype(feature.dtype())?)?,
                None => feature,
            });
        }
        whole &= batch.present.is_none();
        let all = || Tensor::ones((batch.len(), modalities), DType::F32, device);
        present.push(batch.present.as_ref().map_or_else(all, |present| present.to_dtype(DType::F32))?);
        Ok(Continue(()))
    })?;
    let of = parts.iter().map(|p| Tensor::cat(p, 0)).collect::<candle_core::Result<_>>()?;
    let present = if whole { None } else { Some(Tensor::cat(&present, 0)?) };
    Ok(Features { of, labels: source.labels().iter().map(|y| *y as usize).collect(), present })
}

/// Modalities whose Shapley values are computed: each doubles the coalitions, of which there are 65,536 then.
const MOST: usize = 16;

/// Refuses networks of so many modalities that their Shapley values cannot be had, before they are trained.
///
/// # Errors
/// If there are more.
pub fn check_modalities(modalities: usize) -> Result<()> {
    if modalities <= MOST {
        return Ok(());
    }
    let problem = format!("are {modalities}, whose Shapley values need 2^{modalities} evaluations");
    Err(Error::invalid("modalities", problem, format!("join some, so that there are at most {MOST}")))
}

/// Shapley values of the modalities for the fused accuracy, a modality being removed by setting its feature to zero.
///
/// # Errors
/// If the features do not fit the network.
pub fn contributions(net: &dyn Net, features: &Features) -> Result<Contributions> {
    let (names, net) = (&net.spec().modalities, Plain::new(net));
    let value = |coalition: usize| {
        let members: Vec<bool> = (0..names.len()).map(|m| coalition >> m & 1 == 1).collect();
        let (of, present) = (features.of.clone(), features.present.as_ref());
        let out = net.fuse(of, present, &mut Pass::eval().subset(&members))?;
        share_right(&features.labels, &classes(&out.logits)?)
    };
    check_modalities(names.len())?;
    let values = (0..1_usize << names.len()).map(value).collect::<Result<Vec<_>>>()?;
    let phi = shapley::shapley_values(&values).map_err(statistics)?;
    let share = shapley::share_or_clamped(&phi).map_err(statistics)?;
    let named = |values: &[f64]| names.iter().cloned().zip(values.iter().copied()).collect();
    Ok(Contributions {
        removal: REMOVAL.into(),
        shapley: named(&phi),
        share: named(&share),
        edm: shapley::edm(&share).map_err(statistics)?,
    })
}
