//! A network for unit tests: one weight a modality; the feature is the input times it, the logits are the sum of
//! features.

use candle_core::{Device, Tensor};

use crate::{
    Capabilities, Extras, Grads, Handle, Input, Kind, Net, NetSpec, Optim, Output, Params, Part, Pass, Result, Role,
    Stateless,
};

/// The network, whose weights are called `a`, `b` and so on.
pub(crate) struct Toy {
    spec: NetSpec,
    params: Params,
    handles: Vec<Handle>,
}

impl Toy {
    /// One with these weights.
    pub fn new(weights: &[f32]) -> Self {
        let mut params = Params::default();
        let names = ["a", "b", "c"];
        let handle = |(modality, (name, weight)): (usize, (&&str, &f32))| {
            let role = Role { part: Part::Encoder { modality, depth: 0 }, kind: Kind::Linear };
            params.add(name, role, &Tensor::new(&[*weight], &Device::Cpu).unwrap()).unwrap()
        };
        let handles: Vec<_> = names.iter().zip(weights).enumerate().map(handle).collect();
        let count = handles.len();
        let spec = NetSpec {
            modalities: names[..count].iter().map(ToString::to_string).collect(),
            inputs: vec![vec![1]; count],
            depths: vec![1; count],
            widths: vec![1; count],
            frames: vec![1; count],
            classes: 1,
            capabilities: Capabilities::default(),
        };
        Self { spec, params, handles }
    }

    /// Its weights.
    pub fn weights(&self) -> Vec<f32> {
        self.handles.iter().flat_map(|h| h.var.to_vec1::<f32>().unwrap()).collect()
    }
}

impl Net for Toy {
    fn spec(&self) -> &NetSpec {
        &self.spec
    }
    fn params(&self) -> &Params {
        &self.params
    }
    fn encode(&self, modality: usize, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor> {
        Ok(x.values.broadcast_mul(&pass.weight(&self.handles[modality]))?)
    }
    fn fuse(&self, features: Vec<Tensor>, _: Option<&Tensor>, _: &mut Pass<'_>) -> Result<Output> {
        let logits = Tensor::stack(&features, 0)?.sum(0)?;
        Ok(Output { logits, unimodal: vec![], features, extras: Extras::new() })
    }
}

/// Leaves everything alone.
pub(crate) struct Still;

impl Stateless for Still {}

impl Optim for Still {
    fn apply(&mut self, _: &Params, _: &Grads) -> Result<()> {
        Ok(())
    }
    fn lr(&self) -> f64 {
        0.
    }
    fn set_lr(&mut self, _: f64) {}
}
