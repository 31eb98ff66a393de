//! A modality's gate: its running mean, and the operation that puts the mean in its place.

use aim_core::{FeatureOp, Result, Rng, Site};
use candle_core::Tensor;

/// Running mean of a gate `[1, width]` and the steps that it is made of.
#[derive(Clone, Default)]
pub(super) struct Gate {
    pub mean: Option<Tensor>,
    pub steps: usize,
}

impl Gate {
    pub fn learn(&mut self, gate: &Tensor) -> Result<()> {
        let now = gate.detach().mean_keepdim(0)?;
        self.steps += 1;
        self.mean = Some(match &self.mean {
            None => now,
            Some(mean) => {
                let mean = mean.to_device(now.device())?;
                (&mean + ((now - &mean)? / self.steps as f64)?)?
            }
        });
        Ok(())
    }
}

/// Puts a running mean in place of a modality's gate.
pub(super) struct Hold(pub usize, pub Tensor);

impl FeatureOp for Hold {
    fn apply(&mut self, site: Site, x: Tensor, _: &mut Rng) -> Result<Tensor> {
        Ok(if site == (Site::Gate { modality: self.0 }) { self.1.to_device(x.device())? } else { x })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn row(values: [[f32; 2]; 2]) -> Tensor {
        Tensor::new(&values, &Device::Cpu).unwrap()
    }

    #[test]
    fn running_mean_by_hand() {
        // Batch means (2, 1) and (0, 4), then (4, 1): (2, 1), (1, 2.5), (2, 2).
        let mut gate = Gate::default();
        let mut after = |x| {
            gate.learn(&row(x)).unwrap();
            gate.mean.as_ref().unwrap().to_vec2::<f32>().unwrap()
        };
        assert_eq!(after([[1., 0.], [3., 2.]]), [[2., 1.]]);
        assert_eq!(after([[0., 4.], [0., 4.]]), [[1., 2.5]]);
        assert_eq!(after([[4., 1.], [4., 1.]]), [[2., 2.]]);
    }

    #[test]
    fn a_held_gate_is_its_mean_and_others_are_free() {
        let mean = Tensor::new(&[[0.5f32, 1.5]], &Device::Cpu).unwrap();
        let mut hold = Hold(1, mean);
        let mut apply = |modality| {
            let x = row([[1., 2.], [3., 4.]]);
            hold.apply(Site::Gate { modality }, x, &mut Rng::keyed(0, "x")).unwrap().to_vec2::<f32>().unwrap()
        };
        assert_eq!(apply(1), [[0.5, 1.5]]);
        assert_eq!(apply(0), [[1., 2.], [3., 4.]]);
    }
}
