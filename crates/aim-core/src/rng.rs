//! Keyed generators: every draw belongs to a (seed, name), so adding a layer or a method never shifts another's draws.

use candle_core::{Device, Tensor};
use rand::{Rng as _, RngCore, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::{Error, Result};

/// A generator whose stream is a pure function of a seed and a name, the same on every platform.
///
/// ```
/// let mut a = aim_core::Rng::keyed(7, "encoders.audio");
/// let mut b = aim_core::Rng::keyed(7, "encoders.audio");
/// assert_eq!(a.uniform(), b.uniform());
/// ```
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// The generator of `name` under `seed`.
    pub fn keyed(seed: u64, name: &str) -> Self {
        // FNV-1a mixes the name; ChaCha's own seeding spreads the 64 bits over its key.
        let hash =
            name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Self(ChaCha8Rng::seed_from_u64(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// A number from [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.0.random()
    }

    /// A number from [low, high).
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// A number from the standard normal distribution.
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// An index below `n`; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { self.0.random_range(0..n) }
    }

    /// A seed for an operation that draws by itself.
    pub fn seed(&mut self) -> u64 {
        self.next_u64()
    }

    /// A random order of `0..n`.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut self.0);
        order
    }

    /// A tensor of normal draws with mean 0 and standard deviation `std`.
    pub fn normal_tensor(&mut self, shape: &[usize], std: f64, device: &Device) -> Result<Tensor> {
        self.fill(shape, device, |rng| rng.normal() * std)
    }

    /// A tensor of draws from [-bound, bound).
    pub fn uniform_tensor(&mut self, shape: &[usize], bound: f64, device: &Device) -> Result<Tensor> {
        self.fill(shape, device, |rng| rng.range(-bound, bound))
    }

    fn fill(&mut self, shape: &[usize], device: &Device, mut draw: impl FnMut(&mut Self) -> f64) -> Result<Tensor> {
        let values: Vec<f32> = (0..elements(shape)?).map(|_| draw(self) as f32).collect();
        Ok(Tensor::from_vec(values, shape, device)?)
    }
}

/// Most numbers that a parameter may have: 16 GiB of them.
const MOST: usize = 1 << 32;

/// The numbers in a parameter of this shape, which settings decide: checked before anything is allocated.
///
/// # Errors
/// If they are more than any network has.
pub fn elements(shape: &[usize]) -> Result<usize> {
    let size = shape.iter().try_fold(1_usize, |size, axis| size.checked_mul(*axis));
    size.filter(|size| *size <= MOST).ok_or_else(|| {
        let problem = format!("a parameter of shape {shape:?} would have more than 2^32 numbers");
        Error::invalid("model", problem, "use smaller widths, or smaller inputs")
    })
}

impl RngCore for Rng {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

/// The generators of one training step: fresh for every (seed, epoch, step, name), so that there is no generator state
/// to save and a resumed run draws what the uninterrupted one would have drawn.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch, counted from 0.
    pub epoch: usize,
    /// Step since the start of training, counted from 0.
    pub step: usize,
}

impl Draws {
    /// The generator of `name` in this step.
    pub fn rng(&self, name: &str) -> Rng {
        Rng::keyed(self.seed, &format!("{name}@{}.{}", self.epoch, self.step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_seed_and_name_alone() {
        let draw = |seed, name| Rng::keyed(seed, name).next_u64();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
    }

    #[test]
    fn sizes_that_no_network_has_are_refused_before_anything_is_allocated() {
        for shape in [&[1 << 33][..], &[1 << 20, 1 << 20], &[usize::MAX, 2], &[3, usize::MAX, usize::MAX]] {
            let error = Rng::keyed(0, "large").normal_tensor(shape, 1., &Device::Cpu).unwrap_err().to_string();
            assert!(error.contains("would have more than 2^32 numbers; use smaller widths"), "{error}");
        }
        assert_eq!((elements(&[3, 4]).unwrap(), elements(&[0, usize::MAX]).unwrap()), (12, 0));
    }

    #[test]
    fn normal_draws_have_unit_variance() {
        let mut rng = Rng::keyed(0, "normal");
        let xs: Vec<f64> = (0..20_000).map(|_| rng.normal()).collect();
        let mean = xs.iter().sum::<f64>() / 20_000.;
        let var = xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.;
        assert!(mean.abs() < 0.03 && (var - 1.).abs() < 0.04, "{mean} {var}");
    }
}
