//! What methods do with modalities that were trained alone: start from them, or learn from them.

use std::sync::Arc;

use aim_core::{Alone, EpochStart, Input, Net, Part, Pass, Result, Role, State, View, capability};
use candle_core::Tensor;

/// The encoder and head of a modality that was trained alone, as a view of the run's own network.
pub(crate) struct Teacher {
    view: View,
    weight: Tensor,
    bias: Tensor,
}

impl Teacher {
    /// One for each modality.
    pub(crate) fn all(cx: &EpochStart<'_>) -> Result<Vec<Self>> {
        let one = |(m, Alone { encoder, weight, bias }): (usize, &Alone)| {
            let mut view = encoder.clone();
            // Low-rank additions are the run's own; the teacher has none.
            let own = cx.net.params().iter().filter(|(_, p)| is_adapter(p.role) && p.role.encoder() == Some(m));
            for (name, param) in own {
                view.insert(name.clone(), param.var.as_detached_tensor().zeros_like()?);
            }
            Ok(Self { view, weight: weight.clone(), bias: bias.clone() })
        };
        alone(cx)?.into_iter().enumerate().map(one).collect()
    }

    /// Its feature of an input of modality m, in evaluation.
    pub(crate) fn feature(&self, net: &dyn Net, m: usize, x: &Input) -> Result<Tensor> {
        Ok(net.encode(m, x, &mut Pass::eval().view(&self.view))?.detach())
    }

    /// Its logits of its feature.
    pub(crate) fn logits(&self, feature: &Tensor) -> Result<Tensor> {
        Ok(aim_ops::linear(feature, &self.weight, Some(&self.bias))?)
    }
}

/// The teachers as state: a run that goes on in mid-epoch has no other way to them.
pub(crate) fn save(teachers: &[Teacher]) -> State {
    let mut state = State::default();
    for (m, Teacher { view, weight, bias }) in teachers.iter().enumerate() {
        let heads = [("weight".to_owned(), weight.clone()), ("bias".to_owned(), bias.clone())];
        let encoder = view.iter().map(|(name, t)| (format!("encoder.{name}"), t.clone()));
        state.nest(&format!("teacher.{m}"), State(encoder.chain(heads).collect()));
    }
    state
}

/// What [`save`] saved.
pub(crate) fn load(state: &State) -> Result<Vec<Teacher>> {
    let parts = (0..).map(|m| state.part(&format!("teacher.{m}"))).take_while(|part| !part.0.is_empty());
    let one = |part: State| {
        let view = part.part("encoder").0.into_iter().map(|(name, t)| (name.into(), t)).collect();
        Ok(Teacher { view, weight: part.tensor("weight")?.clone(), bias: part.tensor("bias")?.clone() })
    };
    parts.map(one).collect()
}

pub(crate) fn is_adapter(role: Role) -> bool {
    matches!(role.part, Part::Adapter { .. })
}

fn alone<'a>(cx: &EpochStart<'a>) -> Result<Vec<&'a Alone>> {
    cx.net.spec().modalities.iter().map(|name| cx.prepared.alone(name)).collect()
}

/// Puts the encoders that were trained alone into the network, each head into the modality's own additional head if
/// there is one, and, if `fused`, the heads into a fused head that is linear: its columns, or its head for each
/// modality. The bias of one head over all is the sum of theirs.
pub(crate) fn adopt(cx: &EpochStart<'_>, fused: bool) -> Result<()> {
    let (alone, params) = (alone(cx)?, cx.net.params());
    let mut values = params.snapshot()?;
    for (name, value) in alone.iter().flat_map(|a| &a.encoder) {
        values.insert(name.to_string(), value.clone());
    }
    let fused = fused && cx.net.spec().capabilities.has(capability::LINEAR_HEADS);
    for (name, value) in heads(cx.net, &alone, fused)? {
        values.insert(name.to_string(), value);
    }
    params.load(&values)
}

fn heads(net: &dyn Net, alone: &[&Alone], fused: bool) -> Result<Vec<(Arc<str>, Tensor)>> {
    let columns: Vec<&Tensor> = alone.iter().map(|a| &a.weight).collect();
    let biases: Vec<&Tensor> = alone.iter().map(|a| &a.bias).collect();
    let mut out = Vec::new();
    for (name, param) in net.params().iter() {
        let weight = param.role.is_weight();
        let value = match param.role.part {
            Part::UniHead { modality } => own(alone[modality], weight),
            Part::Head { modality: Some(modality) } if fused => own(alone[modality], weight),
            Part::Head { modality: None } if fused && weight => Tensor::cat(&columns, 1)?,
            Part::Head { modality: None } if fused => Tensor::stack(&biases, 0)?.sum(0)?,
            _ => continue,
        };
        out.push((name.clone(), value));
    }
    Ok(out)
}

fn own(alone: &Alone, weight: bool) -> Tensor {
    if weight { alone.weight.clone() } else { alone.bias.clone() }
}
