//! Initial values: what a constructor states, drawn by a keyed generator.

use aim_core::{Result, Rng};
use candle_core::{Device, Shape, Tensor};
use candle_nn::{Init, init::NormalOrUniform};

/// Values of that shape.
pub(crate) fn values(init: Init, shape: &[usize], rng: &mut Rng, device: &Device) -> Result<Tensor> {
    match init {
        Init::Const(c) => Ok(Tensor::full(c as f32, shape, device)?),
        Init::Randn { mean, stdev } => fill(shape, device, || mean + stdev * rng.normal()),
        Init::Uniform { lo, up } => fill(shape, device, || rng.range(lo, up)),
        Init::Kaiming { dist, fan, non_linearity } => {
            let fan = fan.for_shape(&Shape::from(shape));
            let std = non_linearity.gain() / (fan as f64).sqrt();
            let bound = 3f64.sqrt() * std;
            let init = match dist {
                NormalOrUniform::Normal => Init::Randn { mean: 0., stdev: std },
                NormalOrUniform::Uniform => Init::Uniform { lo: -bound, up: bound },
            };
            values(init, shape, rng, device)
        }
    }
}

fn fill(shape: &[usize], device: &Device, mut draw: impl FnMut() -> f64) -> Result<Tensor> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw() as f32).collect();
    Ok(Tensor::from_vec(values, shape, device)?)
}

#[cfg(test)]
mod tests {
    use candle_nn::init::{DEFAULT_KAIMING_NORMAL, DEFAULT_KAIMING_UNIFORM, FanInOut, NonLinearity};

    use super::*;

    /// Mean, standard deviation and largest magnitude.
    fn spread(init: Init, shape: &[usize]) -> [f64; 3] {
        let x = values(init, shape, &mut Rng::keyed(0, "w"), &Device::Cpu).unwrap();
        let x = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let n = x.len() as f64;
        let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
        let var = x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
        [mean, var.sqrt(), x.iter().fold(0f64, |a, x| a.max(f64::from(x.abs())))]
    }

    fn near(got: f64, want: f64) -> bool {
        (got - want).abs() <= 0.03 * want.abs().max(0.1)
    }

    #[test]
    fn values_have_the_stated_distribution() {
        assert_eq!(spread(Init::Const(0.5), &[3, 2]), [0.5, 0., 0.5]);
        let [mean, std, _] = spread(Init::Randn { mean: 1., stdev: 0.5 }, &[200, 100]);
        assert!(near(mean, 1.) && near(std, 0.5));
        // Uniform over [1, 3): mean 2, standard deviation 2 / sqrt(12).
        let [mean, std, most] = spread(Init::Uniform { lo: 1., up: 3. }, &[200, 100]);
        assert!(near(mean, 2.) && near(std, 2. / 12f64.sqrt()) && most < 3.);
        // Fan in of [50, 8, 5, 5] is 8 * 25 = 200; with ReLU's gain the variance is 2 / 200.
        let [_, std, _] = spread(DEFAULT_KAIMING_NORMAL, &[50, 8, 5, 5]);
        assert!(near(std, 0.1));
        let [_, std, most] = spread(DEFAULT_KAIMING_UNIFORM, &[50, 8, 5, 5]);
        assert!(near(std, 0.1) && most <= 0.1 * 3f64.sqrt());
        // Fan out is 50 * 25 = 1250, and a gain of 5 makes the deviation 5 / sqrt(1250) = sqrt(0.02).
        let (dist, non_linearity) = (NormalOrUniform::Normal, NonLinearity::ExplicitGain(5.));
        let init = Init::Kaiming { dist, fan: FanInOut::FanOut, non_linearity };
        assert!(near(spread(init, &[50, 8, 5, 5])[1], 0.02f64.sqrt()));
    }
}
