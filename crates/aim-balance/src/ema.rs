//! EMA: any method, answering with a moving average of the weights (Polyak & Juditsky 1992; Tarvainen & Valpola 2017).
//!
//! ```text
//! after each step:  average <- decay average + (1 - decay) theta        the first step's weights start it
//! ```
//! Training is the inner method's, bit for bit; only answers differ. The average is a view of the network: evaluation sees it
//! in place of the weights. Running statistics of normalisation layers are averaged like weights.

use std::sync::Arc;

use aim_core::{
    Batch, EpochStart, EpochWork, Infer, Method, Net, NetSpec, Output, Params, Pass, Report, Result, State, Stateful,
    Step, View,
};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_yaml::Value;

use crate::card::{About, Needs, Setting, Settings, within};
use crate::section::inner_method;
use crate::stack::Built;

/// Card of [`Ema`].
pub static ABOUT: About = About {
    name: "ema",
    title: "EMA",
    idea: "answer with a moving average of the weights",
    paper: "Polyak & Juditsky 1992; as a teacher: Tarvainen & Valpola, NeurIPS 2017 (arXiv 1703.01780)",
    cost: "that of the inner method; a copy of the weights and one pass over them a step",
    departs: &["Running statistics are averaged with the weights; copying the latest is the other custom."],
    settings: &[
        Setting::new("decay", "0.99", "0 to 1", "share of the old average; 0 is the inner method", "ours"),
        Setting::new("inner", "joint", "a method", "the method that is wrapped", "ours"),
    ],
    needs: Needs::NONE,
};

/// Settings of `ema`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ema {
    /// Share of the old average.
    pub decay: f64,
    /// The method that is wrapped.
    pub inner: Value,
}

impl Default for Ema {
    fn default() -> Self {
        Self { decay: 0.99, inner: "joint".into() }
    }
}

impl Settings for Ema {
    fn check(&self) -> Result<()> {
        within("decay", self.decay, 0., 1.)
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        let inner = inner_method(&self.inner, net)?;
        Ok(Built::Method(Box::new(Averaging { decay: self.decay, inner, average: View::new() })))
    }
}

struct Averaging {
    decay: f64,
    inner: Box<dyn Method>,
    /// Averaged weights and buffers; none before the first step.
    average: View,
}

impl Averaging {
    fn learn(&mut self, params: &Params) -> Result<()> {
        for (name, now) in params.tensors() {
            let name: Arc<str> = name.into();
            let next = match self.average.get(&name) {
                Some(old) => ((old.to_device(now.device())? * self.decay)? + (now.detach() * (1. - self.decay))?)?,
                None => now.copy()?.detach(),
            };
            self.average.insert(name, next);
        }
        Ok(())
    }
}

impl Method for Averaging {
    fn step(&mut self, cx: &mut Step<'_>) -> Result<Report> {
        let report = self.inner.step(cx)?;
        self.learn(cx.net.params())?;
        Ok(report)
    }
}

impl EpochWork for Averaging {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        self.inner.before_epoch(cx)
    }
}

impl Infer for Averaging {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        if self.average.is_empty() {
            return self.inner.infer(net, batch);
        }
        self.inner.infer(&Averaged::new(net, &self.average)?, batch)
    }
}

/// A network whose every pass sees the average.
struct Averaged<'a> {
    net: &'a dyn Net,
    view: &'a View,
    params: Params,
}

impl<'a> Averaged<'a> {
    fn new(net: &'a dyn Net, view: &'a View) -> Result<Self> {
        let mut params = Params::default();
        let value = |name: &str, own: &Tensor| view.get(name).unwrap_or(own).copy();
        for (name, param) in net.params().iter() {
            params.add(name, param.role, &value(name, param.var.as_tensor())?)?;
        }
        for (name, buffer) in net.params().buffers() {
            params.add_buffer(name, &value(name, buffer.as_tensor())?)?;
        }
        Ok(Self { net, view, params })
    }
}

impl Net for Averaged<'_> {
    fn spec(&self) -> &NetSpec {
        self.net.spec()
    }
    fn params(&self) -> &Params {
        &self.params
    }
    fn encode(&self, modality: usize, x: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        pass.seeing(self.view, |pass| self.net.encode(modality, x, pass))
    }
    fn fuse(&self, features: Vec<Tensor>, present: Option<&Tensor>, pass: &mut Pass<'_>) -> Result<Output> {
        pass.seeing(self.view, |pass| self.net.fuse(features, present, pass))
    }
}

impl Stateful for Averaging {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.nest("average", State(self.average.iter().map(|(k, t)| (k.to_string(), t.clone())).collect()));
        state.nest("inner", self.inner.state()?);
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.average = state.part("average").0.into_iter().map(|(k, t)| (k.into(), t)).collect();
        self.inner.load(&state.part("inner"))
    }
}
