//! Eigenvalues of small symmetric matrices.

/// Eigenvalues in ascending order and, as rows, their unit eigenvectors, by cyclic Jacobi rotations.
pub(crate) fn symmetric(matrix: &[Vec<f64>]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = matrix.len();
    let mut a = matrix.to_vec();
    let mut vectors: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let size: f64 = a.iter().flatten().map(|x| x * x).sum();
    for _ in 0..100 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j] * a[i][j]).sum();
        if off <= 1e-30 * size {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| a[*i][*i].total_cmp(&a[*j][*j]));
    (order.iter().map(|i| a[*i][*i]).collect(), order.iter().map(|i| vectors[*i].clone()).collect())
}

/// The rotation that makes `a[p][q]` zero.
fn rotate(a: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    if a[p][q] == 0. {
        return;
    }
    let half = (a[q][q] - a[p][p]) / (2. * a[p][q]);
    let sign = if half < 0. { -1. } else { 1. };
    let t = sign / (half.abs() + (half * half + 1.).sqrt());
    let c = 1. / (t * t + 1.).sqrt();
    let s = t * c;
    for row in a.iter_mut() {
        (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
    }
    turn(a, p, q, (c, s));
    turn(vectors, p, q, (c, s));
}

/// Turns two rows in their plane.
fn turn(rows: &mut [Vec<f64>], p: usize, q: usize, (c, s): (f64, f64)) {
    let (left, right) = rows.split_at_mut(q);
    for (x, y) in left[p].iter_mut().zip(&mut right[0]) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_by_hand() {
        let (values, vectors) = symmetric(&[vec![2., 1.], vec![1., 2.]]);
        assert!((values[0] - 1.).abs() < 1e-12 && (values[1] - 3.).abs() < 1e-12);
        assert!((vectors[1][0].abs() - 0.5f64.sqrt()).abs() < 1e-12 && vectors[1][0] * vectors[1][1] > 0.);
    }
}
