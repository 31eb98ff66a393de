//! Weights of the antialiased bilinear filter along one axis.

/// Bits after the point of a weight: products with 8 bits, summed, stay within 32.
pub(super) const BITS: u32 = 22;

/// Weighted inputs of every output along an axis.
pub(super) struct Weights {
    /// First input of each output.
    pub first: Vec<usize>,
    /// Number of weights per output, the same for all.
    pub taps: usize,
    /// Weights times `2^BITS`, output by output.
    pub weights: Vec<i32>,
}

impl Weights {
    /// Weights of `outputs` equal parts of the stretch `[start, end]` of `inputs` samples. Each part reaches as far as
    /// the next one's middle, and at least one sample.
    pub(super) fn new(inputs: usize, [start, end]: [f32; 2], outputs: usize) -> Self {
        // Single precision up to here, as in Pillow.
        let (step, start) = (f64::from(end - start) / outputs as f64, f64::from(start));
        let reach = step.max(1.0);
        let middle = |i: usize| start + (i as f64 + 0.5) * step;
        let range = |i: usize| {
            let first = (middle(i) - reach + 0.5).max(0.0) as usize;
            (first, ((middle(i) + reach + 0.5) as usize).min(inputs))
        };
        let taps = (0..outputs).map(range).map(|(first, end)| end - first).max().unwrap_or(0);
        let first = (0..outputs).map(|i| range(i).0.min(inputs - taps)).collect();
        let mut all = Self { first, taps, weights: vec![0; taps * outputs] };
        for (i, weights) in all.weights.chunks_exact_mut(taps).enumerate() {
            let (first, end) = range(i);
            let triangle = |k: usize| (1.0 - ((k as f64 - middle(i) + 0.5) / reach).abs()).max(0.0);
            let sum: f64 = (first..end).map(triangle).sum();
            let fixed = |k| (triangle(k) / sum * f64::from(1 << BITS) + 0.5) as i32;
            (first..end).for_each(|k| weights[k - all.first[i]] = fixed(k));
        }
        all
    }

    /// First input and the one behind the last that any output uses.
    pub(super) fn range(&self) -> [usize; 2] {
        let ends = self.first.first().zip(self.first.last());
        ends.map_or([0, 0], |(first, last)| [*first, last + self.taps])
    }
}

/// A weighted sum as a value of 8 bits.
#[inline(always)]
pub(super) fn round(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// Sum to start from: one half, for rounding.
pub(super) const HALF: i32 = 1 << (BITS - 1);
