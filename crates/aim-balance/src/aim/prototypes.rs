//! Prototypes of every class, modality and depth: learnt inputs carried through the frozen network, or class means.

use aim_core::{Batch, Context, EpochStart, Error, Net, Pass, Result, Rng, Site, Split, View};
use candle_core::{Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};

use super::measure::Grid;
use crate::util::one_hot;

/// Depth-adaptive prototypes: inputs `P0 ~ N(0, 1)`, one a class, trained by Adam so that the frozen network (norm
/// layers in evaluation mode) names their class; the prototypes are what they become at each depth.
pub(super) fn depth_adaptive(net: &dyn Net, steps: usize, lr: f64, rng: &mut Rng) -> Result<Grid<Tensor>> {
    let spec = net.spec();
    let frozen: View = net.params().iter().map(|(k, p)| (k.clone(), p.var.as_detached_tensor())).collect();
    let first = net.params().iter().next();
    let device = first.map_or(candle_core::Device::Cpu, |(_, p)| p.var.device().clone());
    let input = |modality: usize| {
        let shape: Vec<usize> = std::iter::once(spec.classes).chain(net.learnable(modality)).collect();
        Ok(Var::from_tensor(&rng.normal_tensor(&shape, 1., &device)?)?)
    };
    let inputs: Vec<Var> = (0..net.modalities()).map(input).collect::<Result<_>>()?;
    let classes = Tensor::arange(0, spec.classes as u32, &device)?;
    // Without decay AdamW is Adam.
    let params = ParamsAdamW { lr, weight_decay: 0., ..ParamsAdamW::default() };
    let mut adam = AdamW::new(inputs.clone(), params)?;
    for _ in 0..steps {
        let mut pass = Pass::eval().view(&frozen);
        let learnt = || "prototypes (learnt inputs begin as noise; `method.prototypes: class-mean` learns none)".into();
        let features = encode(net, &inputs, &classes, &mut pass).at(learnt)?;
        let logits = net.fuse(features, None, &mut pass)?.logits;
        adam.backward_step(&aim_ops::cross_entropy(&logits, &classes, 0., aim_ops::Reduction::Mean)?)?;
    }
    let mut pass = Pass::eval().view(&frozen).keep();
    encode(net, &inputs, &classes, &mut pass)?;
    let kept = pass.into_kept();
    let at = |modality, depth| Ok(kept.pooled(Site::Stage { modality, depth })?.detach());
    let row = |(m, depths): (usize, &usize)| (0..*depths).map(|d| at(m, d)).collect();
    spec.depths.iter().enumerate().map(row).collect()
}

fn encode(net: &dyn Net, inputs: &[Var], classes: &Tensor, pass: &mut Pass<'_>) -> Result<Vec<Tensor>> {
    net.features(&Batch::new(inputs.iter().map(|x| x.as_tensor().clone()).collect(), classes.clone())?, pass)
}

/// Class means of the pooled training activations, under the current weights in evaluation mode.
pub(super) fn class_means(cx: &EpochStart<'_>) -> Result<Grid<Tensor>> {
    let spec = cx.net.spec();
    let mut sums: Grid<Option<Tensor>> = spec.depths.iter().map(|d| vec![None; *d]).collect();
    let mut counts: Option<Tensor> = None;
    cx.samples.each(Split::Train, &mut |batch| {
        let mut pass = Pass::eval().keep();
        cx.net.forward(batch, &mut pass)?;
        let kept = pass.into_kept();
        let member = one_hot(&batch.labels, spec.classes)?;
        add(&mut counts, member.sum_keepdim(0)?)?;
        for (modality, row) in sums.iter_mut().enumerate() {
            for (depth, sum) in row.iter_mut().enumerate() {
                let z = kept.pooled(Site::Stage { modality, depth })?.detach();
                add(sum, member.t()?.matmul(&z)?)?;
            }
        }
        Ok(())
    })?;
    let empty = || Error::invalid("training split", "is empty", "check the data section");
    let counts = counts.ok_or_else(empty)?.t()?.maximum(1.)?;
    let mean = |sum: Option<Tensor>| Ok(sum.ok_or_else(empty)?.broadcast_div(&counts)?);
    sums.into_iter().map(|row| row.into_iter().map(mean).collect()).collect()
}

fn add(sum: &mut Option<Tensor>, x: Tensor) -> Result<()> {
    *sum = Some(match sum.take() {
        Some(sum) => (sum + x)?,
        None => x,
    });
    Ok(())
}
