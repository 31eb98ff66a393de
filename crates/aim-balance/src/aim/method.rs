//! One step of AIM: measure, decouple, rely on the auxiliary blocks.

use aim_core::{
    EpochStart, EpochWork, Error, GradFn, Grads, Kept, NetSpec, Output, Pass, Plain, Report, Result, Rng, State,
    Stateful, Step,
};
use candle_core::{DType, Tensor};

use super::averages::Averages;
use super::blocks::Saliency;
use super::measure::{self, Dose, Grid, Measure};
use super::prototypes;
use super::settings::{AimSettings, Passes, Prototypes, Reliance, Rule};
use crate::joint::cross_entropy;

/// AIM (reconstruction); see the [module](super) for the equations.
pub struct Aim {
    pub(super) settings: AimSettings,
    pub(super) rule: Rule,
    pub(super) spec: NetSpec,
    prototypes: Option<Grid<Tensor>>,
    averages: Averages,
    /// Latest saliency of each modality and the step it was taken at.
    pub(super) saliency: Vec<Option<(usize, Saliency)>>,
}

impl Aim {
    /// AIM for a network.
    pub fn new(settings: AimSettings, net: &NetSpec) -> Self {
        let (rule, saliency) = (settings.rule(), vec![None; net.modalities.len()]);
        Self { settings, rule, spec: net.clone(), prototypes: None, averages: Averages::default(), saliency }
    }
}

/// What a step knows of each modality and depth before its auxiliary passes.
struct Measured {
    /// Prototype logits, where there are prototypes.
    logits: Option<Grid<Tensor>>,
    doses: Grid<Dose>,
}

impl Plain for Aim {}

impl EpochWork for Aim {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        let since = cx.clock.epoch.checked_sub(self.settings.warmup);
        if self.settings.beta == 0. || !since.is_some_and(|e| e.is_multiple_of(self.settings.refresh)) {
            return Ok(());
        }
        self.prototypes = match self.settings.prototypes {
            Prototypes::None => None,
            Prototypes::ClassMean => Some(prototypes::class_means(cx)?),
            Prototypes::Dap => {
                let mut rng = Rng::keyed(cx.seed, &format!("aim.dap@{}", cx.clock.epoch));
                Some(prototypes::depth_adaptive(cx.net, self.settings.dap_steps, self.settings.dap_lr, &mut rng)?)
            }
        };
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
        let loss = match self.measure(&pass.into_kept(), cx, &mut report)? {
            Some(measured) => self.total(cx, &out, plain, &measured, &mut report)?,
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

    /// `None` before the first prototypes, in the warm-up without any, and at beta 0 unless they are supplied.
    fn measure(&mut self, kept: &Kept, cx: &Step<'_>, report: &mut Report) -> Result<Option<Measured>> {
        let measured = match &self.prototypes {
            Some(prototypes) => {
                let logits = measure::all_logits(kept, prototypes, self.settings.tau)?;
                let s = measure::performance(&logits, &cx.batch.labels)?;
                let measures = self.averages.take(&s, self.settings.ema);
                for (m, name) in self.spec.modalities.iter().enumerate() {
                    report.list(format!("s.{name}"), &s[m])?;
                    report.list(format!("rho.{name}"), &measures[m].iter().map(|x| x.rho).collect::<Vec<_>>())?;
                }
                Measured { logits: Some(logits), doses: measure::doses(&self.rule, &measures) }
            }
            None if self.settings.prototypes == Prototypes::None && cx.clock.epoch >= self.settings.warmup => {
                let balance = self.spec.depths.iter().map(|depths| vec![Measure::NONE; *depths]).collect();
                Measured { logits: None, doses: measure::doses(&self.rule, &balance) }
            }
            None => return Ok(None),
        };
        for (m, name) in self.spec.modalities.iter().enumerate() {
            let list = |f: fn(&Dose) -> f64| measured.doses[m].iter().map(f).collect::<Vec<_>>();
            report.list(format!("lambda.{name}"), &list(|d| d.strength))?;
            report.list(format!("keep.{name}"), &list(|d| d.keep))?;
        }
        Ok(Some(measured))
    }

    /// Plain loss plus auxiliary losses.
    fn total(
        &mut self,
        cx: &Step<'_>,
        out: &Output,
        plain: Tensor,
        measured: &Measured,
        report: &mut Report,
    ) -> Result<Tensor> {
        let mut degraded = measure::degraded(&measured.doses, &self.spec);
        if degraded.is_empty() || self.settings.beta == 0. {
            return Ok(plain);
        }
        if self.rule.passes == Passes::One {
            let pick = cx.draws().rng("aim.one").below(degraded.len());
            degraded = vec![degraded[pick]];
        }
        self.refresh_saliency(cx, &plain, measured.logits.as_ref(), &degraded)?;
        let auxiliary = self.auxiliary(cx, &measured.doses, &degraded, report)?;
        let groups = groups(self.rule.passes, &degraded, self.spec.modalities.len());
        let mut total = (self.settings.reliance == Reliance::Dual).then_some(plain);
        for group in groups {
            let aux = self.auxiliary_loss(cx, out, &auxiliary, &group, report)?;
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
        self.averages.save(&mut state)?;
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
        self.averages = Averages::load(state, self.spec.modalities.len())?;
        for (m, entry) in self.saliency.iter_mut().enumerate() {
            *entry = load_saliency(&state.part(&format!("saliency.{m}")))?;
        }
        Ok(())
    }
}

/// The modalities that are reduced together in each auxiliary pass.
fn groups(passes: Passes, degraded: &[usize], modalities: usize) -> Vec<Vec<usize>> {
    match passes {
        Passes::Joint => vec![degraded.to_vec()],
        Passes::Separate | Passes::One => degraded.iter().map(|m| vec![*m]).collect(),
        Passes::Others => {
            let others = |plain| degraded.iter().copied().filter(|m| *m != plain).collect::<Vec<_>>();
            // From the last plain one on, so that with two modalities losses are summed as `separate` does.
            let mut groups: Vec<Vec<usize>> = (0..modalities).rev().map(others).filter(|g| !g.is_empty()).collect();
            groups.dedup();
            groups
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_leaves_one_modality_plain_at_a_time() {
        assert_eq!(groups(Passes::Others, &[0, 1], 2), groups(Passes::Separate, &[0, 1], 2));
        assert_eq!(groups(Passes::Others, &[0, 1, 2], 3), [[0, 1], [0, 2], [1, 2]]);
        // A modality that nothing is taken from: leaving it plain and leaving either other one plain.
        assert_eq!(groups(Passes::Others, &[0, 2], 3), [vec![0], vec![0, 2], vec![2]]);
        assert_eq!(groups(Passes::Others, &[1], 3), [[1]]);
    }
}
