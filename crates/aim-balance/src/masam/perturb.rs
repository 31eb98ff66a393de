//! Cosines of gradients and the moves that follow them.

use std::sync::Arc;

use aim_core::{Grads, Kind, Params, Part, Result};
use candle_core::Tensor;

use crate::util::number;

/// Cosine of two gradients over the parameters of the second; 0 where one of them vanishes.
pub(super) fn cosine(u: &Grads, f: &Grads) -> Result<f64> {
    let own: f64 = f.iter().filter_map(|(name, _)| u.get(name)).map(|u| product(u, u)).sum::<Result<f64>>()?;
    ratio(u.dot(f)?, own, f.dot(f)?)
}

/// Mean over tensors of their cosines.
pub(super) fn mean_cosine(u: &Grads, f: &Grads) -> Result<f64> {
    let cosines = f.iter().filter_map(|(name, f)| Some(tensor_cosine(u.get(name)?, f)));
    let cosines = cosines.collect::<Result<Vec<f64>>>()?;
    Ok(cosines.iter().sum::<f64>() / cosines.len().max(1) as f64)
}

fn tensor_cosine(u: &Tensor, f: &Tensor) -> Result<f64> {
    ratio(product(u, f)?, product(u, u)?, product(f, f)?)
}

fn product(a: &Tensor, b: &Tensor) -> Result<f64> {
    number(&(a * b)?.sum_all()?)
}

/// A cosine of an inner product and two squared lengths.
fn ratio(product: f64, one: f64, other: f64) -> Result<f64> {
    let lengths = one.sqrt() * other.sqrt();
    Ok(if lengths > 0. { product / lengths } else { 0. })
}

/// The move along f by this length; none where f vanishes.
pub(super) fn along(f: &Grads, length: f64) -> Result<Grads> {
    let norm = f.norm()?;
    f.scaled(if norm > 0. { length / norm } else { 0. })
}

/// The move of the released code: each tensor follows f, by as much of it as u shares where they agree.
pub(super) fn by_tensor(f: &Grads, u: &Grads, rho: f64, params: &Params) -> Result<Grads> {
    let mut parts = Grads::default();
    for (name, f) in f.iter() {
        let (shared, own) = (u.get(name).map_or(Ok(0.), |u| product(u, f))?, product(f, f)?);
        let factor = if shared < 0. {
            1.
        } else if own > 0. {
            shared / own
        } else {
            0.
        };
        parts.insert(name.clone(), (f * factor)?);
    }
    let last = last_bias(f, params).and_then(|name| Some((u.get(&name)?, f.get(&name)?)));
    let last = last.map_or(Ok(0.), |(u, f)| tensor_cosine(u, f))?;
    let length = rho * if last > 0. { last } else { 1. };
    parts.scaled(length / (parts.norm()? + 1e-12))
}

/// The last bias of the deepest block, which the released networks register last.
fn last_bias(f: &Grads, params: &Params) -> Option<Arc<str>> {
    let depth = |name: &Arc<str>| match params.get(name)?.role.part {
        Part::Encoder { depth, .. } | Part::Adapter { depth, .. } => Some(depth),
        _ => None,
    };
    let shift = |name: &Arc<str>| {
        let kind = params.get(name).map(|p| p.role.kind);
        kind == Some(Kind::Bias) || (kind == Some(Kind::Norm) && name.ends_with("bias"))
    };
    f.iter().map(|(name, _)| name).filter(|name| shift(name)).max_by_key(|name| (depth(name), (*name).clone())).cloned()
}

#[cfg(test)]
mod tests {
    use aim_core::Role;
    use candle_core::Device;

    use super::*;

    fn grads(weight: [f32; 2], bias: [f32; 1]) -> Grads {
        let mut grads = Grads::default();
        grads.insert("a.weight".into(), Tensor::new(&weight, &Device::Cpu).unwrap());
        grads.insert("a.bias".into(), Tensor::new(&bias, &Device::Cpu).unwrap());
        grads
    }

    #[test]
    fn cosines_by_hand() {
        let (u, f) = (grads([4., 3.], [0.]), grads([3., 4.], [12.]));
        // 24 over 5 and 13; by tensor 24/25 and 0.
        assert!((cosine(&u, &f).unwrap() - 24. / 65.).abs() < 1e-6);
        assert!((mean_cosine(&u, &f).unwrap() - 0.48).abs() < 1e-6);
        assert_eq!(cosine(&Grads::default(), &f).unwrap(), 0.);
    }

    #[test]
    fn released_moves_by_hand() {
        let mut params = Params::default();
        for (name, kind) in [("a.weight", Kind::Linear), ("a.bias", Kind::Bias)] {
            let role = Role { part: Part::Encoder { modality: 0, depth: 0 }, kind };
            params.add(name, role, &Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
        }
        let found = |u: Grads| {
            let shift = by_tensor(&grads([3., 4.], [12.]), &u, 0.5, &params).unwrap();
            let of = |name: &str| shift.get(name).unwrap().to_vec1::<f32>().unwrap();
            [of("a.weight"), of("a.bias")].concat()
        };
        let near = |found: Vec<f32>, wanted: [f32; 3]| {
            assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?} and not {wanted:?}");
        };
        // The weight's share is 24/25 of (3, 4), the bias disagrees and moves along 12; length 0.5 over
        // sqrt(0.96^2 25 + 144).
        let scale = 0.5 / (0.96f32 * 0.96 * 25. + 144.).sqrt();
        near(found(grads([4., 3.], [-1.])), [0.96 * 3. * scale, 0.96 * 4. * scale, 12. * scale]);
        // The bias agrees wholly and keeps 1/12 of itself; its cosine of 1 changes nothing.
        let scale = 0.5 / (0.96f32 * 0.96 * 25. + 1.).sqrt();
        near(found(grads([4., 3.], [1.])), [0.96 * 3. * scale, 0.96 * 4. * scale, scale]);
    }
}
