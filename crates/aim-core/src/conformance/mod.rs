//! Laws that methods rely on, tried out on a network: for anyone who brings one of their own.

mod gradients;
mod inputs;
mod passes;
mod sites;
mod weights;

use std::{collections::BTreeMap, sync::Arc};

use candle_core::{DType, Device, Tensor};

use crate::{Batch, Context, Draws, Error, Input, Net, Norm, Param, Pass, Result, Rng, View};

pub use gradients::slopes;

/// Tries the laws on a batch of at least two samples that differ; afterwards the network holds the values it held
/// before.
///
/// 1. Only passes with [`Norm::Update`] change buffers, and none changes parameters.
/// 2. Two passes with the same [`Draws`] give the same bits: every draw comes from [`Pass::rng`].
/// 3. With [`Norm::Running`] the feature of one sample does not depend on the others.
/// 4. Every weight is the one that [`Pass::weight`] shows: a view changes what it should, and no layer reads past it.
/// 5. Gradients reach every parameter of an encoder that its feature depends on.
/// 6. The input of a modality that is absent, by [`Pass::subset`] or by [`Batch::present`], reaches no logits, and
///    its feature is 0.
/// 7. Encoders visit [`Site::Stage`](crate::Site::Stage) behind each block, in order, then
///    [`Site::Feature`](crate::Site::Feature), and go on with what the visit gives back. An encoder of one block may
///    leave the stage out where the network does not claim [`capability::SITES`](crate::capability::SITES).
///
/// # Errors
/// The first law that does not hold, with the modality or parameter and the remedy; or a batch that tells nothing.
pub fn check(net: &dyn Net, batch: &Batch) -> Result<()> {
    let subject = Subject { net, batch };
    let before = net.params().snapshot()?;
    let outcome = subject.laws(&before);
    if outcome.is_err() {
        net.params().load(&before)?;
    }
    outcome
}

/// The draws of every pass here.
const DRAWS: Draws = Draws { seed: 0, epoch: 0, step: 0 };

/// A training pass that leaves running statistics alone.
fn training() -> Pass<'static> {
    Pass::train(DRAWS).norm(Norm::Batch)
}

/// A network with a batch to try it on.
struct Subject<'a> {
    net: &'a dyn Net,
    batch: &'a Batch,
}

impl Subject<'_> {
    fn laws(&self, before: &BTreeMap<String, Tensor>) -> Result<()> {
        self.telling()?;
        self.statistics(before)?;
        self.draws()?;
        self.samples()?;
        self.views()?;
        self.gradients()?;
        self.absent()?;
        self.sites()
    }

    /// Whether the batch fits and can tell anything.
    fn telling(&self) -> Result<()> {
        let (given, known) = (self.batch.inputs.len(), self.net.modalities());
        if given != known {
            let problem = format!("has {given} modalities, the network {known}");
            return Err(Error::invalid("batch", problem, "give one input for each modality of the network"));
        }
        let spec = self.net.spec();
        let lists = [spec.modalities.len(), spec.inputs.len(), spec.depths.len(), spec.widths.len()];
        if lists.iter().any(|len| *len != known) {
            return Err(Error::shape("NetSpec", &lists, format!("{known} modalities, inputs, depths and widths")));
        }
        for m in self.modalities() {
            if self.batch.len() < 2 || same(&self.batch.inputs[m].values, &self.others(m)?.values)? {
                let problem = format!("has fewer than two samples that differ in {}", self.name(m));
                return Err(Error::invalid("batch", problem, "add samples"));
            }
            finite(&format!("feature of {}", self.name(m)), &self.feature(m, &mut Pass::eval())?)?;
        }
        let out = self.net.forward(self.batch, &mut Pass::eval())?;
        if out.features.len() != known {
            return Err(Error::shape("Output::features", &[out.features.len()], format!("[{known}], one a modality")));
        }
        finite("logits", &out.logits)
    }

    fn modalities(&self) -> std::ops::Range<usize> {
        0..self.net.modalities()
    }

    /// A modality in messages.
    fn name(&self, m: usize) -> String {
        format!("modality `{}`", self.net.spec().modalities[m])
    }

    fn feature(&self, m: usize, pass: &mut Pass<'_>) -> Result<Tensor> {
        self.net.encode(m, &self.batch.inputs[m], pass).at(|| self.name(m))
    }

    /// The input of a modality with every sample but the first in another's place.
    fn others(&self, m: usize) -> Result<Input> {
        let rows: Vec<u32> = (0..self.batch.len() as u32).map(|row| row.saturating_sub(1)).collect();
        let x = &self.batch.inputs[m];
        x.rows(&Tensor::new(rows, x.values.device())?)
    }

    /// The parameters of a modality's encoder, each moved a little way: layers that start at 0 hide what is before
    /// them.
    fn somewhere(&self, m: usize, round: u64) -> Result<View> {
        self.encoder(m).map(|(name, p)| Ok((name.clone(), moved(p.var.as_tensor(), name, 2 * round)?))).collect()
    }

    /// The parameters of a modality's encoder.
    fn encoder(&self, m: usize) -> impl Iterator<Item = (&Arc<str>, &Param)> {
        self.net.params().iter().filter(move |(_, p)| p.role.encoder() == Some(m))
    }
}

/// `x` with noise that is keyed by (round, name) and a tenth as large; part of the graph of `x`.
fn moved(x: &Tensor, name: &str, round: u64) -> Result<Tensor> {
    let size = x.detach().sqr()?.mean_all()?.to_dtype(DType::F32)?.to_scalar::<f32>()?.sqrt();
    let size = if size > 0. { f64::from(size) } else { 1. };
    Ok((x + Rng::keyed(round, name).normal_tensor(x.dims(), 0.1 * size, x.device())?)?)
}

/// Whether something holds in one of a few rounds: a unit may be dead in one of them.
fn in_a_round(mut holds: impl FnMut(u64) -> Result<bool>) -> Result<bool> {
    for round in 0..3 {
        if holds(round)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether two tensors are the same bits.
fn same(a: &Tensor, b: &Tensor) -> Result<bool> {
    Ok(a.dims() == b.dims() && values(a)?.iter().zip(values(b)?).all(|(a, b)| a.to_bits() == b.to_bits()))
}

fn values(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

fn finite(name: &str, x: &Tensor) -> Result<()> {
    match values(x)?.into_iter().find(|x| !x.is_finite()) {
        Some(value) => {
            let hint = "start from finite weights, and give finite inputs".into();
            Err(Error::NonFinite { name: name.into(), value, hint })
        }
        None => Ok(()),
    }
}
