//! Normal noise by the method of Box and Muller, and the spread of what it is added to.

use candle_core::{Result, Tensor};

use super::{
    math::{ln, turn},
    par,
    shared::{Shared, filled},
    simd::kernel,
};
use crate::{host, random::bits};

/// Elements drawn together: the first half are the cosines of their pairs, the second half the sines.
const BLOCK: usize = 32;
const PAIRS: usize = BLOCK / 2;

/// The draws of a block.
#[inline(always)]
fn normals(key: u64, block: usize) -> [f32; BLOCK] {
    let (mut distance, mut angle) = ([0u32; PAIRS], [0u32; PAIRS]);
    for i in 0..PAIRS {
        let bits = bits(key, block * PAIRS + i);
        (distance[i], angle[i]) = ((bits >> 40) as u32, bits as u32 & 0xff_ffff);
    }
    let mut draws = [0f32; BLOCK];
    let (cosines, sines) = draws.split_at_mut(PAIRS);
    for i in 0..PAIRS {
        // 24 bits each: from (0, 1], and from [0, 1) of a turn.
        let u = (distance[i] as i32 + 1) as f32 * (1. / 16_777_216.);
        let (cos, sin) = turn(angle[i] as i32 as f32 * (1. / 16_777_216.));
        let radius = (-2. * ln(u)).sqrt();
        (cosines[i], sines[i]) = (radius * cos, radius * sin);
    }
    draws
}

kernel! {
    /// `scale * x + std * n` for the elements of the blocks from `first` on.
    fn add_noise(y: &mut [f32], x: &[f32], scale: f32, std: f32, key: u64, first: usize) {
        for (i, (y, x)) in y.chunks_mut(BLOCK).zip(x.chunks(BLOCK)).enumerate() {
            let draws = normals(key, first + i);
            for (y, (x, n)) in y.iter_mut().zip(x.iter().zip(&draws)) {
                *y = scale * x + std * n;
            }
        }
    }
}

pub(crate) fn noisy(x: &Tensor, scale: f32, std: f32, key: u64) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let y = host::read("noisy", [x], |[x]| {
        let fill = |out: Shared<'_>| {
            par::runs(x.len().div_ceil(BLOCK), 4 * BLOCK, |run| {
                let of = run.start * BLOCK..x.len().min(run.end * BLOCK);
                // SAFETY: runs do not overlap.
                let y = unsafe { out.part(of.start, of.len()) };
                add_noise(y, &x[of], scale, std, key, run.start);
            });
        };
        // SAFETY: the runs cover all elements.
        Ok(unsafe { filled(x.len(), fill) })
    })?;
    Tensor::from_vec(y, x.shape(), x.device())
}

/// Elements whose sums are f32, before they join the others: constant, so that sums do not depend on the number of
/// threads.
const SUMMED: usize = 4096;

kernel! {
    /// The sums of `x - from` and of its square.
    fn sums(x: &[f32], from: f32) -> [f32; 2] {
        let (mut sum, mut squares) = ([0f32; 16], [0f32; 16]);
        let (chunks, rest) = x.as_chunks::<16>();
        for chunk in chunks {
            for i in 0..16 {
                let d = chunk[i] - from;
                sum[i] += d;
                squares[i] += d * d;
            }
        }
        for (i, x) in rest.iter().enumerate() {
            let d = x - from;
            sum[i] += d;
            squares[i] += d * d;
        }
        [sum, squares].map(|s| s.iter().sum())
    }
}

/// Standard deviation of all elements (n - 1).
pub(crate) fn spread(x: &Tensor) -> Result<f64> {
    let x = &x.contiguous()?;
    host::read("spread", [x], |[x]| {
        // Around the first element, so that equal elements have no spread, however large they are.
        let (first, blocks) = (x[0], x.len().div_ceil(SUMMED));
        let mut partial = vec![[0f32; 2]; blocks];
        let out = Shared::new(&mut partial);
        par::runs(blocks, SUMMED, |run| {
            // SAFETY: runs do not overlap.
            let partial = unsafe { out.part(run.start, run.len()) };
            for (sum, x) in partial.iter_mut().zip(x[run.start * SUMMED..].chunks(SUMMED)) {
                *sum = sums(x, first);
            }
        });
        let total = |i: usize| partial.iter().map(|p| f64::from(p[i])).sum::<f64>();
        let (n, sum, squares) = (x.len() as f64, total(0), total(1));
        Ok(((squares - sum * sum / n).max(0.) / (n - 1.)).sqrt())
    })
}
