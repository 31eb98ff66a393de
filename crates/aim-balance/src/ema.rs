//! EMA: any method, answering with a moving average of the weights (Polyak & Juditsky 1992; Tarvainen & Valpola 2017).
//!
//! ```text
//! after each step:  average <- decay average + (1 - decay) theta        the first step's weights start it
//! ```
//! Training is the inner method's, bit for bit; only answers differ. The average is a view of the network: evaluation
//! sees it in place of the weights. Running statistics of normalisation layers are averaged like weights.

use std::sync::Arc;

use aim_config::{between, settings, words};
use aim_core::{
    Batch, EpochStart, EpochWork, Infer, Input, Method, Net, NetSpec, Output, Params, Pass, Report, Result, State,
    Stateful, Step, View, capability,
};
use candle_core::Tensor;

use crate::{Built, Inner, MethodInfo, MethodSettings, Provenance, Requirements};

/// Card of [`Ema`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "ema",
    title: "EMA",
    idea: "answer with a moving average of the weights",
    paper: "Polyak & Juditsky 1992; as a teacher: Tarvainen & Valpola, NeurIPS 2017 (arXiv 1703.01780)",
    cost: "that of the inner method; a copy of the weights and one pass over them a step",
    departs: &["Running statistics are averaged with the weights; copying the latest is the other custom."],
    requires: Requirements { capabilities: &[capability::VIEWS], ..Requirements::NONE },
    provenance: Provenance::Faithful,
    reports: &[],
    revision: 1,
};

settings! {
    /// Settings of `ema`.
    pub struct Ema {
        /// Share of the old average; 0 is the inner method.
        pub decay: f64 = 0.99 => between(0., 1.), "ours";
        /// Method that is wrapped.
        pub inner: Inner = Inner::default() => words("a method").shown("joint"), "ours";
    }
}

impl MethodSettings for Ema {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn inner(&self) -> Option<&Inner> {
        Some(&self.inner)
    }
    fn around(&self, inner: Inner) -> Option<Arc<dyn MethodSettings>> {
        Some(Arc::new(Self { inner, ..self.clone() }))
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let inner = self.inner.method()?.built(net)?.method()?;
        Ok(Built::Method(Box::new(Averaging { decay: self.decay, inner, average: View::new() })))
    }
}

struct Averaging {
    decay: f64,
    inner: Box<dyn Method>,
    /// Averaged weights and buffers, those of whole numbers (orders, counts) as they are; none before the first step.
    average: View,
}

impl Averaging {
    fn learn(&mut self, params: &Params) -> Result<()> {
        for (name, now) in params.tensors() {
            let name: Arc<str> = name.into();
            let next = match self.average.get(&name).filter(|_| now.dtype().is_float()) {
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
        let mut params = Params::differentiated_by(net.params().backward());
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
    fn learnable(&self, modality: usize) -> Vec<usize> {
        self.net.learnable(modality)
    }
    fn encode(&self, modality: usize, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor> {
        pass.seeing(self.view, |pass| self.net.encode(modality, x, pass))
    }
    fn features(&self, batch: &Batch, pass: &mut Pass<'_>) -> Result<Vec<Tensor>> {
        pass.seeing(self.view, |pass| self.net.features(batch, pass))
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
