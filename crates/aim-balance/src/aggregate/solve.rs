//! Small systems of linear equations, and convex functions over the simplex.

/// Solution of the linear equations whose last column is the right side; a vanishing pivot is taken as 1e-8.
pub(super) fn solve(rows: &mut [Vec<f64>]) -> Vec<f64> {
    let n = rows.len();
    for k in 0..n {
        let best = (k..n).max_by(|a, b| rows[*a][k].abs().total_cmp(&rows[*b][k].abs())).unwrap_or(k);
        rows.swap(k, best);
        if rows[k][k].abs() < 1e-300 {
            rows[k][k] = 1e-8;
        }
        let pivot = rows[k].clone();
        for row in rows.iter_mut().skip(k + 1) {
            let factor = row[k] / pivot[k];
            row.iter_mut().zip(&pivot).for_each(|(x, p)| *x -= factor * p);
        }
    }
    let mut x = vec![0.; n];
    for k in (0..n).rev() {
        let known: f64 = (k + 1..n).map(|j| rows[k][j] * x[j]).sum();
        x[k] = (rows[k][n] - known) / rows[k][k];
    }
    x
}

/// Minimizes a convex function over the simplex, given its gradient: moves weight between pairs, each to its exact
/// optimum by bisection, until nothing moves. Exact in one sweep for two gradients.
pub(super) fn minimize(m: usize, gradient: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let mut w = vec![1. / m as f64; m];
    for _ in 0..500 {
        let before = w.clone();
        for i in 0..m {
            for j in i + 1..m {
                balance(&mut w, i, j, &gradient);
            }
        }
        if before.iter().zip(&w).all(|(a, b)| (a - b).abs() < 1e-13) {
            break;
        }
    }
    w
}

/// Splits the weight of i and j between them at the optimum.
fn balance(w: &mut [f64], i: usize, j: usize, gradient: &impl Fn(&[f64]) -> Vec<f64>) {
    let total = w[i] + w[j];
    let mut slope = |share: f64| {
        (w[i], w[j]) = (share, total - share);
        let g = gradient(w);
        g[i] - g[j]
    };
    // Where the function is flat between the two, the split stays even.
    if slope(0.) == 0. && slope(total) == 0. {
        slope(total / 2.);
        return;
    }
    let (mut low, mut high) = (0., total);
    if slope(low) >= 0. {
        high = low;
    } else if slope(high) <= 0. {
        low = high;
    }
    for _ in 0..60 {
        let middle = (low + high) / 2.;
        if slope(middle) > 0. { high = middle } else { low = middle }
    }
    slope((low + high) / 2.);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_by_hand() {
        // 3 y = 6 and 2 x + y = 4, in an order that needs the pivot: x = 1, y = 2.
        assert_eq!(solve(&mut [vec![0., 3., 6.], vec![2., 1., 4.]]), [1., 2.]);
        // A system without a unique solution has one of the size that the replaced pivot allows.
        assert!(solve(&mut [vec![0., 0.]]).iter().all(|x| *x == 0.));
    }

    #[test]
    fn a_parabola_over_the_simplex_by_hand() {
        // Half the squared distance from (0.8, 0.4, -0.3): its nearest point of the simplex is (0.7, 0.3, 0).
        let found = minimize(3, |w| vec![w[0] - 0.8, w[1] - 0.4, w[2] + 0.3]);
        assert!(found.iter().zip([0.7, 0.3, 0.]).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
    }
}
