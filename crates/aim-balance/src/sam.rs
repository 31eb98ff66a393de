//! SAM and ASAM (Foret et al., ICLR 2021; Kwon et al., ICML 2021) over any method that has one gradient a step.
//!
//! ```text
//! g  = gradient of the inner method at theta
//! e  = rho g / (|g| + 1e-12)                        one norm over all parameters
//! e  = rho theta^2 g / (| |theta| g | + 1e-12)      adaptive
//! the gradient of the inner method at theta + e, on the same batch, is descended from theta
//! ```
//! `group` names what is perturbed and enters the norm: everything, encoders alone, or what comes after them alone; the gradient
//! at the neighbour is that of all parameters. The second pass uses the same draws, leaves running statistics of normalisation layers alone, and what the inner method
//! remembers of a step it remembers of the first pass. Default rho 0.05, that of the paper (adaptive forms use ten times more).

use aim_core::{
    Batch, EpochStart, EpochWork, GradFn, Grads, Infer, Net, NetSpec, Output, Report, Result, Role, State, Stateful,
    Step,
};
use serde::{Deserialize, Serialize};
use serde_yaml::Value;

use crate::card::{About, Needs, Setting, Settings, within};
use crate::section::inner;
use crate::stack::Built;
use crate::util::{Still, adaptive_ascent, ascent};

/// Card of [`Sam`].
pub static ABOUT: About = About {
    name: "sam",
    title: "SAM",
    idea: "descend the gradient at the worst neighbour of the weights",
    paper: "Foret et al., ICLR 2021 (arXiv 2010.01412); adaptive: Kwon et al., ICML 2021 (arXiv 2102.11600)",
    cost: "2 forward and 2 backward passes of the inner method; a copy of the weights",
    departs: &[
        "The second pass leaves the inner method's state and running statistics of norm layers alone, so that one step \
        counts once; the paper wraps plain training.",
    ],
    settings: &[
        Setting::new("rho", "0.05", "0 to 100", "radius; 0 is the inner method", "paper"),
        Setting::new("adaptive", "false", "true | false", "radius in units of weights", "paper"),
        Setting::new("group", "all", "all | encoders | heads", "what is perturbed; heads with the fusion", "ours"),
        Setting::new("inner", "joint", "a method", "the method that is wrapped", "ours"),
    ],
    needs: Needs::NONE,
};

/// Which parameters are perturbed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// All.
    #[default]
    All,
    /// Those of encoders.
    Encoders,
    /// Those of the fusion and of heads.
    Heads,
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

/// Settings of `sam`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sam {
    /// Radius.
    pub rho: f64,
    /// Whether the radius is in units of each weight.
    pub adaptive: bool,
    /// Which parameters are perturbed.
    pub group: Group,
    /// The method that is wrapped.
    pub inner: Value,
}

impl Default for Sam {
    fn default() -> Self {
        Self { rho: 0.05, adaptive: false, group: Group::All, inner: "joint".into() }
    }
}

impl Settings for Sam {
    fn check(&self) -> Result<()> {
        within("rho", self.rho, 0., 100.)
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        Ok(Built::grads(Wrapped { inner: inner(&self.inner, net)?, settings: self }))
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
