//! SAM and ASAM (Foret et al., ICLR 2021; Kwon et al., ICML 2021) over any method that has one gradient a step.
//!
//! ```text
//! g  = gradient of the inner method at theta
//! e  = rho g / (|g| + 1e-12)                        one norm over all parameters
//! e  = rho theta^2 g / (| |theta| g | + 1e-12)      adaptive
//! the gradient of the inner method at theta + e, on the same batch, is descended from theta
//! ```
//! `group` names what is perturbed and enters the norm: everything, encoders alone, or what comes after them alone; the
//! gradient at the neighbour is that of all parameters. The second pass uses the same draws, leaves running statistics
//! of normalisation layers alone, and what the inner method remembers of a step it remembers of the first pass. Default
//! rho 0.05, that of the paper (adaptive forms use ten times more).

use std::sync::Arc;

use aim_config::{between, by_type, choice, settings, words};
use aim_core::{
    Batch, EpochStart, EpochWork, GradFn, Grads, Infer, Net, NetSpec, Output, Report, Result, Role, State, Stateful,
    Step,
};

use crate::{
    Built, Inner, MethodInfo, MethodSettings, Provenance, Quantity, Requirements,
    util::{Still, adaptive_ascent, ascent},
};

/// Card of [`Sam`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "sam",
    title: "SAM",
    idea: "descend the gradient at the worst neighbour of the weights",
    paper: "Foret et al., ICLR 2021 (arXiv 2010.01412); adaptive: Kwon et al., ICML 2021 (arXiv 2102.11600)",
    cost: "2 forward and 2 backward passes of the inner method; a copy of the weights",
    departs: &[
        "The second pass leaves the inner method's state and running statistics of norm layers alone, so that one step \
        counts once; the paper wraps plain training.",
    ],
    requires: Requirements::NONE,
    provenance: Provenance::Faithful,
    reports: &[Quantity::step("grad_norm", "", "norm of the inner method's gradient")],
    revision: 1,
};

choice! {
    /// Parameters that are perturbed.
    pub enum Group {
        /// All.
        All = "all",
        /// Those of encoders.
        Encoders = "encoders",
        /// Those of the fusion and of heads.
        Heads = "heads",
    }
}

impl Group {
    fn holds(self, role: Role) -> bool {
        match self {
            Self::All => true,
            Self::Encoders => role.encoder().is_some(),
            Self::Heads => role.encoder().is_none(),
        }
    }
}

settings! {
    /// Settings of `sam`.
    pub struct Sam {
        /// Radius; 0 is the inner method.
        pub rho: f64 = 0.05 => between(0., 100.), "paper";
        /// Whether the radius is in units of each weight.
        pub adaptive: bool = false => by_type(), "paper";
        /// Parameters that are perturbed; heads with the fusion.
        pub group: Group = Group::All => by_type(), "ours";
        /// Method that is wrapped.
        pub inner: Inner = Inner::default() => words("a method").shown("joint"), "ours";
    }
}

impl MethodSettings for Sam {
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
        Ok(Built::grads(Wrapped { inner: self.inner.method()?.built(net)?.gradient()?, settings: self.clone() }))
    }
}

struct Wrapped {
    settings: Sam,
    inner: Box<dyn GradFn>,
}

impl GradFn for Wrapped {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let (plain, mut report) = self.inner.grads(cx)?;
        report.scalar("grad_norm", plain.norm()?)?;
        if cx.trace {
            plain.iter().for_each(|(name, grad)| report.note(format!("grad_raw.{name}"), grad));
        }
        if self.settings.rho == 0. {
            // A second pass would meet the state that the first one left.
            if let Some(loss) = report.get("loss").cloned() {
                report.note("loss.perturbed", &loss);
            }
            return Ok((plain, report));
        }
        let (group, params) = (self.settings.group, cx.net.params());
        let grads = plain.filter(params, |role| group.holds(role));
        let Sam { rho, adaptive, .. } = self.settings;
        let shift = if adaptive { adaptive_ascent(&grads, params, rho) } else { ascent(&grads, rho) }?;
        let state = self.inner.state()?;
        let (grads, perturbed) = cx.nudged(&shift, |cx| {
            let (net, batch, clock, seed) = (&Still(cx.net), cx.batch, cx.clock, cx.seed);
            self.inner.grads(&mut Step { net, opt: &mut *cx.opt, batch, clock, seed, trace: false })
        })?;
        self.inner.load(&state)?;
        if let Some(loss) = perturbed.get("loss") {
            report.note("loss.perturbed", loss);
        }
        Ok((grads, report))
    }
}

impl EpochWork for Wrapped {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        self.inner.before_epoch(cx)
    }
}

impl Infer for Wrapped {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        self.inner.infer(net, batch)
    }
}

impl Stateful for Wrapped {
    fn state(&self) -> Result<State> {
        self.inner.state()
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.inner.load(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_paper_around_joint_training() {
        let Sam { rho, adaptive, group, inner } = Sam::default();
        assert_eq!((rho, adaptive, group), (0.05, false, Group::All));
        assert_eq!(inner.understood().map(|inner| inner.name()).as_deref(), Some("joint"));
    }
}
