//! The direction: cosines between each modality's part of the head and its classifier.

use aim_core::{Batch, Criterion, Error, Grads, Net, Output, Part, Result};
use candle_core::{Device, Tensor};

use crate::util::{at_head_weights, head_weights, number, one_hot};

/// The term of a step that enters the next one.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    /// Its value.
    pub loss: f64,
    /// Its gradient at each modality's part of the head.
    pub grads: Vec<Tensor>,
}

/// Cosine of two tensors; a length counts as at least 1e-8.
fn cosine(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let length = |x: &Tensor| (x.sqr()?.sum_all()? + 1e-16)?.sqrt();
    Ok((a * b)?.sum_all()?.div(&(length(a)? * length(b)?)?)?)
}

/// Cosines of the gradients of the fused and the classifier's loss at their last layers ([`at_layer`]). The head's
/// share of the gradient goes through its predictions alone.
pub(super) fn of_gradients(seen: &Output, batch: &Batch) -> Result<Vec<Tensor>> {
    let at = |logits: &Tensor, phi: &Tensor| at_layer(logits, phi, batch);
    let one = |(phi, own): (&Tensor, &Tensor)| cosine(&at(&seen.logits, phi)?, &at(&own.detach(), phi)?);
    seen.features.iter().zip(&seen.unimodal).map(one).collect()
}

/// Gradient of the task's loss at the weight of a linear layer that makes these logits `[B, C]` of features, `[C,
/// width]`: `(p sum over c of t - t)^T phi` over the mass of the labels, t the weights of the log probabilities in that
/// loss.
fn at_layer(logits: &Tensor, phi: &Tensor, batch: &Batch) -> Result<Tensor> {
    let target = targets(batch, logits.dim(1)?)?;
    let slope = (aim_ops::softmax(logits)?.broadcast_mul(&target.sum_keepdim(1)?)? - target)?;
    Ok(slope.t()?.matmul(phi)?.affine(1. / batch.criterion.mass(&batch.labels)?, 0.)?)
}

/// Weight of each class's log probability in the loss of each sample, `[B, C]`: its label's row of a unit matrix, as
/// far as nothing is smoothed or weighed.
fn targets(batch: &Batch, classes: usize) -> Result<Tensor> {
    let Criterion { smoothing, weights } = &batch.criterion;
    let target = one_hot(&batch.labels, classes)?.affine(1. - smoothing, smoothing / classes as f64)?;
    let Some(weights) = weights else { return Ok(target) };
    Ok(target.broadcast_mul(&Tensor::new(&**weights, target.device())?)?)
}

/// Mean over modalities of `|c| - c cos`.
pub(super) fn term(cosines: &[Tensor], coefficients: &[f64]) -> Result<Tensor> {
    let one = |(cos, c): (&Tensor, &f64)| cos.affine(-c, c.abs());
    let terms = cosines.iter().zip(coefficients).map(one).collect::<candle_core::Result<Vec<_>>>()?;
    Ok(Tensor::stack(&terms, 0)?.mean_all()?)
}

/// Cosines of the weights, and the term that they give with its gradient at the head.
pub(super) fn of_weights(net: &dyn Net, coefficients: &[f64]) -> Result<(Vec<Tensor>, Pending)> {
    let (heads, classifiers) = (head_weights(net)?, classifiers(net)?);
    let count = coefficients.len() as f64;
    let (mut cosines, mut pending) = (Vec::new(), Pending::default());
    for ((head, own), c) in heads.iter().zip(&classifiers).zip(coefficients) {
        let (head, own) = (head.detach(), own.detach());
        let cos = cosine(&head, &own)?;
        let (a, b) = (number(&head.sqr()?.sum_all()?)?.max(1e-16), number(&own.sqr()?.sum_all()?)?.max(1e-16));
        let value = number(&cos)?;
        // d cos / d head = own / (|head| |own|) - cos head / |head|^2
        let slope = ((own / (a * b).sqrt())? - (head * (value / a))?)?;
        pending.loss += (c.abs() - c * value) / count;
        pending.grads.push((slope * (-c / count))?);
        cosines.push(cos);
    }
    Ok((cosines, pending))
}

/// Weight of each modality's classifier.
fn classifiers(net: &dyn Net) -> Result<Vec<Tensor>> {
    let of = |modality: usize| {
        let wanted = |part: Part| part == Part::UniHead { modality };
        let found = net.params().iter().find(|(_, p)| wanted(p.role.part) && p.role.is_weight());
        let missing = || Error::invalid("model.uni_heads", "gives no head for each modality", "set it to true");
        found.map(|(_, p)| p.var.as_tensor().clone()).ok_or_else(missing)
    };
    (0..net.modalities()).map(of).collect()
}

/// A gradient at each modality's part of the head as a gradient of parameters on their device; that of a state that was
/// loaded lies on the CPU.
pub(super) fn at_heads(parts: &[Tensor], net: &dyn Net, device: &Device) -> Result<Grads> {
    if parts.is_empty() {
        return Ok(Grads::default());
    }
    let parts = parts.iter().map(|part| part.to_device(device)).collect::<candle_core::Result<Vec<_>>>()?;
    at_head_weights(&parts, net)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::joint::cross_entropy;

    #[test]
    fn gradients_are_those_of_the_task_s_loss() {
        let phi = Tensor::new(&[[1f32, -2.], [0.5, 3.], [2., 1.]], &Device::Cpu).unwrap();
        let weight = Var::new(&[[0.3f32, -0.1], [0.2, 0.4], [-0.5, 0.1]], &Device::Cpu).unwrap();
        let logits = phi.matmul(&weight.as_tensor().t().unwrap()).unwrap();
        let mut batch = Batch::new(vec![], Tensor::new(&[0u32, 2, 2], &Device::Cpu).unwrap()).unwrap();
        for (smoothing, weights) in [(0., None), (0.2, None), (0., Some([1., 5., 0.5])), (0.3, Some([2., 0.5, 4.]))] {
            batch.criterion = Criterion { smoothing, weights: weights.map(|w| w.as_slice().into()) };
            let loss = cross_entropy(&logits, &batch).unwrap().backward().unwrap();
            let off = (loss.get(weight.as_tensor()).unwrap() - at_layer(&logits, &phi, &batch).unwrap()).unwrap();
            let off = number(&off.abs().unwrap().max_all().unwrap()).unwrap();
            assert!(off < 1e-6, "{:?}: {off}", batch.criterion);
        }
    }

    #[test]
    fn cosines_by_hand() {
        let of = |values: &[f32; 2]| Tensor::new(values, &Device::Cpu).unwrap();
        let cos = |a, b| number(&cosine(&of(a), &of(b)).unwrap()).unwrap();
        assert!((cos(&[3., 4.], &[4., 3.]) - 0.96).abs() < 1e-6);
        assert_eq!(cos(&[0., 0.], &[4., 3.]), 0.);
        let x = Var::from_tensor(&of(&[0., 0.])).unwrap();
        let grad = cosine(x.as_tensor(), &of(&[1., 0.])).unwrap().backward().unwrap();
        assert!(grad.get(x.as_tensor()).unwrap().to_vec1::<f32>().unwrap().iter().all(|g| g.is_finite()));
    }

    #[test]
    fn the_term_by_hand() {
        let cosines = [0.5f32, -0.5].map(|c| Tensor::new(c, &Device::Cpu).unwrap());
        // |2| - 2 * 0.5 = 1 and |-1| - (-1) (-0.5) = 0.5.
        assert!((number(&term(&cosines, &[2., -1.]).unwrap()).unwrap() - 0.75).abs() < 1e-6);
    }
}
