//! Small pieces that several methods share.

use aim_core::{Batch, Error, Grads, Input, Net, NetSpec, Norm, Output, Params, Part, Pass, Result, Role};
use aim_ops::Reduction;
pub(crate) use aim_ops::unit_rows;
use candle_core::{D, DType, Device, Tensor};

use crate::joint::{cross_entropy, reduced};

/// A scalar tensor as a number.
pub(crate) fn number(t: &Tensor) -> Result<f64> {
    Ok(t.to_dtype(DType::F64)?.to_scalar()?)
}

/// Probability of each sample's true class, `[B]`.
pub(crate) fn true_probability(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(aim_ops::softmax(logits)?.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?)
}

/// Probability of the true class, mean over the batch.
pub(crate) fn mean_true_probability(logits: &Tensor, labels: &Tensor) -> Result<f64> {
    number(&true_probability(&logits.detach(), labels)?.mean_all()?)
}

/// Part of the linear head that reads each modality: columns of one head, or a head of its own.
pub(crate) fn head_weights(net: &dyn Net) -> Result<Vec<Tensor>> {
    let NetSpec { modalities, widths, .. } = net.spec();
    let missing = || Error::invalid("model.fusion", "has no linear head for each modality", "use concat or sum");
    let weight = |modality| {
        let wanted = |r: Role| r.part == Part::Head { modality } && r.is_weight();
        let found = net.params().iter().find(|(_, p)| wanted(p.role));
        found.map(|(_, p)| p.var.as_tensor().clone())
    };
    let Some(joint) = weight(None) else {
        return (0..modalities.len()).map(|m| weight(Some(m)).ok_or_else(missing)).collect();
    };
    if joint.dim(1)? != widths.iter().sum::<usize>() {
        return Err(missing());
    }
    columns(&joint, widths)
}

/// A gradient of each modality's part of the linear head ([`head_weights`]) as a gradient of parameters.
pub(crate) fn at_head_weights(parts: &[Tensor], net: &dyn Net) -> Result<Grads> {
    let weights = |wanted: Option<usize>| {
        let is = move |role: Role| role.part == Part::Head { modality: wanted } && role.is_weight();
        net.params().iter().find(move |(_, p)| is(p.role)).map(|(name, _)| name.clone())
    };
    let mut grads = Grads::default();
    if let Some(name) = weights(None) {
        grads.insert(name, Tensor::cat(parts, 1)?);
        return Ok(grads);
    }
    let own = parts.iter().enumerate().filter_map(|(m, part)| Some((weights(Some(m))?, part.clone())));
    own.for_each(|(name, part)| grads.insert(name, part));
    Ok(grads)
}

/// `x` cut into columns of these widths.
pub(crate) fn columns(x: &Tensor, widths: &[usize]) -> Result<Vec<Tensor>> {
    let starts = widths.iter().scan(0, |end, width| Some(std::mem::replace(end, *end + width)));
    starts.zip(widths).map(|(start, width)| Ok(x.narrow(1, start, *width)?.contiguous()?)).collect()
}

/// A view of a network in which training passes leave running statistics alone: for every forward pass of a step after
/// the first.
pub(crate) struct Still<'a>(pub &'a dyn Net);

impl Still<'_> {
    fn pass<T>(pass: &mut Pass<'_>, f: impl FnOnce(&mut Pass<'_>) -> T) -> T {
        let norm = pass.norm;
        if norm == Norm::Update {
            pass.norm = Norm::Batch;
        }
        let out = f(pass);
        pass.norm = norm;
        out
    }
}

impl Net for Still<'_> {
    fn spec(&self) -> &NetSpec {
        self.0.spec()
    }
    fn params(&self) -> &Params {
        self.0.params()
    }
    fn learnable(&self, modality: usize) -> Vec<usize> {
        self.0.learnable(modality)
    }
    fn encode(&self, modality: usize, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor> {
        Self::pass(pass, |pass| self.0.encode(modality, x, pass))
    }
    fn features(&self, batch: &Batch, pass: &mut Pass<'_>) -> Result<Vec<Tensor>> {
        Self::pass(pass, |pass| self.0.features(batch, pass))
    }
    fn fuse(&self, features: Vec<Tensor>, present: Option<&Tensor>, pass: &mut Pass<'_>) -> Result<Output> {
        Self::pass(pass, |pass| self.0.fuse(features, present, pass))
    }
}

/// The step from weights to their SAM neighbours: `rho g / (|g| + 1e-12)` with one norm over all of `grads`.
pub(crate) fn ascent(grads: &Grads, rho: f64) -> Result<Grads> {
    grads.scaled(rho / (grads.norm()? + 1e-12))
}

/// The same in units of each weight: `rho theta^2 g / (| |theta| g | + 1e-12)`.
pub(crate) fn adaptive_ascent(grads: &Grads, params: &Params, rho: f64) -> Result<Grads> {
    let scaled = |times: fn(&Tensor) -> candle_core::Result<Tensor>| -> Result<Grads> {
        let mut out = grads.clone();
        out.map(params, |name, _, grad| match params.get(name) {
            Some(param) => Ok(Some((times(&param.var.as_detached_tensor())? * grad)?)),
            None => Ok(None),
        })?;
        Ok(out)
    };
    let norm = scaled(Tensor::abs)?.norm()?;
    scaled(Tensor::sqr)?.scaled(rho / (norm + 1e-12))
}

/// Shapley values of a function of subsets. `value[s]` belongs to the set whose members are the bits of `s`:
///
/// `phi_m = sum over S without m of |S|! (M-|S|-1)! / M! (V(S + m) - V(S))`.
pub(crate) fn shapley(value: &[Tensor]) -> Result<Vec<Tensor>> {
    let modalities = value.len().ilog2();
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    let one = |m: u32| {
        let mut phi = value[0].zeros_like()?;
        for s in (0..value.len()).filter(|s| s >> m & 1 == 0) {
            let size = s.count_ones();
            let weight = factorial(size) * factorial(modalities - size - 1) / factorial(modalities);
            phi = (phi + ((&value[s | 1 << m] - &value[s])? * weight)?)?;
        }
        Ok(phi)
    };
    (0..modalities).map(one).collect()
}

/// Which modalities are in the set whose members are the bits of `s`.
pub(crate) fn members(s: usize, modalities: usize) -> Vec<bool> {
    (0..modalities).map(|m| s >> m & 1 == 1).collect()
}

/// The name of a set of modalities: `audio+visual`, or `none`.
pub(crate) fn set_name(s: usize, names: &[String]) -> String {
    let own: Vec<&str> = names.iter().enumerate().filter(|(m, _)| s >> m & 1 == 1).map(|(_, n)| n.as_str()).collect();
    if own.is_empty() { "none".into() } else { own.join("+") }
}

/// Mean over the batch of each sample's loss times a constant weight.
pub(crate) fn weighted_mean(losses: &Tensor, weights: &Tensor) -> Result<Tensor> {
    Ok((losses * weights.detach())?.mean_all()?)
}

/// Mean of one tensor `[B, n]` a modality over the modalities that each sample has; of all where it has none.
pub(crate) fn present_mean(values: &[Tensor], batch: &Batch) -> Result<Tensor> {
    let values = Tensor::stack(values, 1)?;
    let Some(present) = &batch.present else { return Ok(values.mean(1)?) };
    let present = present.to_dtype(values.dtype())?.unsqueeze(2)?;
    let nothing = present.sum_keepdim(1)?.eq(0.)?.to_dtype(values.dtype())?;
    let share = present.broadcast_add(&nothing)?;
    let share = share.broadcast_div(&share.sum_keepdim(1)?)?;
    Ok(values.broadcast_mul(&share)?.sum(1)?)
}

/// Logarithm of the mean over the modalities that a sample has of their probabilities, `[B, classes]`.
pub(crate) fn log_mean_probability(unimodal: &[Tensor], batch: &Batch) -> Result<Tensor> {
    let p = unimodal.iter().map(aim_ops::softmax).collect::<candle_core::Result<Vec<_>>>()?;
    Ok((present_mean(&p, batch)? + 1e-30)?.log()?)
}

/// Each sample's part in the task's loss, `[B]`: their mean is [`cross_entropy`](crate::joint::cross_entropy).
pub(crate) fn sample_losses(logits: &Tensor, batch: &Batch) -> Result<Tensor> {
    let losses = reduced(logits, batch, Reduction::None)?;
    if batch.criterion.weights.is_none() {
        return Ok(losses);
    }
    Ok((losses * (batch.len() as f64 / batch.criterion.mass(&batch.labels)?))?)
}

/// Minus the logarithm of each sample's probability of its class, `[B]`, without gradient: a measure of what logits
/// know, whatever the task's loss makes of labels.
pub(crate) fn log_losses(logits: &Tensor, batch: &Batch) -> Result<Tensor> {
    Ok(aim_ops::cross_entropy(&logits.detach(), &batch.labels, 0., Reduction::None)?)
}

/// Its mean over the batch.
pub(crate) fn log_loss(logits: &Tensor, batch: &Batch) -> Result<f64> {
    number(&aim_ops::cross_entropy(&logits.detach(), &batch.labels, 0., Reduction::Mean)?)
}

/// Number of samples that have modality m.
pub(crate) fn having(m: usize, batch: &Batch) -> Result<f64> {
    let Some(present) = &batch.present else { return Ok(batch.len() as f64) };
    number(&present.narrow(1, m, 1)?.to_dtype(DType::F64)?.sum_all()?)
}

/// Mean over the samples that have modality m of one number each, `[B]`; `None` if no sample has it.
pub(crate) fn mean_present(values: &Tensor, m: usize, batch: &Batch) -> Result<Option<Tensor>> {
    let Some(present) = &batch.present else { return Ok(Some(values.mean_all()?)) };
    let present = present.narrow(1, m, 1)?.squeeze(1)?.to_dtype(values.dtype())?;
    let count = having(m, batch)?;
    Ok(if count > 0. { Some(((values * present)?.sum_all()? / count)?) } else { None })
}

/// Weights of sum 1 by a softmax over scores `[1, K]` or `[rows, K]`, `[rows, K]`; 0 where a sample does not have what
/// is weighed.
pub(crate) fn shares(scores: &Tensor, rows: usize, present: Option<&Tensor>) -> Result<Tensor> {
    let scores = scores.broadcast_as((rows, scores.dim(1)?))?.contiguous()?;
    let scores = match present {
        None => scores,
        Some(present) => (scores + ((present.to_dtype(DType::F32)? - 1.)? * 1e9)?)?,
    };
    Ok(aim_ops::softmax(&scores)?)
}

/// Scores `[1, K]` whose [`shares`] are these weights, in proportion.
pub(crate) fn log_weights(weights: &[f64], device: &Device) -> Result<Tensor> {
    let logs: Vec<f32> = weights.iter().map(|w| w.max(1e-30).ln() as f32).collect();
    Ok(Tensor::new(logs, device)?.unsqueeze(0)?)
}

/// The sum of logits `[B, classes]`, each with its column of the weights `[B, K]`.
pub(crate) fn weighted_sum(logits: &[Tensor], weights: &Tensor) -> Result<Tensor> {
    let weigh = |(k, x): (usize, &Tensor)| Ok(x.broadcast_mul(&weights.narrow(1, k, 1)?)?);
    let parts = logits.iter().enumerate().map(weigh).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::stack(&parts, 0)?.sum(0)?)
}

/// The rows of the samples that have all of these modalities (u32); `None` if those are all rows.
pub(crate) fn rows_with(modalities: &[usize], batch: &Batch) -> Result<Option<Tensor>> {
    let Some(present) = &batch.present else { return Ok(None) };
    let present = present.to_dtype(DType::F32)?.to_vec2::<f32>()?;
    let all = |row: &[f32]| modalities.iter().all(|m| row[*m] > 0.);
    let rows: Vec<u32> = (0..).zip(&present).filter(|(_, row)| all(row)).map(|(i, _)| i).collect();
    let count = rows.len();
    Ok(if count == batch.len() { None } else { Some(Tensor::from_vec(rows, count, batch.labels.device())?) })
}

/// These rows of a tensor; all of them where none are named.
pub(crate) fn pick(x: &Tensor, rows: Option<&Tensor>) -> Result<Tensor> {
    Ok(rows.map_or_else(|| Ok(x.clone()), |rows| x.index_select(rows, 0))?)
}

/// What the task's loss asks of the samples at these rows: their labels and the criterion, without inputs; `None` of no
/// rows.
pub(crate) fn labelled(batch: &Batch, rows: Option<&Tensor>) -> Result<Option<Batch>> {
    if rows.is_some_and(|rows| rows.elem_count() == 0) {
        return Ok(None);
    }
    let labels = pick(&batch.labels, rows)?;
    Ok(Some(Batch { criterion: batch.criterion.clone(), ..Batch::new(vec![], labels)? }))
}

/// Mean cross-entropy over the samples that have modality m, over the mass of their labels; `None` if no sample has it.
pub(crate) fn own_loss(logits: &Tensor, m: usize, batch: &Batch) -> Result<Option<Tensor>> {
    let rows = rows_with(&[m], batch)?;
    let Some(own) = labelled(batch, rows.as_ref())? else { return Ok(None) };
    cross_entropy(&pick(logits, rows.as_ref())?, &own).map(Some)
}

/// The same with a constant weight for each sample of the batch, `[B]`.
pub(crate) fn own_weighted_loss(logits: &Tensor, weights: &Tensor, m: usize, batch: &Batch) -> Result<Option<Tensor>> {
    let rows = rows_with(&[m], batch)?;
    let Some(own) = labelled(batch, rows.as_ref())? else { return Ok(None) };
    let losses = sample_losses(&pick(logits, rows.as_ref())?, &own)?;
    weighted_mean(&losses, &pick(weights, rows.as_ref())?).map(Some)
}

/// Labels as rows of zeros with a 1 at the label, `[B, classes]`.
pub(crate) fn one_hot(labels: &Tensor, classes: usize) -> Result<Tensor> {
    let range = Tensor::arange(0, classes as u32, labels.device())?.unsqueeze(0)?;
    Ok(labels.to_dtype(DType::U32)?.unsqueeze(1)?.broadcast_eq(&range)?.to_dtype(DType::F32)?)
}

/// Factor on gradients of this norm that keeps it within a bound: 1 where it is.
pub(crate) fn clip(norm: f64, bound: Option<f64>) -> f64 {
    bound.map_or(1., |bound| (bound / (norm + 1e-6)).min(1.))
}

/// Logarithm of the sum of exponentials over a dimension, which is left out.
pub(crate) fn log_sum_exp(x: &Tensor, dim: usize) -> Result<Tensor> {
    let max = x.max_keepdim(dim)?.detach();
    Ok((x.broadcast_sub(&max)?.exp()?.sum_keepdim(dim)?.log()? + max)?.squeeze(dim)?)
}

/// Mean over the batch of `KL(p || softmax(logits))`; no gradient to p.
pub(crate) fn divergence(p: &Tensor, logits: &Tensor) -> Result<Tensor> {
    let log_p = (p + 1e-30)?.log()?;
    Ok((p * (log_p - aim_ops::log_softmax(logits)?)?)?.sum(D::Minus1)?.mean_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_by_hand() {
        let p = Tensor::new(&[[0.75f32, 0.25]], &Device::Cpu).unwrap();
        let logits = Tensor::new(&[[1f32, 1.]], &Device::Cpu).unwrap();
        let by_hand = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
        assert!((number(&divergence(&p, &logits).unwrap()).unwrap() - by_hand).abs() < 1e-6);
    }

    #[test]
    fn mean_over_present_modalities_by_hand() {
        let of = |values: &[[f32; 1]; 3]| Tensor::new(values, &Device::Cpu).unwrap();
        let values = [of(&[[1.], [1.], [1.]]), of(&[[3.], [3.], [3.]])];
        let mut batch = Batch::new(vec![], Tensor::zeros(3, DType::U32, &Device::Cpu).unwrap()).unwrap();
        let mean = |batch: &Batch| present_mean(&values, batch).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(mean(&batch), [[2.], [2.], [2.]]);
        batch.present = Some(Tensor::new(&[[1f32, 1.], [0., 1.], [0., 0.]], &Device::Cpu).unwrap());
        assert_eq!(mean(&batch), [[2.], [3.], [2.]]);
    }

    #[test]
    fn losses_of_those_who_have_a_modality_by_hand() {
        // Losses ln 2, ln 4 and ln (4/3); nobody has the second modality.
        let logits = Tensor::new(&[[0f32, 0.], [0., 3f32.ln()], [3f32.ln(), 0.]], &Device::Cpu).unwrap();
        let mut batch = Batch::new(vec![], Tensor::zeros(3, DType::U32, &Device::Cpu).unwrap()).unwrap();
        let loss = |batch: &Batch, m| own_loss(&logits, m, batch).unwrap().map(|loss| number(&loss).unwrap());
        let near =
            |found: Option<f64>, want: f64| assert!((found.unwrap() - want).abs() < 1e-6, "{found:?}, not {want}");
        near(loss(&batch, 0), (2f64.ln() + 4f64.ln() + (4f64 / 3.).ln()) / 3.);
        batch.present = Some(Tensor::new(&[[1f32, 0.], [1., 0.], [0., 0.]], &Device::Cpu).unwrap());
        near(loss(&batch, 0), (2f64.ln() + 4f64.ln()) / 2.);
        assert_eq!(loss(&batch, 1), None);
        // The second sample counts three times, and the third, which lacks the modality, not at all.
        batch.labels = Tensor::new(&[0u32, 1, 1], &Device::Cpu).unwrap();
        batch.criterion.weights = Some([1., 3.].as_slice().into());
        near(loss(&batch, 0), (2f64.ln() + 3. * (4f64 / 3.).ln()) / 4.);
        let weights = Tensor::new(&[1f32, 0.5, 9.], &Device::Cpu).unwrap();
        let weighted = |m| own_weighted_loss(&logits, &weights, m, &batch).unwrap().map(|loss| number(&loss).unwrap());
        near(weighted(0), (2f64.ln() + 0.5 * 3. * (4f64 / 3.).ln()) / 4.);
        assert_eq!(weighted(1), None);
    }

    #[test]
    fn mean_probabilities_by_hand() {
        // Probabilities (1/2, 1/2) and (3/4, 1/4); the second sample lacks the first modality.
        let of = |a: f32| Tensor::new(&[[a, 0.], [a, 0.]], &Device::Cpu).unwrap();
        let mut batch = Batch::new(vec![], Tensor::zeros(2, DType::U32, &Device::Cpu).unwrap()).unwrap();
        batch.present = Some(Tensor::new(&[[1f32, 1.], [0., 1.]], &Device::Cpu).unwrap());
        let found = log_mean_probability(&[of(0.), of(3f32.ln())], &batch).unwrap().exp().unwrap();
        let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(found.iter().zip([0.625, 0.375, 0.75, 0.25]).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn shapley_of_two_and_three_by_hand() {
        let set = |values: &[f64]| values.iter().map(|v| Tensor::new(*v, &Device::Cpu).unwrap()).collect::<Vec<_>>();
        let phi =
            |values: &[f64]| shapley(&set(values)).unwrap().iter().map(|t| number(t).unwrap()).collect::<Vec<_>>();
        assert_eq!(phi(&[0., 0.5, 0.25, 1.]), [0.625, 0.375]);
        // V(S) = |S|: everybody contributes 1.
        let each = phi(&[0., 1., 1., 2., 1., 2., 2., 3.]);
        assert!(each.iter().all(|p| (p - 1.).abs() < 1e-12), "{each:?}");
    }
}
