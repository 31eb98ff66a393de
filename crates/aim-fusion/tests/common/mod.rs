//! Tensors compared with PyTorch's figures.

use candle_core::{DType, Tensor};

/// All values as f32.
pub fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Equal but for 1e-4 of the largest value, and rounding.
pub fn close(what: &str, got: &Tensor, want: &Tensor) {
    assert_eq!(got.dims(), want.dims(), "{what}");
    let (got, want) = (values(got), values(want));
    let most = want.iter().fold(0f32, |most, x| most.max(x.abs()));
    let apart = got.iter().zip(&want).map(|(g, w)| (g - w).abs()).fold(0f32, f32::max);
    assert!(apart <= 1e-4 * most + 2e-5, "{what}: {apart} apart, the largest value is {most}");
}
