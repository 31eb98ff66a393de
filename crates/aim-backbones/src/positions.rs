//! Position embeddings of a checkpoint for images of another size.

use aim_core::Result;
use candle_core::{Device, Tensor};

/// Constant of the cubic kernel that PyTorch interpolates by.
const A: f64 = -0.75;

/// A table `[1, 1 + side * side, width]` of a class token's position and a square grid's, for a grid `[height, width]`:
/// bicubic interpolation as by PyTorch's `interpolate(mode="bicubic", align_corners=False)`, unless the grid is the
/// table's. None if the table's is not square.
pub(crate) fn resized(table: &Tensor, grid: [usize; 2]) -> Result<Option<Tensor>> {
    let (_, tokens, width) = table.dims3()?;
    let side = tokens.saturating_sub(1).isqrt();
    if side == 0 || side * side + 1 != tokens {
        return Ok(None);
    }
    if grid == [side, side] {
        return Ok(Some(table.clone()));
    }
    let [down, across] = [taps(side, grid[0])?, taps(side, grid[1])?];
    // [side, side * width], then [height, side, width] with the columns in front.
    let rows = down.matmul(&table.narrow(1, 1, side * side)?.reshape((side, side * width))?)?;
    let columns = rows.reshape((grid[0], side, width))?.transpose(0, 1)?.reshape((side, grid[0] * width))?;
    let cells = across.matmul(&columns)?.reshape((grid[1], grid[0], width))?.transpose(0, 1)?;
    let cells = cells.reshape((1, grid[0] * grid[1], width))?;
    Ok(Some(Tensor::cat(&[table.narrow(1, 0, 1)?, cells], 1)?))
}

/// How much each of `from` values counts for each of `to` that stand evenly in their place: `[to, from]`.
fn taps(from: usize, to: usize) -> Result<Tensor> {
    let mut matrix = vec![0f32; to * from];
    for i in 0..to {
        let at = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        for offset in -1..=2 {
            let tap = at.floor() + f64::from(offset);
            let edge = tap.clamp(0., (from - 1) as f64) as usize;
            matrix[i * from + edge] += cubic((at - tap).abs()) as f32;
        }
    }
    Ok(Tensor::from_vec(matrix, (to, from), &Device::Cpu)?)
}

/// The cubic kernel at a distance.
fn cubic(x: f64) -> f64 {
    match x {
        x if x <= 1. => ((A + 2.) * x - (A + 3.)) * x * x + 1.,
        x if x < 2. => ((A * x - 5. * A) * x + 8. * A) * x - 4. * A,
        _ => 0.,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_grid_stays_as_it_is_and_a_plane_is_sampled() {
        let table: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let table = Tensor::from_vec(table, (1, 10, 1), &Device::Cpu).unwrap();
        let of = |grid| resized(&table, grid).unwrap().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(of([3, 3]), (0..10).map(|i| i as f32).collect::<Vec<_>>());
        // Cell (i, j) of the grid is 1 + 3 i + j; the one between them is the mean of all.
        let middle = of([1, 1]);
        assert!(middle.len() == 2 && middle[0] == 0. && (middle[1] - 5.).abs() < 1e-5, "{middle:?}");
        assert_eq!(of([2, 4]).len(), 9);
        let broken = Tensor::zeros((1, 4, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(resized(&broken, [2, 2]).unwrap().is_none());
    }
}
