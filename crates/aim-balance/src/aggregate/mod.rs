//! Aggregation of several gradients into one. Every rule needs only the matrix of their inner products and answers with
//! the factors by which the gradients are summed, so that it works for any number of gradients of any size.

mod solve;

use aim_core::{Error, Result};

use self::solve::{minimize, solve};

/// Inner products of the gradients.
pub type Gram = Vec<Vec<f64>>;

fn times(gram: &Gram, w: &[f64]) -> Vec<f64> {
    gram.iter().map(|row| row.iter().zip(w).map(|(g, w)| g * w).sum()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// PCGrad (Yu et al., NeurIPS 2020): each gradient loses its part against every gradient that it conflicts with; the
/// sum of what is left. `order[i]` are the others in the order in which gradient i meets them.
pub fn pcgrad(gram: &Gram, order: &[Vec<usize>]) -> Vec<f64> {
    let mut sum = vec![0.; gram.len()];
    for (i, others) in order.iter().enumerate() {
        let mut own = vec![0.; gram.len()];
        own[i] = 1.;
        for &j in others {
            let conflict = dot(&own, &gram[j]);
            if conflict < 0. {
                own[j] -= conflict / (gram[j][j] + 1e-8);
            }
        }
        sum.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
    }
    sum
}

/// MGDA (Sener & Koltun, NeurIPS 2018): the point of least norm among all convex combinations.
pub fn mgda(gram: &Gram) -> Vec<f64> {
    minimize(gram.len(), |w| times(gram, w))
}

/// CAGrad (Liu et al., NeurIPS 2021): the direction within `c |g0|` of the mean gradient g0 that improves the worst
/// loss most. Returns the factors and the dual weights `w`:
///
/// `w = argmin over the simplex of g_w g0 + c |g0| |g_w|`, direction `g0 + c |g0| / |g_w| g_w`, divided by `1 + c^2`
/// (rescale 1), `1 + c` (2) or nothing (0). The small constants are those of LibMTL.
pub fn cagrad(gram: &Gram, c: f64, rescale: u8) -> (Vec<f64>, Vec<f64>) {
    let m = gram.len();
    let uniform = vec![1. / m as f64; m];
    let mean = times(gram, &uniform);
    let radius = c * (dot(&uniform, &mean) + 1e-8).sqrt() + 1e-8;
    let dual = minimize(m, |w| {
        let gw = times(gram, w);
        let norm = (dot(w, &gw) + 1e-8).sqrt();
        mean.iter().zip(gw).map(|(mean, gw)| mean + radius * gw / norm).collect()
    });
    let pull = radius / (dot(&dual, &times(gram, &dual)).max(0.).sqrt() + 1e-8);
    let shrink = match rescale {
        0 => 1.,
        1 => 1. + c * c,
        _ => 1. + c,
    };
    (dual.iter().map(|w| (1. / m as f64 + pull * w) / shrink).collect(), dual)
}

/// IMTL-G (Liu et al., ICLR 2021): the combination, with factors of sum 1, whose projections on all gradients'
/// directions are equal.
///
/// # Errors
/// If there is no gradient.
pub fn imtl(gram: &Gram) -> Result<Vec<f64>> {
    let norms: Vec<f64> = (0..gram.len()).map(|i| gram[i][i].sqrt().max(1e-12)).collect();
    // (g_i)(u_0 - u_j)
    let project = |i: usize, j: usize| gram[i][0] / norms[0] - gram[i][j] / norms[j];
    let size = gram
        .len()
        .checked_sub(1)
        .ok_or_else(|| Error::invalid("imtl", "has no gradient", "report this fault with the command that met it"))?;
    let mut rows: Vec<Vec<f64>> = (1..=size)
        .map(|j| {
            let mut row: Vec<f64> = (1..=size).map(|i| project(0, j) - project(i, j)).collect();
            row.push(project(0, j));
            row
        })
        .collect();
    let rest = solve(&mut rows);
    Ok(std::iter::once(1. - rest.iter().sum::<f64>()).chain(rest).collect())
}

/// FairGrad (Ban & Ji, ICML 2024): factors w > 0 with `G w = w^(-1/fairness)`, whose direction lets the losses fall as
/// fairly as `fairness` asks for. At 1 it is the bargaining solution of Nash-MTL (Navon et al., ICML 2022). G is
/// divided by its Frobenius norm first, as the code of Nash-MTL does: the direction then grows in proportion to the
/// gradients.
///
/// Coordinate by coordinate: with the others fixed, the left side grows with `w_i` and the right side falls, so
/// bisection finds where they meet. Opposite gradients have no solution; factors stay within 1e-6 and 1e6.
pub fn fair(gram: &Gram, fairness: f64) -> Vec<f64> {
    let norm = gram.iter().flatten().map(|g| g * g).sum::<f64>().sqrt();
    let mut w = vec![1.; gram.len()];
    if norm == 0. {
        return w;
    }
    for _ in 0..500 {
        let before = w.clone();
        for i in 0..w.len() {
            let rest = dot(&gram[i], &w) - gram[i][i] * w[i];
            let excess = |w: f64| (gram[i][i] * w + rest) / norm - w.powf(-1. / fairness);
            let (mut low, mut high) = (1e-6f64, 1e6f64);
            for _ in 0..80 {
                let middle = (low * high).sqrt();
                if excess(middle) > 0. { high = middle } else { low = middle }
            }
            w[i] = low;
        }
        if before.iter().zip(&w).all(|(a, b)| (a - b).abs() < 1e-12 * b) {
            break;
        }
    }
    w
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: &[f64], b: &[f64]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
    }

    #[test]
    fn two_gradients_by_hand() {
        // g1 = (1, 0), g2 = (-1, 1).
        let gram = vec![vec![1., -1.], vec![-1., 2.]];
        // The nearest point of the segment to the origin: (g2 (g2 - g1)) / |g1 - g2|^2 = 3/5.
        assert!(close(&mgda(&gram), &[0.6, 0.4]));
        // g1' = g1 + g2/2, g2' = g2 + g1.
        let pcgrad = pcgrad(&gram, &[vec![1], vec![0]]);
        assert!(pcgrad.iter().zip([2., 1.5]).all(|(a, b)| (a - b).abs() < 1e-7));
        // Factors |g2| : |g1|.
        let root = 2f64.sqrt();
        assert!(close(&imtl(&gram).unwrap(), &[root / (1. + root), 1. / (1. + root)]));
    }

    #[test]
    fn three_orthogonal_gradients_by_hand() {
        let gram = vec![vec![1., 0., 0.], vec![0., 1., 0.], vec![0., 0., 4.]];
        // Least norm: weights in proportion to 1/|g|^2.
        assert!(close(&mgda(&gram), &[4. / 9., 4. / 9., 1. / 9.]));
        assert_eq!(pcgrad(&gram, &[vec![1, 2], vec![0, 2], vec![0, 1]]), [1., 1., 1.]);
        assert!(close(&imtl(&gram).unwrap(), &[0.4, 0.4, 0.2]));
    }

    #[test]
    fn fair_factors_of_orthogonal_gradients_by_hand() {
        // G = diag(1, 4), norm sqrt(17): g_i w / sqrt(17) = w^(-1/fairness).
        let (gram, n) = (vec![vec![1., 0.], vec![0., 4.]], 17f64.sqrt());
        assert!(close(&fair(&gram, 1.), &[n.sqrt(), (n / 4.).sqrt()]));
        assert!(close(&fair(&gram, 2.), &[n.powf(2. / 3.), (n / 4.).powf(2. / 3.)]));
        assert_eq!(fair(&vec![vec![0., 0.], vec![0., 0.]], 1.), [1., 1.]);
    }

    #[test]
    fn fair_factors_of_three_conflicting_gradients_meet_their_condition() {
        // (1, 0, 0), (-0.5, 1, 0) and (0, -1, 2).
        let gram = vec![vec![1., -0.5, 0.], vec![-0.5, 1.25, -1.], vec![0., -1., 5.]];
        let norm = gram.iter().flatten().map(|g| g * g).sum::<f64>().sqrt();
        for fairness in [1., 2., 10.] {
            let w = fair(&gram, fairness);
            let right = w.iter().map(|w| w.powf(-1. / fairness) * norm);
            assert!(times(&gram, &w).iter().zip(right).all(|(a, b)| (a - b).abs() < 1e-8), "{w:?}");
        }
    }

    #[test]
    fn cagrad_without_radius_is_the_mean() {
        let gram = vec![vec![1., 0.], vec![0., 3.]];
        let (factors, _) = cagrad(&gram, 0., 1);
        assert!(factors.iter().all(|f| (f - 0.5).abs() < 1e-6));
    }
}
