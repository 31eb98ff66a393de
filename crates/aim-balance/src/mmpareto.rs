//! MMPareto (Wei & Hu, ICML 2024, arXiv 2405.17730): each encoder follows a direction that serves the fused loss and
//! its own.
//!
//! ```text
//! for encoder m, with G the gradient of the fused loss and g that of the modality's own:
//!   cos(G, g) > 0:  w1 = w2 = 1/2;     else the weights of the point of least norm between G and g, in [0.001, 0.999]
//!   h = 2 w1 G + 2 w2 g;   each tensor of it times gamma max(1, |G + g| / |h|), norms of that tensor
//! heads: the gradient of the sum of all losses
//! ```
//! The magnitude rule with its norms of single tensors and gamma 1.5 is the official code's; the paper speaks of an
//! enhanced magnitude. Where h vanishes, its factor is gamma.

use aim_config::{between, settings};
use aim_core::{Combine, Grads, Idle, Net, NetSpec, Report, Result, Stateless};
use candle_core::{DType, Tensor};

use crate::{Built, MethodInfo, MethodSettings, Parts, Provenance, Quantity, Requirements, joint::FusedAndUnimodal};

/// Card of [`MmPareto`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "mmpareto",
    title: "MMPareto",
    idea: "encoders follow a direction that conflicts neither with the fused nor with the unimodal loss",
    paper: "Wei & Hu, ICML 2024 (arXiv 2405.17730)",
    cost: "1 forward pass, M + 1 backward passes that go through each encoder twice; M + 1 gradients in memory",
    departs: &[
        "Norms of single tensors and the fixed gamma are the released code's rule, because the text is only reported \
        to speak of an enhanced magnitude.",
        "Where the direction vanishes its factor is gamma, because the released ratio is undefined there.",
        "The learning rate follows the run's schedule; the released script makes a schedule and never steps it.",
    ],
    requires: Requirements::UNI_HEADS,
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("cos", "", "cosine of the fused and the own loss's gradients in the encoder"),
        Quantity::part("weight", "", "weight of the gradient of the fused (`fused`) or own loss (`uni`) by encoder"),
    ],
    revision: 1,
};

settings! {
    /// Settings of `mmpareto`.
    pub struct MmPareto {
        /// Magnitude of the encoders' gradients.
        pub gamma: f64 = 1.5 => between(0., 100.), "released code";
    }
}

impl MethodSettings for MmPareto {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        let parts = Parts { combine: Some(Box::new(self.clone())), ..Parts::default() };
        Ok(Built::Parts(parts).with_objective(FusedAndUnimodal { weight: 1. }))
    }
}

impl Stateless for MmPareto {}
impl Idle for MmPareto {}

impl Combine for MmPareto {
    fn combine(&mut self, losses: Vec<Tensor>, net: &dyn Net, report: &mut Report) -> Result<Grads> {
        let params = net.params();
        let grads = losses.iter().map(|loss| Grads::of(loss, params)).collect::<Result<Vec<_>>>()?;
        let mut sum = Grads::default();
        grads.iter().try_for_each(|g| sum.add_scaled(g, 1.))?;
        for (m, name) in net.spec().modalities.iter().enumerate() {
            let of_encoder = |g: &Grads| g.clone().filter(params, |role| role.encoder() == Some(m));
            let (fused, own) = (of_encoder(&grads[0]), of_encoder(&grads[m + 1]));
            let (cos, weight) = weights(&fused, &own)?;
            report.scalar(format!("cos.{name}"), cos)?;
            report.scalar(format!("weight.fused.{name}"), weight)?;
            report.scalar(format!("weight.uni.{name}"), 1. - weight)?;
            let mut direction = fused.scaled(2. * weight)?;
            direction.add_scaled(&own, 2. * (1. - weight))?;
            for (tensor, h) in direction.iter() {
                let plain = sum.get(tensor).unwrap_or(h);
                let factor = self.gamma * enhancement(plain, h)?;
                sum.insert(tensor.clone(), (h * factor)?);
            }
        }
        Ok(sum)
    }
}

/// Cosine of the two gradients and the weight of the first.
fn weights(fused: &Grads, own: &Grads) -> Result<(f64, f64)> {
    let (a, b, c) = (fused.dot(fused)?, fused.dot(own)?, own.dot(own)?);
    let cos = b / (a.sqrt() * c.sqrt()).max(1e-30);
    let least_norm = || match () {
        () if b >= a => 0.999,
        () if b >= c => 0.001,
        () => (c - b) / (a + c - 2. * b),
    };
    Ok((cos, if cos > 0. { 0.5 } else { least_norm() }))
}

/// `max(1, |plain| / |h|)`, 1 where h vanishes.
fn enhancement(plain: &Tensor, h: &Tensor) -> Result<f64> {
    let norm = |t: &Tensor| -> Result<f64> { Ok(t.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt()) };
    let h = norm(h)?;
    Ok(if h == 0. { 1. } else { (norm(plain)? / h).max(1.) })
}
