//! Auxiliary blocks: which units are under-optimized, and the weights that a degraded pass sees. A unit is a row of the
//! weight of a convolution or linear layer of an encoder, with its bias; norms, embeddings and low-rank additions have
//! none.

use std::{collections::BTreeMap, sync::Arc};

use aim_core::{Grads, Kind, Params, Part, Report, Result, Rng, View};
use candle_core::{DType, Tensor};

use super::measure::{Dose, Grid, NEGLIGIBLE};
use super::settings::{Criterion, Granularity};

/// Saliency of each weight's units (or elements), by parameter name. Low means under-optimized.
pub(super) type Saliency = BTreeMap<Arc<str>, Vec<f32>>;

/// The encoder weights of a modality that hold output units, with their depth.
fn weights(params: &Params, modality: usize) -> impl Iterator<Item = (&Arc<str>, &Tensor, usize)> {
    params.iter().filter_map(move |(name, p)| match p.role.part {
        Part::Encoder { modality: m, depth } if m == modality && p.role.is_weight() => {
            Some((name, p.var.as_tensor(), depth))
        }
        _ => None,
    })
}

/// Saliency from the gradient of a loss, that of the prototypes or the joint one.
pub(super) fn saliency(
    params: &Params,
    modality: usize,
    grads: &Grads,
    criterion: Criterion,
    granularity: Granularity,
) -> Result<Saliency> {
    let mut out = Saliency::new();
    for (name, weight, _) in weights(params, modality) {
        let Some(grad) = grads.get(name) else { continue };
        let effect = effect(&weight.detach(), grad, criterion)?;
        let effect = match granularity {
            Granularity::Unit => effect.flatten_from(1)?.mean(1)?,
            Granularity::Element => effect.flatten_all()?,
        };
        out.insert(name.clone(), effect.to_dtype(DType::F32)?.to_vec1()?);
    }
    Ok(out)
}

/// What a criterion sees in each element: the lower, the less optimized.
fn effect(weight: &Tensor, grad: &Tensor, criterion: Criterion) -> candle_core::Result<Tensor> {
    match criterion {
        Criterion::GradHigh => grad.abs()?.neg(),
        // The floor keeps the ratio of a weight of 0 finite.
        Criterion::Ratio => (grad.abs()? / (weight.abs()? + 1e-12)?)?.neg(),
        Criterion::FisherLow => grad.sqr(),
        // Taking a weight away changes the loss by -g w.
        Criterion::LossChange => (grad * weight)?.neg(),
        Criterion::TaylorLow | Criterion::Random => (grad * weight)?.abs(),
    }
}

/// Random saliency: the ablation in which any unit may count as under-optimized.
pub(super) fn random(params: &Params, modality: usize, granularity: Granularity, rng: &mut Rng) -> Saliency {
    let count = |w: &Tensor| if granularity == Granularity::Unit { w.dims()[0] } else { w.elem_count() };
    let mut draw = |w: &Tensor| (0..count(w)).map(|_| rng.uniform() as f32).collect();
    weights(params, modality).map(|(name, w, _)| (name.clone(), draw(w))).collect()
}

/// 1 for the `max(1, ceil(keep n))` entries of lowest saliency, ties by the lower index.
fn lowest(saliency: &[f32], keep: f64) -> Vec<f32> {
    let n = ((keep * saliency.len() as f64).ceil() as usize).clamp(1, saliency.len());
    let mut order: Vec<usize> = (0..saliency.len()).collect();
    order.sort_by(|a, b| saliency[*a].total_cmp(&saliency[*b]));
    let mut mask = vec![0.; saliency.len()];
    order[..n].iter().for_each(|i| mask[*i] = 1.);
    mask
}

/// The auxiliary weights of one modality, and its unit masks in the report if asked for.
pub(super) fn view(
    params: &Params,
    modality: usize,
    doses: &Grid<Dose>,
    saliency: &Saliency,
    report: Option<&mut Report>,
) -> Result<View> {
    let (mut view, mut report) = (View::new(), report);
    for (name, weight, depth) in weights(params, modality) {
        let dose = doses[modality][depth];
        let Some(saliency) = saliency.get(name).filter(|_| dose.strength > NEGLIGIBLE) else { continue };
        let kept = lowest(saliency, dose.keep);
        if let Some(report) = report.as_deref_mut() {
            let units = Tensor::new(kept.as_slice(), weight.device())?.to_dtype(DType::I64)?;
            report.note(format!("units.{name}"), &units);
        }
        let per_unit = kept.len() == weight.dims()[0];
        view.insert(name.clone(), reduce(weight, &kept, dose.strength)?);
        if let Some((bias, param)) = params.bias_of(name).filter(|(_, p)| per_unit && p.role.kind == Kind::Bias) {
            view.insert(bias.clone(), reduce(param.var.as_tensor(), &kept, dose.strength)?);
        }
    }
    Ok(view)
}

/// `W U + (1 - strength) stopgrad(W) (1 - U)`, U broadcast over everything but the first dimension, or elementwise.
fn reduce(weight: &Tensor, kept: &[f32], strength: f64) -> Result<Tensor> {
    let per_unit = kept.len() == weight.dims()[0];
    if per_unit && strength == 1. {
        let units: Vec<usize> = (0..kept.len()).filter(|unit| kept[*unit] == 1.).collect();
        return Ok(aim_ops::keep_rows(weight, &units)?);
    }
    let mut shape = weight.dims().to_vec();
    if per_unit {
        shape[1..].fill(1);
    }
    let mask = |f: &dyn Fn(f32) -> f32| {
        let values: Vec<f32> = kept.iter().map(|k| f(*k)).collect();
        Tensor::from_vec(values, shape.as_slice(), weight.device())
    };
    let under = weight.broadcast_mul(&mask(&|k| k)?)?;
    let rest = weight.detach().broadcast_mul(&mask(&|k| (1. - k) * (1. - strength) as f32)?)?;
    Ok((under + rest)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn lowest_takes_ties_by_index_and_at_least_one() {
        assert_eq!(lowest(&[0., 2., 0., 1.], 0.5), [1., 0., 1., 0.]);
        assert_eq!(lowest(&[0., 0., 0., 0.], 0.3), [1., 1., 0., 0.]);
        assert_eq!(lowest(&[3., 2.], 0.), [0., 1.]);
    }

    #[test]
    fn criteria_by_hand() {
        let [w, g] = [[2f32, -1., 0.5], [-3., 4., 2.]].map(|v| Tensor::new(&v, &Device::Cpu).unwrap());
        for (criterion, want) in [
            (Criterion::TaylorLow, [6., 4., 1.]),
            (Criterion::GradHigh, [-3., -4., -2.]),
            (Criterion::Ratio, [-1.5, -4., -4.]),
            (Criterion::FisherLow, [9., 16., 4.]),
            (Criterion::LossChange, [6., 4., -1.]),
        ] {
            assert_eq!(effect(&w, &g, criterion).unwrap().to_vec1::<f32>().unwrap(), want, "{criterion:?}");
        }
    }

    #[test]
    fn reduced_weights_by_hand() {
        let w = Tensor::new(&[[2f32, 4.], [6., 8.]], &Device::Cpu).unwrap();
        let got = reduce(&w, &[1., 0.], 0.75).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(got, [[2., 4.], [1.5, 2.]]);
        let got = reduce(&w, &[0., 1.], 1.).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(got, [[0., 0.], [6., 8.]]);
        let got = reduce(&w, &[0., 1., 1., 0.], 1.).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(got, [[0., 4.], [6., 0.]]);
    }
}
