//! Vectors as values, for code that the compiler makes gathers and scatters of where they are arrays.

use std::ops::{Add, Sub};

/// Most lanes that a vector has.
pub(crate) const MOST: usize = 16;

/// As many numbers as an instruction treats at once.
pub(crate) trait Vector: Copy + Add<Output = Self> + Sub<Output = Self> {
    const LANES: usize;
    const ZERO: Self;
    /// The first values of a slice; zeros if it is too short.
    fn load(from: &[f32]) -> Self;
    /// Puts the values at the beginning of a slice, unless it is too short.
    fn store(self, to: &mut [f32]);
    /// One value in every lane.
    fn splat(value: f32) -> Self;
    /// Every lane times a number.
    fn times(self, by: f32) -> Self;
}

/// Something to do with vectors of any width. What it calls must be inlined, or it is not compiled for the instruction
/// set.
pub(crate) trait Work {
    fn run<V: Vector>(self);
}

/// The lanes of the vectors that [`work`] takes where kernels have `lanes`.
pub(crate) fn width(lanes: usize) -> usize {
    if lanes >= MOST { MOST } else { Eight::LANES }
}

/// Does it with vectors of [`width`] lanes, compiled for their instruction set.
pub(crate) fn work(lanes: usize, work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx2")]
        fn avx512(work: impl Work) {
            work.run::<sixteen::Sixteen>();
        }
        #[target_feature(enable = "avx2")]
        fn avx2(work: impl Work) {
            work.run::<Eight>();
        }
        if width(lanes) == MOST && is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the instruction set.
            return unsafe { avx512(work) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the instruction set.
            return unsafe { avx2(work) };
        }
    }
    work.run::<Eight>();
}

/// Eight numbers. Loops in place of closures: what the compiler does not inline is not compiled for the instruction
/// set.
#[derive(Clone, Copy)]
pub(crate) struct Eight([f32; 8]);

impl Add for Eight {
    type Output = Self;
    #[inline(always)]
    fn add(mut self, other: Self) -> Self {
        for i in 0..8 {
            self.0[i] += other.0[i];
        }
        self
    }
}

impl Sub for Eight {
    type Output = Self;
    #[inline(always)]
    fn sub(mut self, other: Self) -> Self {
        for i in 0..8 {
            self.0[i] -= other.0[i];
        }
        self
    }
}

impl Vector for Eight {
    const LANES: usize = 8;
    const ZERO: Self = Self([0.; 8]);
    #[inline(always)]
    fn load(from: &[f32]) -> Self {
        from.first_chunk().map_or(Self::ZERO, |values| Self(*values))
    }
    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        if let Some(to) = to.first_chunk_mut() {
            *to = self.0;
        }
    }
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 8])
    }
    #[inline(always)]
    fn times(mut self, by: f32) -> Self {
        for i in 0..8 {
            self.0[i] *= by;
        }
        self
    }
}

#[cfg(target_arch = "x86_64")]
mod sixteen {
    use std::{
        arch::x86_64::*,
        ops::{Add, Sub},
    };

    use super::Vector;

    /// Sixteen numbers in a register of AVX-512, of which [`super::work`] makes one only where there are such
    /// registers.
    #[derive(Clone, Copy)]
    pub(super) struct Sixteen(__m512);

    impl Add for Sixteen {
        type Output = Self;
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: there is a value of this type, so the processor has the instruction set.
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }
    }

    impl Sub for Sixteen {
        type Output = Self;
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_sub_ps(self.0, other.0) })
        }
    }

    impl Vector for Sixteen {
        const LANES: usize = 16;
        // SAFETY: both are sixteen numbers.
        const ZERO: Self = Self(unsafe { std::mem::transmute::<[f32; 16], __m512>([0.; 16]) });
        #[inline(always)]
        fn load(from: &[f32]) -> Self {
            match from.first_chunk::<16>() {
                // SAFETY: sixteen numbers can be read; only `work` chooses this type.
                Some(values) => Self(unsafe { _mm512_loadu_ps(values.as_ptr()) }),
                None => Self::ZERO,
            }
        }
        #[inline(always)]
        fn store(self, to: &mut [f32]) {
            if let Some(to) = to.first_chunk_mut::<16>() {
                // SAFETY: sixteen numbers can be written.
                unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
            }
        }
        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: only `work` chooses this type.
            Self(unsafe { _mm512_set1_ps(value) })
        }
        #[inline(always)]
        fn times(self, by: f32) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_mul_ps(self.0, _mm512_set1_ps(by)) })
        }
    }
}
