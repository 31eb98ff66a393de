//! Features of a whole split, and what each modality's feature contributes.

use std::ops::ControlFlow::Continue;

use aim_core::{Error, Net, Pass, Result, capability};
use aim_data::{Loader, Source};
use aim_stats::shapley;
use candle_core::{DType, Device, Tensor};

use super::{
    Contributions, Plain, REMOVAL, REMOVAL_INSIDE,
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

/// The encoders' features in evaluation mode, each modality alone: where encoders see each other the others are absent.
/// That of a modality which a sample lacks is 0, as in the network's own pass.
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

/// The classes that a network predicts of a split without the modalities that are `false`.
fn subset(net: &dyn Net, members: &[bool], source: &dyn Source, device: &Device) -> Result<Vec<usize>> {
    let mut predicted = vec![];
    Loader::new(source, batch(source), device).in_order().visit(|batch| {
        predicted.extend(classes(&net.forward(&batch, &mut Pass::eval().subset(members))?.logits)?);
        Ok(Continue(()))
    })?;
    Ok(predicted)
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
/// `features` are those of the source. Where encoders see each other, one that is removed is not seen, either, so that
/// each set of modalities is a pass of the whole network over the source.
///
/// # Errors
/// If features or source do not fit the network.
pub fn contributions(
    net: &dyn Net,
    features: &Features,
    source: &dyn Source,
    device: &Device,
) -> Result<Contributions> {
    let (names, inner) = (&net.spec().modalities, net.spec().capabilities.has(capability::INNER));
    let net = Plain::new(net);
    let value = |coalition: usize| {
        let members: Vec<bool> = (0..names.len()).map(|m| coalition >> m & 1 == 1).collect();
        let predicted = if inner {
            subset(&net, &members, source, device)?
        } else {
            let (of, present) = (features.of.clone(), features.present.as_ref());
            classes(&net.fuse(of, present, &mut Pass::eval().subset(&members))?.logits)?
        };
        share_right(&features.labels, &predicted)
    };
    check_modalities(names.len())?;
    let values = (0..1_usize << names.len()).map(value).collect::<Result<Vec<_>>>()?;
    let phi = shapley::shapley_values(&values).map_err(statistics)?;
    let share = shapley::share_or_clamped(&phi).map_err(statistics)?;
    let named = |values: &[f64]| names.iter().cloned().zip(values.iter().copied()).collect();
    Ok(Contributions {
        removal: if inner { REMOVAL_INSIDE } else { REMOVAL }.into(),
        shapley: named(&phi),
        share: named(&share),
        edm: shapley::edm(&share).map_err(statistics)?,
    })
}

#[cfg(test)]
mod tests {
    use aim_backbones::{MlpConfig, encoder};
    use aim_core::{Batch, Rng};
    use aim_data::Subset;
    use aim_fusion::{InnerMmtmConfig, LateFusion, ModelConfig, fusion};

    use super::*;

    #[test]
    fn encoders_see_nothing_of_a_modality_that_is_removed() {
        let mlp = || encoder(MlpConfig { widths: vec![6, 6], ..MlpConfig::default() });
        let encoders = [("a".to_owned(), mlp()), ("b".to_owned(), mlp())];
        let inner = InnerMmtmConfig { from: 0, ..InnerMmtmConfig::default() };
        let shapes = [("a".to_owned(), vec![4]), ("b".to_owned(), vec![4])];
        let net = LateFusion::new(&ModelConfig::new(encoders, fusion(inner)), &shapes, 3, 1, &Device::Cpu).unwrap();
        let net: &dyn Net = &net;
        // The last layer of each gate much larger, so that what is seen decides.
        let large = |(name, t): (String, Tensor)| {
            let scale = if name.starts_with("mmtm.") { 20. } else { 1. };
            (name, (t * scale).unwrap())
        };
        net.params().load(&net.params().tensors().into_iter().map(large).collect()).unwrap();
        let draw = |key: &str| Rng::keyed(0, key).normal_tensor(&[200, 4], 1., &Device::Cpu).unwrap();
        let (inputs, labels) = (vec![draw("a"), draw("b")], (0..200).map(|i| i % 3).collect::<Vec<u32>>());
        let ids = (0..200).map(|i| i.to_string()).collect();
        let source = Subset::new(inputs.clone(), labels.clone(), ids).unwrap();
        // Accuracies of the network on samples that lack modalities, in the order of the coalitions.
        let right = |a: f32, b: f32| {
            let mut batch = Batch::new(inputs.clone(), Tensor::new(labels.as_slice(), &Device::Cpu).unwrap()).unwrap();
            batch.present = Some(Tensor::new(vec![vec![a, b]; 200], &Device::Cpu).unwrap());
            let out = net.forward(&batch, &mut Pass::eval()).unwrap();
            let labels: Vec<usize> = labels.iter().map(|y| *y as usize).collect();
            share_right(&labels, &classes(&out.logits).unwrap()).unwrap()
        };
        let want = shapley::shapley_values(&[right(0., 0.), right(1., 0.), right(0., 1.), right(1., 1.)]).unwrap();
        let features = features(net, &source, &Device::Cpu).unwrap();
        let found = contributions(net, &features, &source, &Device::Cpu).unwrap();
        assert_eq!([found.shapley["a"], found.shapley["b"]], *want);
        assert_eq!(found.removal, REMOVAL_INSIDE);
        // With features of encoders that had met, the removed one would still be heard.
        let met = net.features(&source_batch(&source), &mut Pass::eval()).unwrap();
        assert_ne!(met[0].to_vec2::<f32>().unwrap(), features.of[0].to_vec2::<f32>().unwrap());
    }

    fn source_batch(source: &Subset) -> Batch {
        Loader::new(source, 200, &Device::Cpu).in_order().next().unwrap().unwrap()
    }
}
