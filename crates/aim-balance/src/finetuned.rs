//! Encoders that were trained alone, then everything by any method: what a start without competition is worth.
//!
//! Each encoder is trained alone before the run. The run begins with these encoders (and with their heads as the
//! modalities' own, if it has such); fusion and head begin as usual. Then the inner method trains it all: with joint
//! training this is the reference for methods that begin at encoders trained alone, such as `{inner: mcr}`.

use std::sync::Arc;

use aim_config::{settings, words};
use aim_core::{
    Batch, EpochStart, EpochWork, GradFn, Grads, Infer, Method, Net, NetSpec, Output, Preparation, Report, Result,
    State, Stateful, Step,
};

use crate::{Built, Inner, MethodInfo, MethodSettings, Provenance, Requirements, teacher::adopt};

/// Card of [`Finetuned`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "finetuned",
    title: "finetuned unimodal encoders",
    idea: "train each encoder alone, then the whole network by another method, joint training by default",
    paper: "baseline (the reference of MCR, Kontras et al. 2025, arXiv 2411.07335)",
    cost: "that of the inner method; each modality trained alone before",
    departs: &["Fusion and head begin as usual, since the source loads encoders; own heads begin as those of the \
        modalities alone."],
    requires: Requirements::NONE,
    provenance: Provenance::Faithful,
    reports: &[],
    revision: 1,
};

settings! {
    /// Settings of `finetuned`.
    pub struct Finetuned {
        /// Method that trains the whole network.
        pub inner: Inner = Inner::default() => words("a method").shown("joint"), "paper (the reference of MCR)";
    }
}

impl MethodSettings for Finetuned {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn inner(&self) -> Option<&Inner> {
        Some(&self.inner)
    }
    fn around(&self, inner: Inner) -> Option<Arc<dyn MethodSettings>> {
        Some(Arc::new(Self { inner }))
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        Ok(match self.inner.method()?.built(net)? {
            Built::Method(inner) => Built::Method(Box::new(Started(inner))),
            inner => Built::grads(Started(inner.gradient()?)),
        })
    }
    fn prepares(&self, modalities: &[String]) -> Vec<Preparation> {
        Preparation::each(modalities)
    }
}

/// A method, or what makes its gradient, whose run begins at encoders that were trained alone.
struct Started<M: ?Sized>(Box<M>);

impl<M: EpochWork + ?Sized> EpochWork for Started<M> {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        if cx.clock.epoch == 0 {
            adopt(cx, false)?;
        }
        self.0.before_epoch(cx)
    }
}

impl Method for Started<dyn Method> {
    fn step(&mut self, cx: &mut Step<'_>) -> Result<Report> {
        self.0.step(cx)
    }
}

impl GradFn for Started<dyn GradFn> {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        self.0.grads(cx)
    }
}

impl<M: Infer + ?Sized> Infer for Started<M> {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        self.0.infer(net, batch)
    }
}

impl<M: Stateful + ?Sized> Stateful for Started<M> {
    fn state(&self) -> Result<State> {
        self.0.state()
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.0.load(state)
    }
}

#[cfg(test)]
mod tests {
    use aim_core::Capabilities;
    use serde_json::json;

    use crate::{MethodSpec, builtin};

    #[test]
    fn it_has_one_gradient_a_step_where_the_inner_method_has() {
        let capabilities = Capabilities::of(&[aim_core::capability::VIEWS]);
        let owns_step = |section| {
            let spec = MethodSpec::read(builtin(), &section).unwrap();
            spec.owns_step(&["a".into(), "b".into()], &capabilities).unwrap()
        };
        assert!(!owns_step(json!("finetuned")) && !owns_step(json!({"sam": {"inner": "finetuned"}})));
        assert!(owns_step(json!({"finetuned": {"inner": "ema"}})));
    }
}
