//! A memory that is handed from modality to modality: our reconstruction of the cross-modal memory of "Modality
//! Equilibrium Matters" (Shi et al. 2025, arXiv 2506.00030), of which the kind of gates and the hand-over are known,
//! not their inputs.
//!
//! ```text
//! for m in order:  A = 0 for the first, else the feature of the modality before, aligned with that of m
//!   [f, i, o, g] = W [z_m; A; h] + b
//!   c = sigmoid(f) c + sigmoid(i) tanh(g),  h = sigmoid(o) tanh(c)
//! logits = head(h)
//! alignment in training:  C = cosines of the batch's samples where at least tau, rows normalised;  A = C z_before
//! ```
//! C carries no gradient, and a sample without a partner keeps its own feature. In evaluation every sample stands
//! alone, so that A is its own feature: an answer must not depend on who else is in the batch. The memory starts from
//! the running mean of what it held at the end of training batches, as running statistics of norm layers are kept; h
//! starts at 0.

use aim_backbones::{Build, Linear, blend};
use aim_config::{at_least, between, settings};
use aim_core::{Capabilities, Capability, Error, Fusion, Handle, Joined, Norm, ORDER, Part, Pass, Result, capability};
use candle_core::{D, DType, Tensor};

use crate::{
    FusionInfo,
    config::{ANY, fusion_settings},
};
use crate::{gated::sigmoid, heads::same_width};

const OFFERS: &[Capability] = &[capability::VIEWS, capability::UNIMODAL, capability::MEMORY];

settings! {
    /// Settings of the fusion `memory`.
    pub struct MemoryConfig {
        /// Width of the memory.
        pub hidden: usize = 0 => at_least(1).required(), "ours";
        /// Smallest cosine at which samples are aligned.
        pub tau: f64 = 0.5 => between(0., 1.), "ours";
    }
}

fusion_settings!(
    MemoryConfig: equal_widths,
    FusionInfo {
        name: "memory",
        about: "gates read one modality after the other into a memory, one head on what it gives at the end (equal \
            widths)",
        unimodal: "the head after the memory has read the modality alone",
        modalities: ANY,
    },
    OFFERS,
    |settings, build, on| Memory::new(build, on.widths, (settings.hidden, settings.tau), on.classes)?
);

/// One gated cell that reads a modality after the other, and one head. A modality's logits are those after it was read
/// alone; in a pass that moves the start of the memory, they begin at the new one.
pub struct Memory {
    gates: Linear,
    head: Linear,
    order: Handle,
    start: Handle,
    modalities: usize,
    hidden: usize,
    tau: f64,
}

impl Memory {
    /// `memory.gates.*` `[4 hidden, 2 width + hidden]` (forget, input, output, new), `head.*`, and the buffers
    /// `memory.order` and `memory.start`.
    ///
    /// # Errors
    /// If the widths differ.
    pub fn new(build: &mut Build, widths: &[usize], (hidden, tau): (usize, f64), classes: usize) -> Result<Self> {
        let (width, modalities, device) = (same_width(widths)?, widths.len(), candle_core::Device::Cpu);
        Ok(Self {
            gates: build.linear("memory.gates", Part::Fusion, 2 * width + hidden, 4 * hidden, true)?,
            head: build.linear("head", Part::Head { modality: None }, hidden, classes, true)?,
            order: build.buffer(ORDER, &Tensor::arange(0, modalities as u32, &device)?)?,
            start: build.buffer("memory.start", &Tensor::zeros(hidden, DType::F32, &device)?)?,
            modalities,
            hidden,
            tau,
        })
    }

    /// Memory and what it gives, `[B, hidden]` each, after reading modalities in order.
    fn read(&self, order: &[usize], features: &[Tensor], pass: &Pass<'_>) -> Result<(Tensor, Tensor)> {
        let rows = features.first().map_or(Ok(0), |x| x.dim(0))?;
        let start = pass.weight(&self.start);
        let mut state = (start.broadcast_left(rows)?.contiguous()?, start.zeros_like()?.broadcast_left(rows)?);
        let mut before: Option<&Tensor> = None;
        for &m in order {
            let x = features.get(m).ok_or_else(|| unknown(m))?;
            let aligned = before.map_or_else(|| Ok(x.zeros_like()?), |before| self.align(x, before, pass))?;
            state = self.cell(&[x, &aligned, &state.1], &state.0, pass)?;
            before = Some(x);
        }
        Ok(state)
    }

    fn cell(&self, inputs: &[&Tensor], c: &Tensor, pass: &Pass<'_>) -> Result<(Tensor, Tensor)> {
        let gates = self.gates.forward(&Tensor::cat(inputs, 1)?, pass)?;
        let gate = |i: usize| Ok::<_, Error>(gates.narrow(1, i * self.hidden, self.hidden)?.contiguous()?);
        let c = ((sigmoid(&gate(0)?)? * c)? + (sigmoid(&gate(1)?)? * gate(3)?.tanh()?)?)?;
        let h = (sigmoid(&gate(2)?)? * c.tanh()?)?;
        Ok((c, h))
    }

    /// The feature of the modality before, mixed from the samples that resemble each sample of this one.
    fn align(&self, x: &Tensor, before: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        if !pass.train {
            return Ok(before.clone());
        }
        let unit = |x: &Tensor| aim_ops::unit_rows(&x.detach());
        let cosine = unit(x)?.matmul(&unit(before)?.t()?)?;
        let kept = (&cosine * cosine.ge(self.tau)?.to_dtype(DType::F32)?)?;
        let total = kept.sum_keepdim(D::Minus1)?;
        let alone = total.eq(0f64)?.to_dtype(DType::F32)?;
        let own = Tensor::eye(x.dim(0)?, DType::F32, x.device())?.broadcast_mul(&alone)?;
        Ok((kept + own)?.broadcast_div(&(total + alone)?)?.matmul(before)?)
    }
}

fn unknown(m: usize) -> Error {
    Error::invalid(ORDER, format!("names modality {m}, which is not there"), "load weights of the same modalities")
}

impl Fusion for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let order: Vec<usize> = pass.weight(&self.order).to_vec1::<u32>()?.into_iter().map(|m| m as usize).collect();
        let (c, h) = self.read(&order, features, pass)?;
        if pass.norm == Norm::Update && order.len() == self.modalities {
            blend(&self.start, &c.mean(0)?, 1.)?;
        }
        let alone = |m: usize| self.head.forward(&self.read(&[m], features, pass)?.1, pass);
        let unimodal = (0..features.len()).map(alone).collect::<Result<Vec<_>>>()?;
        Ok((self.head.forward(&h, pass)?, unimodal).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aim_core::{Draws, Grads, Params, View};
    use candle_core::Device;

    fn fusion(tau: f64) -> (Memory, Params) {
        let mut build = Build::new(3, &Device::Cpu);
        let fusion = Memory::new(&mut build, &[2, 2, 2], (2, tau), 2).unwrap();
        (fusion, build.finish())
    }

    fn features() -> Vec<Tensor> {
        [[[1f32, 0.], [0., 1.]], [[1., 1.], [-1., 3.]], [[0.5, -0.5], [2., 0.]]]
            .map(|x| Tensor::new(&x, &Device::Cpu).unwrap())
            .to_vec()
    }

    fn rows(t: &Tensor) -> Vec<Vec<f32>> {
        t.to_vec2().unwrap()
    }

    /// The recurrence for one sample, number by number.
    fn by_hand(fusion: &Memory, order: &[usize], sample: usize, start: f32) -> Vec<f32> {
        let (w, b) = (rows(&fusion.gates.weight(&Pass::eval())), fusion.gates.bias(&Pass::eval()).unwrap());
        let b: Vec<f32> = b.to_vec1().unwrap();
        let squash = |x: f32| 1. / (1. + (-x).exp());
        let (mut c, mut h, mut before) = (vec![start; 2], vec![0.; 2], vec![0.; 2]);
        for &m in order {
            let x = rows(&features()[m])[sample].clone();
            let u = [x.clone(), before, h.clone()].concat();
            let gate: Vec<f32> = (0..8).map(|k| b[k] + w[k].iter().zip(&u).map(|(w, u)| w * u).sum::<f32>()).collect();
            for k in 0..2 {
                c[k] = squash(gate[k]) * c[k] + squash(gate[2 + k]) * gate[6 + k].tanh();
                h[k] = squash(gate[4 + k]) * c[k].tanh();
            }
            before = x;
        }
        let (w, b) = (rows(&fusion.head.weight(&Pass::eval())), fusion.head.bias(&Pass::eval()).unwrap());
        let b: Vec<f32> = b.to_vec1().unwrap();
        (0..2).map(|k| b[k] + w[k][0] * h[0] + w[k][1] * h[1]).collect()
    }

    fn close(got: &[f32], want: &[f32]) {
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?} {want:?}");
    }

    #[test]
    fn the_recurrence_in_any_order_and_of_its_parts() {
        let (fusion, params) = fusion(0.5);
        params.buffer("memory.start").unwrap().set(&Tensor::full(0.25f32, 2, &Device::Cpu).unwrap()).unwrap();
        for order in [vec![0, 1, 2], vec![2, 0, 1], vec![1, 2], vec![2]] {
            let indices: Vec<u32> = order.iter().map(|m| *m as u32).collect();
            let view = View::from([(ORDER.into(), Tensor::new(indices, &Device::Cpu).unwrap())]);
            let joined = fusion.forward(&features(), &mut Pass::eval().view(&view)).unwrap();
            for sample in 0..2 {
                close(&rows(&joined.logits)[sample], &by_hand(&fusion, &order, sample, 0.25));
                close(&rows(&joined.unimodal[1])[sample], &by_hand(&fusion, &[1], sample, 0.25));
            }
        }
    }

    #[test]
    fn alignment_by_hand() {
        let pass = Pass::train(Draws { seed: 0, epoch: 0, step: 0 });
        let [x, before, _] = &features()[..] else { panic!() };
        // Cosines of (1, 0): with (1, 1) 0.7071, with (-1, 3) -0.3162. Of (0, 1): 0.7071 and 0.9487.
        let (a, b) = (0.5f32.sqrt(), 0.9f32.sqrt());
        let mixed = [(a - b) / (a + b), (a + 3. * b) / (a + b)];
        let found = rows(&fusion(0.5).0.align(x, before, &pass).unwrap());
        close(&found[0], &[1., 1.]);
        close(&found[1], &mixed);
        // Above 0.8 the first sample has no partner and keeps its own.
        let found = rows(&fusion(0.8).0.align(x, before, &pass).unwrap());
        close(&found[0], &[1., 1.]);
        close(&found[1], &[-1., 3.]);
        assert_eq!(rows(&fusion(0.5).0.align(x, before, &Pass::eval()).unwrap()), rows(before));
    }

    #[test]
    fn training_passes_move_the_start_and_learn_everything() {
        let (fusion, params) = fusion(0.5);
        let draws = Draws { seed: 0, epoch: 0, step: 0 };
        let start = || params.buffer("memory.start").unwrap().to_vec1::<f32>().unwrap();
        fusion.forward(&features(), &mut Pass::train(draws).norm(Norm::Batch)).unwrap();
        assert_eq!(start(), [0., 0.]);
        let (c, _) = fusion.read(&[0, 1, 2], &features(), &Pass::train(draws)).unwrap();
        let joined = fusion.forward(&features(), &mut Pass::train(draws)).unwrap();
        let c: Vec<f32> = c.mean(0).unwrap().to_vec1().unwrap();
        close(&start(), &[0.1 * c[0], 0.1 * c[1]]);
        let grads = Grads::of(&joined.logits.sqr().unwrap().sum_all().unwrap(), &params).unwrap();
        assert_eq!(grads.iter().count(), params.iter().count());
    }
}
