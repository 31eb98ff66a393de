//! Tests against references, finite differences and the compositions.

use candle_core::{Device, Result, Tensor, Var};

mod contract;
mod conv;
mod noise;
mod norm;
mod pool;
mod relay;
mod update;

/// Reproducible values in `[-1, 1)`, all different with high probability.
pub(crate) fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32) / (1u64 << 23) as f32 - 1.
    };
    let n = shape.iter().product::<usize>();
    Tensor::from_vec((0..n).map(|_| next()).collect::<Vec<f32>>(), shape, &Device::Cpu).unwrap()
}

/// The same values in a layout that is not contiguous: dimensions stored in reverse order, from an offset on.
pub(crate) fn scattered(t: &Tensor) -> Tensor {
    let reversed: Vec<usize> = (0..t.rank()).rev().collect();
    let stored = t.permute(reversed.clone()).unwrap().contiguous().unwrap();
    let padded = Tensor::cat(&[&stored, &stored], 0).unwrap();
    padded.narrow(0, stored.dim(0).unwrap(), stored.dim(0).unwrap()).unwrap().permute(reversed).unwrap()
}

pub(crate) fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Fails where two tensors differ by more than `tolerance`, relative to the largest magnitude of the second.
pub(crate) fn assert_close(got: &Tensor, want: &Tensor, tolerance: f32, what: &str) {
    assert_eq!(got.dims(), want.dims(), "{what}: shapes");
    let (got, want) = (values(got), values(want));
    let scale = want.iter().fold(1e-6_f32, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        assert!((g - w).abs() <= tolerance * scale, "{what}: element {i} is {g}, expected {w} (scale {scale})");
    }
}

fn weighted_sum(y: &Tensor) -> f64 {
    let weights = values(&random(y.dims(), 99));
    values(y).iter().zip(weights).map(|(&y, w)| f64::from(y) * f64::from(w)).sum()
}

/// The gradients of a randomly weighted sum of `f`'s output; `None` where there is none.
pub(crate) fn gradients(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> (Tensor, Vec<Option<Tensor>>) {
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(&t.contiguous().unwrap()).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = f(&tensors).unwrap();
    let weights = random(y.dims(), 99);
    let grads = (&y * weights).unwrap().sum_all().unwrap().backward().unwrap();
    (y.detach(), vars.iter().map(|v| grads.get(v).cloned()).collect())
}

/// Compares every gradient of `f` with central differences of step `h`, on a sample of elements of each input.
pub(crate) fn check_gradients(inputs: &[Tensor], h: f32, tolerance: f32, f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let (_, grads) = gradients(inputs, &f);
    for (which, grad) in grads.iter().enumerate() {
        let grad = values(grad.as_ref().unwrap_or_else(|| panic!("input {which} has no gradient")));
        let scale = grad.iter().fold(1e-3_f32, |m, g| m.max(g.abs()));
        let start = values(&inputs[which]);
        for i in (0..start.len()).step_by(start.len().div_ceil(40)) {
            let at = |delta: f32| {
                let mut moved = start.clone();
                moved[i] += delta;
                let mut inputs = inputs.to_vec();
                inputs[which] = Tensor::from_vec(moved, inputs[which].shape(), &Device::Cpu).unwrap();
                weighted_sum(&f(&inputs).unwrap())
            };
            let numeric = ((at(h) - at(-h)) / (2. * f64::from(h))) as f32;
            let error = (numeric - grad[i]).abs();
            assert!(error <= tolerance * scale, "input {which}, element {i}: {} but numerically {numeric}", grad[i]);
        }
    }
}

/// Output and gradients of two implementations agree.
pub(crate) fn assert_agree(
    inputs: &[Tensor],
    tolerance: f32,
    fast: impl Fn(&[Tensor]) -> Result<Tensor>,
    reference: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let (y, grads) = gradients(inputs, fast);
    let (want, want_grads) = gradients(inputs, reference);
    assert_close(&y, &want, tolerance, "output");
    for (i, (g, w)) in grads.iter().zip(&want_grads).enumerate() {
        match (g, w) {
            (Some(g), Some(w)) => assert_close(g, w, tolerance, &format!("gradient {i}")),
            (None, None) => {}
            _ => panic!("input {i}: gradient {:?}, expected {:?}", g.is_some(), w.is_some()),
        }
    }
}
