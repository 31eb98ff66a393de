//! What this machine can do at most, and what this process has used of it.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_set1_ps};
use std::{hint::black_box, time::Duration};

use aim_core::Result;
use rayon::prelude::*;

use crate::Timing;

/// The machine's measured limits, with the threads of the current pool.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Fused multiply-adds on registers, 10^9 operations a second (two each): no matrix product can be faster.
    pub gflops: f64,
    /// Copying memory that no cache holds, 10^9 bytes a second, read and written.
    pub gbps: f64,
}

const BUDGET: Duration = Duration::from_secs(1);
/// Values that are copied; several times the largest cache.
const COPIED: usize = 1 << 26;
const CHUNK: usize = 1 << 16;

impl Limits {
    /// Measures them in a few seconds.
    ///
    /// # Errors
    /// None of its own.
    pub fn measure() -> Result<Self> {
        Ok(Self { gflops: arithmetic()?, gbps: copying()? })
    }
}

fn arithmetic() -> Result<f64> {
    let threads = rayon::current_num_threads();
    let all = || {
        let operations: usize = (0..threads).into_par_iter().with_max_len(1).map(|_| multiply_add()).sum();
        black_box(operations);
        Ok(())
    };
    Ok((threads * multiply_add()) as f64 / (Timing::within(BUDGET, all)?.min_ms * 1e6))
}

fn copying() -> Result<f64> {
    let (from, mut to) = (vec![1f32; COPIED], vec![0f32; COPIED]);
    let copy = || {
        to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(to, from)| to.copy_from_slice(from));
        black_box(&mut to);
        Ok(())
    };
    Ok((2 * COPIED * size_of::<f32>()) as f64 / (Timing::within(BUDGET, copy)?.min_ms * 1e6))
}

/// Fused multiply-adds with the processor's widest vectors; gives the number of operations.
fn multiply_add() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the instruction set.
            return unsafe { avx512() };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the instruction sets.
            return unsafe { avx2() };
        }
    }
    chains(|x| [x; 4], |x, a, b| std::array::from_fn(|i| x[i] * a[i] + b[i]))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512() -> usize {
    chains(|x| _mm512_set1_ps(x), |x, a, b| _mm512_fmadd_ps(x, a, b))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2() -> usize {
    chains(|x| _mm256_set1_ps(x), |x, a, b| _mm256_fmadd_ps(x, a, b))
}

/// Twelve sums of vectors that do not wait for each other: enough to hide an addition's latency, few enough for the
/// registers.
#[inline(always)]
fn chains<V: Copy>(splat: impl Fn(f32) -> V, step: impl Fn(V, V, V) -> V) -> usize {
    const ROUNDS: usize = 1 << 20;
    let (a, b) = (splat(black_box(0.999)), splat(black_box(0.001)));
    let mut sums = [splat(1.); 12];
    for _ in 0..ROUNDS {
        for sum in &mut sums {
            *sum = step(*sum, a, b);
        }
    }
    black_box(sums);
    2 * ROUNDS * sums.len() * size_of::<V>() / size_of::<f32>()
}

/// Most memory that this process has held at a time, in MiB; `None` where the system does not say.
pub fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? / 1024.)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers() {
        let limits = Limits::measure().unwrap();
        assert!(limits.gflops > 0.1 && limits.gbps > 0.1, "{limits:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_is_used_counts() {
        let before = peak_rss_mb().unwrap();
        let memory = black_box(vec![1u8; (before as usize + 64) << 20]);
        assert!(peak_rss_mb().unwrap() > before + 60., "a peak that was reached before does not count");
        drop(memory);
    }
}
