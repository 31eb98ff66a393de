//! Which dimensions of a feature tell classes apart.

use aim_core::{Error, Result};
use candle_core::{DType, Tensor};

/// What the dimensions of a modality's feature tell.
#[derive(Clone, Debug)]
pub struct Separation {
    /// Share of the samples whose value in a dimension is nearest to the mean of their own class there.
    pub rate: Vec<f64>,
    /// Whether that is above the mean of all dimensions.
    pub effective: Vec<bool>,
}

/// Separates the dimensions of features `[N, width]`. The smallest of equally near classes counts as the nearest, and
/// classes without samples do not take part.
///
/// # Errors
/// If the features are no matrix, or a label is no class.
pub fn separate(features: &Tensor, labels: &[u32], classes: usize) -> Result<Separation> {
    let (rows, width) = (features.to_dtype(DType::F64)?.to_vec2::<f64>()?, features.dim(1)?);
    let mut means = vec![(vec![0.; width], 0.); classes];
    for (row, label) in rows.iter().zip(labels) {
        let unknown = || {
            let problem = format!("label {label} is none of {classes} classes");
            Error::invalid("labels", problem, "number the classes from 0")
        };
        let (sum, count) = means.get_mut(*label as usize).ok_or_else(unknown)?;
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        *count += 1.;
    }
    let means: Vec<(u32, Vec<f64>)> = (0..)
        .zip(means)
        .filter(|(_, (_, count))| *count > 0.)
        .map(|(class, (sum, count))| (class, sum.iter().map(|sum| sum / count).collect()))
        .collect();
    let told = |k: usize, row: &[f64], label: u32| {
        let apart = |(class, mean): &(u32, Vec<f64>)| (*class, (row[k] - mean[k]).abs());
        let nearest = means.iter().map(apart).reduce(|near, own| if own.1 < near.1 { own } else { near });
        nearest.is_some_and(|(class, _)| class == label)
    };
    let rate = |k: usize| {
        let right = rows.iter().zip(labels).filter(|(row, label)| told(k, row, **label)).count();
        right as f64 / rows.len().max(1) as f64
    };
    let rate: Vec<f64> = (0..width).map(rate).collect();
    let mean = rate.iter().sum::<f64>() / width.max(1) as f64;
    let effective = rate.iter().map(|rate| *rate > mean).collect();
    Ok(Separation { rate, effective })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn dimensions_by_hand() {
        // Means of class 0 are (0, 0, 1), of class 2 (4, 1, 1); class 1 has no sample. The first dimension tells all
        // samples, the second those at 0 and 2 (0.5 each way), the third none but class 0, the smaller of equals.
        let x = Tensor::new(&[[-1f32, -1., 1.], [1., 1., 1.], [3., 0., 1.], [5., 2., 1.]], &Device::Cpu).unwrap();
        let Separation { rate, effective } = separate(&x, &[0, 0, 2, 2], 3).unwrap();
        assert_eq!(rate, [1., 0.5, 0.5]);
        assert_eq!(effective, [true, false, false]);
    }

    #[test]
    fn a_label_that_is_no_class_is_refused() {
        let error = separate(&Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap(), &[0, 2], 2).unwrap_err();
        assert!(error.to_string().contains("label 2 is none of 2 classes"), "{error}");
    }

    #[test]
    fn features_that_are_all_alike_tell_nothing() {
        let x = Tensor::ones((4, 3), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(separate(&x, &[0, 1, 1, 1], 2).unwrap().effective, [false; 3]);
    }
}
