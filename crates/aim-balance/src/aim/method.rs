//! One step of AIM: measure, decouple, rely on the auxiliary blocks.

use aim_core::{
    EpochStart, EpochWork, Error, GradFn, Grads, Kept, NetSpec, Output, Pass, Plain, Report, Result, Rng, State,
    Stateful, Step,
};
use candle_core::{DType, Tensor};

use super::blocks::Saliency;
use super::measure::{self, Dose, Grid};
use super::prototypes;
use super::settings::{AimSettings, Passes, Prototypes, Reliance, Rule};
use crate::joint::cross_entropy;

/// AIM (reconstruction); see the [module](super) for the equations.
pub struct Aim {
    pub(super) settings: AimSettings,
    pub(super) rule: Rule,
    pub(super) spec: NetSpec,
    prototypes: Option<Grid<Tensor>>,
    /// Moving average of the imbalance; `None` before the first measurement.
    rho: Option<Grid<f64>>,
    /// Latest saliency of each modality and the step it was taken at.
    pub(super) saliency: Vec<Option<(usize, Saliency)>>,
}

impl Aim {
    /// AIM for a network.
    pub fn new(settings: AimSettings, net: &NetSpec) -> Self {
        let (rule, saliency) = (settings.rule(), vec![None; net.modalities.len()]);
        Self { settings, rule, spec: net.clone(), prototypes: None, rho: None, saliency }
    }
}

impl Plain for Aim {}

impl EpochWork for Aim {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        let since = cx.clock.epoch.checked_sub(self.settings.warmup);
        if self.settings.beta == 0. || !since.is_some_and(|e| e.is_multiple_of(self.settings.refresh)) {
            return Ok(());
        }
        self.prototypes = Some(match self.settings.prototypes {
            Prototypes::ClassMean => prototypes::class_means(cx)?,
            Prototypes::Dap => {
                let mut rng = Rng::keyed(cx.seed, &format!("aim.dap@{}", cx.clock.epoch));
                prototypes::depth_adaptive(cx.net, self.settings.dap_steps, self.settings.dap_lr, &mut rng)?
            }
        });
        Ok(())
    }
}

impl GradFn for Aim {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        self.take_given(cx);
        let mut report = Report::default();
        let mut pass = Pass::train(cx.draws()).keep();
        let out = cx.net.forward(cx.batch, &mut pass)?;
        let plain = cross_entropy(&out.logits, cx.batch)?;
        report.note("logits", &out.logits);
        report.note("loss.plain", &plain);
        let doses = self.measure(&pass.into_kept(), cx, &mut report)?;
        let loss = match doses {
            Some((logits, doses)) => self.total(cx, &out, plain, &logits, &doses, &mut report)?,
            None => plain,
        };
        report.note("loss", &loss);
        Ok((Grads::of(&loss, cx.net.params())?, report))
    }
}

impl Aim {
    /// Prototypes supplied with the batch take the place of AIM's own.
    fn take_given(&mut self, cx: &Step<'_>) {
        let at = |m: &String, d| cx.given(&format!("proto.{m}.{d}")).cloned();
        let row = |(m, depths): (&String, &usize)| (0..*depths).map(|d| at(m, d)).collect();
        let given: Option<Grid<Tensor>> = self.spec.modalities.iter().zip(&self.spec.depths).map(row).collect();
        self.prototypes = given.or(self.prototypes.take());
    }

    /// Prototype logits and doses; `None` where there are no prototypes (warm-up; beta 0, unless they are supplied).
    fn measure(
        &mut self,
        kept: &Kept,
        cx: &Step<'_>,
        report: &mut Report,
    ) -> Result<Option<(Grid<Tensor>, Grid<Dose>)>> {
        let Some(prototypes) = &self.prototypes else { return Ok(None) };
        let logits = measure::all_logits(kept, prototypes, self.settings.tau)?;
        let s = measure::performance(&logits, &cx.batch.labels)?;
        let mut rho = measure::imbalance(&s);
        if let Some(old) = &self.rho {
            let ema = self.settings.ema;
            rho.iter_mut()
                .flatten()
                .zip(old.iter().flatten())
                .for_each(|(new, old)| *new = ema * old + (1. - ema) * *new);
        }
        let doses = measure::doses(&self.rule, &rho);
        for (m, name) in self.spec.modalities.iter().enumerate() {
            let list = |f: fn(&Dose) -> f64| doses[m].iter().map(f).collect::<Vec<_>>();
            report.list(format!("s.{name}"), &s[m])?;
            report.list(format!("rho.{name}"), &rho[m])?;
            report.list(format!("lambda.{name}"), &list(|d| d.strength))?;
            report.list(format!("keep.{name}"), &list(|d| d.keep))?;
        }
        self.rho = Some(rho);
        Ok(Some((logits, doses)))
    }

    /// Plain loss plus auxiliary losses.
    fn total(
        &mut self,
        cx: &Step<'_>,
        out: &Output,
        plain: Tensor,
        logits: &Grid<Tensor>,
        doses: &Grid<Dose>,
        report: &mut Report,
    ) -> Result<Tensor> {
        let mut degraded = measure::degraded(doses, &self.spec);
        if degraded.is_empty() || self.settings.beta == 0. {
            return Ok(plain);
        }
        if self.rule.passes == Passes::One {
            let pick = cx.draws().rng("aim.one").below(degraded.len());
            degraded = vec![degraded[pick]];
        }
        self.refresh_saliency(cx, logits, &degraded)?;
        let features = self.auxiliary_features(cx, doses, &degraded, report)?;
        let groups: Vec<Vec<usize>> = match self.rule.passes {
            Passes::Joint => vec![degraded],
            Passes::Separate | Passes::One => degraded.into_iter().map(|m| vec![m]).collect(),
        };
        let mut total = (self.settings.reliance == Reliance::Dual).then_some(plain);
        for group in groups {
            let aux = self.auxiliary_loss(cx, out, &features, &group, report)?;
            let aux = if self.settings.beta == 1. { aux } else { (aux * self.settings.beta)? };
            total = Some(match total {
                Some(sum) => (sum + aux)?,
                None => aux,
            });
        }
        total.ok_or_else(|| {
            Error::invalid("aim", "has no loss in this step", "report this fault with the command that met it")
        })
    }
}

impl Stateful for Aim {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        for (m, row) in self.prototypes.iter().flatten().enumerate() {
            row.iter().enumerate().for_each(|(d, p)| drop(state.0.insert(format!("proto.{m}.{d}"), p.clone())));
        }
        for (m, row) in self.rho.iter().flatten().enumerate() {
            state.put(format!("rho.{m}"), row)?;
        }
        for (m, entry) in self.saliency.iter().enumerate() {
            let Some((step, saliency)) = entry else { continue };
            state.put(format!("saliency.{m}.step"), &[*step as f64])?;
            for (name, values) in saliency {
                let values: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
                state.put(format!("saliency.{m}.of.{name}"), &values)?;
            }
        }
        Ok(state)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        let row = |(m, depths): (usize, &usize)| {
            (0..*depths).map(|d| state.0.get(&format!("proto.{m}.{d}")).cloned()).collect()
        };
        self.prototypes = self.spec.depths.iter().enumerate().map(row).collect();
        let modalities = 0..self.spec.modalities.len();
        let saved = modalities.clone().all(|m| state.0.contains_key(&format!("rho.{m}")));
        self.rho =
            saved.then(|| modalities.map(|m| state.numbers(&format!("rho.{m}"))).collect::<Result<_>>()).transpose()?;
        for (m, entry) in self.saliency.iter_mut().enumerate() {
            *entry = load_saliency(&state.part(&format!("saliency.{m}")))?;
        }
        Ok(())
    }
}

fn load_saliency(state: &State) -> Result<Option<(usize, Saliency)>> {
    if state.0.is_empty() {
        return Ok(None);
    }
    let values = |t: &Tensor| t.to_dtype(DType::F32)?.to_vec1();
    let of = state.part("of");
    let saliency = of.0.iter().map(|(k, t)| Ok((k.as_str().into(), values(t)?))).collect::<Result<_>>()?;
    Ok(Some((state.number("step")? as usize, saliency)))
}
