//! Effects of sets of modalities on the prediction, and the gradient that each player makes of them.

use aim_core::{Grads, Net, Norm, Output, Part, Pass, Report, Result, Role, Step, capability};
use candle_core::{D, DType, Tensor, Var};

use super::{Gradient, Mcr};
use crate::util::set_name;

/// The effect of permuting the features of a set.
pub(super) struct Effect {
    /// The set, by bits.
    set: usize,
    /// Gradient of D_S at each modality's feature.
    features: Vec<Tensor>,
    /// Gradient of D_S at what comes behind the features.
    others: Grads,
}

/// Directions that the players add to the gradient.
pub(super) struct Moves {
    /// At each modality's feature.
    pub features: Vec<Tensor>,
    /// At what comes behind the features.
    pub others: Grads,
}

/// The effects of all proper subsets, each noted as `mipd.<S>`; without their gradients where the game has no weight.
pub(super) fn effects(mcr: &Mcr, cx: &Step<'_>, out: &Output, report: &mut Report) -> Result<Vec<Effect>> {
    let spec = cx.net.spec();
    let leaves = out.features.iter().map(|x| Var::from_tensor(&x.detach())).collect::<candle_core::Result<Vec<_>>>()?;
    let features: Vec<Tensor> = leaves.iter().map(|x| x.as_tensor().clone()).collect();
    let index = spec.modalities.iter().map(|name| permutations(mcr, name, cx)).collect::<Result<Vec<_>>>()?;
    let rest =
        Tensor::arange(0, cx.batch.len() as u32, index[0].device())?.repeat(index[0].dim(0)? / cx.batch.len())?;
    let plain = predicted(features.clone(), cx)?;
    let plain = if mcr.gradient == Gradient::Perturbed { plain.detach() } else { plain }.index_select(&rest, 0)?;
    let one = |set: usize| {
        let moved = |(m, x): (usize, &Tensor)| x.index_select(if set >> m & 1 == 1 { &index[m] } else { &rest }, 0);
        let moved = features.iter().enumerate().map(moved).collect::<candle_core::Result<_>>()?;
        let effect = divergence(&plain, &predicted(moved, cx)?)?;
        report.note(format!("mipd.{}", set_name(set, &spec.modalities)), &effect);
        if mcr.mipd == 0. {
            return Ok(Effect { set, features: vec![], others: Grads::default() });
        }
        let mut store = cx.net.params().backward()(&effect)?;
        let at = |x: &Var| store.get(x.as_tensor()).map_or_else(|| x.zeros_like(), |g| Ok(g.detach()));
        let features = leaves.iter().map(at).collect::<candle_core::Result<_>>()?;
        Ok(Effect { set, features, others: Grads::take(&mut store, cx.net.params()) })
    };
    (1..(1 << features.len()) - 1).map(one).collect()
}

/// Logarithms of the probabilities that the fusion makes of these features.
fn predicted(features: Vec<Tensor>, cx: &Step<'_>) -> Result<Tensor> {
    let out = cx.net.fuse(features, None, &mut Pass::train(cx.draws()).norm(Norm::Batch))?;
    Ok(aim_ops::log_softmax(&out.logits)?)
}

/// The sample whose feature of a modality each sample has in each draw, `[n * B]`.
fn permutations(mcr: &Mcr, name: &str, cx: &Step<'_>) -> Result<Tensor> {
    if let Some(given) = cx.given(&format!("perm.{name}")) {
        return Ok(given.flatten_all()?.to_dtype(DType::U32)?);
    }
    let mut rng = cx.draws().rng(&format!("mcr.perm.{name}"));
    let draws = (0..mcr.permutations).flat_map(|_| rng.permutation(cx.batch.len()));
    Ok(Tensor::new(draws.map(|i| i as u32).collect::<Vec<_>>(), cx.batch.labels.device())?)
}

/// Mean over rows of the Jensen-Shannon divergence of two distributions, given by their logarithms.
pub(super) fn divergence(p: &Tensor, q: &Tensor) -> Result<Tensor> {
    let (high, low) = (p.maximum(q)?, p.minimum(q)?);
    let between = ((((low - &high)?.exp()? + 1.)?.log()? + high)? - 2f64.ln())?;
    let from = |x: &Tensor| -> Result<Tensor> { Ok((x.exp()? * (x - &between)?)?.sum(D::Minus1)?) };
    Ok(((from(p)? + from(q)?)?.mean_all()? * 0.5)?)
}

/// What each player adds to the gradient of its own, and all to what belongs to nobody.
pub(super) fn moves(mcr: &Mcr, effects: &[Effect], net: &dyn Net) -> Result<Moves> {
    let (params, spec) = (net.params(), net.spec());
    let mut features = Vec::with_capacity(spec.widths.len());
    let mut others = Grads::default();
    let columns = |role: Role| {
        let head = role.part == Part::Head { modality: None } && role.is_weight();
        head && spec.capabilities.has(capability::LINEAR_HEADS)
    };
    for m in 0..spec.widths.len() {
        let own = |effect: &Effect| mcr.own(effect.set >> m & 1 == 1);
        features.push(weighted(effects.iter().map(|effect| (&effect.features[m], own(effect))))?);
        for effect in effects {
            let head = |role: Role| role.part == Part::Head { modality: Some(m) };
            others.add_scaled(&effect.others.clone().filter(params, head), own(effect))?;
            let mut part = effect.others.clone().filter(params, columns);
            part.map(params, |_, _, grad| only_columns(grad, m, &spec.widths).map(Some))?;
            others.add_scaled(&part, own(effect))?;
        }
    }
    if mcr.common() != 0. {
        let common = |role: Role| !columns(role) && !matches!(role.part, Part::Head { modality: Some(_) });
        for effect in effects {
            others.add_scaled(&effect.others.clone().filter(params, common), mcr.common())?;
        }
    }
    Ok(Moves { features, others })
}

/// Sum of tensors times their weights.
fn weighted<'a>(mut terms: impl Iterator<Item = (&'a Tensor, f64)>) -> Result<Tensor> {
    let nothing = || aim_core::Error::shape("effects", &[0], "at least one set of modalities");
    let (first, weight) = terms.next().ok_or_else(nothing)?;
    terms.try_fold((first * weight)?, |sum, (x, weight)| Ok((sum + (x * weight)?)?))
}

/// The columns of modality m, zeros elsewhere.
fn only_columns(grad: &Tensor, m: usize, widths: &[usize]) -> Result<Tensor> {
    let start: usize = widths[..m].iter().sum();
    let own = grad.narrow(1, start, widths[m])?;
    Ok(own.pad_with_zeros(1, start, widths[m + 1..].iter().sum())?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::util::number;

    #[test]
    fn divergences_by_hand() {
        let log = |rows: &[[f32; 2]; 2]| Tensor::new(rows, &Device::Cpu).unwrap().log().unwrap();
        let (p, q) = (log(&[[0.5, 0.5], [0.9, 0.1]]), log(&[[1., 1e-30], [0.9, 0.1]]));
        // First row: p against (0.75, 0.25) and (1, 0) against it; the second row does not differ.
        let of_p = 0.5 * (0.5f64 / 0.75).ln() + 0.5 * (0.5f64 / 0.25).ln();
        let by_hand = (of_p + (1f64 / 0.75).ln()) / 2. / 2.;
        assert!((number(&divergence(&p, &q).unwrap()).unwrap() - by_hand).abs() < 1e-6);
        assert!(number(&divergence(&p, &p).unwrap()).unwrap().abs() < 1e-7);
    }
}
