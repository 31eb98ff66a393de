//! How fast a modality learns through its gate, compared with its encoder and head.

use aim_core::{Grads, Params, Part, Result, Role};

use crate::util::number;

/// Conditional learning speed of a modality. Squares have a floor, so that a layer without gradient is slow, not
/// infinite.
pub(super) fn speed(params: &Params, grads: &Grads, m: usize) -> Result<f64> {
    let bypass = relative(params, grads, |role| role.part == Part::Gate { modality: m })?;
    let main = |role: Role| role.encoder() == Some(m) || role.part == Part::Head { modality: Some(m) };
    Ok((bypass / relative(params, grads, main)?).log10())
}

/// `|g|^2 / |w|^2` over the parameters of some roles.
fn relative(params: &Params, grads: &Grads, wanted: impl Fn(Role) -> bool) -> Result<f64> {
    let (mut gradient, mut weight) = (1e-24, 1e-24);
    for (name, param) in params.iter().filter(|(_, p)| wanted(p.role)) {
        if let Some(grad) = grads.get(name) {
            gradient += number(&grad.sqr()?.sum_all()?)?;
        }
        weight += number(&param.var.as_detached_tensor().sqr()?.sum_all()?)?;
    }
    Ok(gradient / weight)
}

/// The modality with the largest speed, if it is ahead of the smallest by more than `alpha`.
pub(super) fn fastest(speeds: &[f64], alpha: f64) -> Option<usize> {
    let ranked = |a: &(usize, &f64), b: &(usize, &f64)| a.1.total_cmp(b.1);
    let (first, last) = (speeds.iter().enumerate().max_by(ranked)?, speeds.iter().enumerate().min_by(ranked)?);
    (first.1 - last.1 > alpha).then_some(first.0)
}

#[cfg(test)]
mod tests {
    use aim_core::Kind;
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn speeds_by_hand() {
        let (mut params, mut grads) = (Params::default(), Grads::default());
        let tensor = |values: [f32; 2]| Tensor::new(&values, &Device::Cpu).unwrap();
        for (name, part, weight, grad) in [
            ("gate", Part::Gate { modality: 0 }, [1., 2.], [3., 1.]),
            ("encoder", Part::Encoder { modality: 0, depth: 0 }, [0., 3.], [0., 1.]),
            ("head", Part::Head { modality: Some(0) }, [4., 0.], [2., 0.]),
            ("other", Part::Head { modality: Some(1) }, [9., 9.], [9., 9.]),
        ] {
            params.add(name, Role { part, kind: Kind::Linear }, &tensor(weight)).unwrap();
            grads.insert(name.into(), tensor(grad));
        }
        // Bypass: 10 / 5. Main: (1 + 4) / (9 + 16). Their ratio is 10.
        assert!((speed(&params, &grads, 0).unwrap() - 1.).abs() < 1e-9);
    }

    #[test]
    fn the_fastest_is_held_if_it_is_far_ahead() {
        assert_eq!(fastest(&[-1., 0.5, -0.2], 1.), Some(1));
        assert_eq!(fastest(&[-1., 0.5, -0.2], 1.5), None);
    }
}
