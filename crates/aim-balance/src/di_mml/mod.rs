//! DI-MML, detached and interactive multimodal learning (Fan et al., ACM MM 2024, arXiv 2407.19514): each encoder has a
//! loss of its own, so that none is held back; a common head ties their spaces, and a contrast teaches each what
//! another knows better.
//!
//! ```text
//! first stage:   L = sum over m of CE(h_m(phi_m)) + align sum over m of CE(g(phi_m))        g: one head for all
//!   from epoch `starts` on  + sum over ordered pairs (m teaches n) of C_mn
//!   C_mn = mean over i of -log softmax over j of ( <phi_n[i, E], stop phi_m[j, E]> / temperature ), at j = i
//!   E: dimensions that are effective in m and not in n, separated once, in evaluation, before epoch `starts`
//!   effective: more samples than in the mean dimension are nearest to the mean of their own class
//! second stage:  the last fuse_epochs epochs; encoders and their heads are frozen, and a fused head learns CE(z)
//! prediction:    sum over k of w_k logits_k, w = softmax over k of (largest probability of k / fuse_temperature)
//!                k: modalities, and z in the second stage
//! ```

mod separate;
mod settings;

use aim_core::{
    ALIGNED, Batch, EpochStart, EpochWork, Error, GradFn, Grads, Infer, Net, Output, Pass, Report, Result, Split,
    State, Stateful, Step,
};
use candle_core::{D, DType, Tensor};

pub use self::{
    separate::{Separation, separate},
    settings::{ABOUT, DiMml},
};
use crate::{
    joint::cross_entropy,
    util::{own_loss, pick, rows_with, shares, weighted_sum},
};

struct Detached {
    settings: DiMml,
    names: Vec<String>,
    classes: usize,
    /// Effective dimensions of each modality; none before they are separated.
    effective: Vec<Vec<bool>>,
    /// Whether the fused head learns.
    second: bool,
}

impl EpochWork for Detached {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        let epochs = cx.clock.epochs;
        self.second = cx.clock.epoch >= epochs - self.settings.fuse_epochs.min(epochs / 2);
        if !self.second && self.effective.is_empty() && cx.clock.epoch >= self.settings.starts {
            self.effective = self.separated(cx)?;
        }
        Ok(())
    }
}

impl Detached {
    /// The effective dimensions of each modality by the training samples that have it.
    fn separated(&self, cx: &EpochStart<'_>) -> Result<Vec<Vec<bool>>> {
        let (mut features, mut labels) = (vec![vec![]; self.names.len()], vec![vec![]; self.names.len()]);
        cx.samples.each(Split::Train, &mut |batch| {
            let out = cx.net.forward(batch, &mut Pass::eval())?;
            for (m, x) in out.features.iter().enumerate() {
                let rows = rows_with(&[m], batch)?;
                features[m].push(pick(&x.detach(), rows.as_ref())?);
                labels[m].extend(pick(&batch.labels, rows.as_ref())?.to_vec1::<u32>()?);
            }
            Ok(())
        })?;
        let one =
            |(x, labels): (&Vec<Tensor>, &Vec<u32>)| Ok(separate(&Tensor::cat(x, 0)?, labels, self.classes)?.effective);
        features.iter().zip(&labels).map(one).collect()
    }

    /// The effective dimensions of this step, as supplied or separated; none before `starts`.
    fn dimensions(&self, cx: &Step<'_>) -> Result<Vec<Vec<bool>>> {
        if cx.clock.epoch < self.settings.starts {
            return Ok(vec![]);
        }
        let given = |name: &String| {
            let mask = cx.given(&format!("effective.{name}"))?;
            Some(mask.to_dtype(DType::F64).and_then(|mask| mask.to_vec1::<f64>()))
        };
        let Some(masks) = self.names.iter().map(given).collect::<Option<Vec<_>>>() else {
            return Ok(self.effective.clone());
        };
        masks.into_iter().map(|mask| Ok(mask?.into_iter().map(|own| own > 0.).collect())).collect()
    }

    /// Every encoder on its own head and the common one, and what they teach each other.
    fn first_stage(&self, cx: &Step<'_>, report: &mut Report) -> Result<Grads> {
        let (out, align) = (cx.forward()?, self.settings.align);
        let mut losses = vec![];
        for (m, name) in self.names.iter().enumerate() {
            report.note(format!("unimodal.{name}"), &out.unimodal[m]);
            losses.push((format!("loss.{name}"), own_loss(&out.unimodal[m], m, cx.batch)?, 1.));
        }
        let missing = || Error::invalid("model.fusion", "has no common head", "set model.fusion: detached");
        let aligned = out.extras.get(ALIGNED).ok_or_else(missing)?;
        for (m, name) in self.names.iter().enumerate() {
            let logits = aligned.narrow(1, m, 1)?.squeeze(1)?.contiguous()?;
            report.note(format!("align.{name}"), &logits);
            losses.push((format!("loss.align.{name}"), own_loss(&logits, m, cx.batch)?, align));
        }
        losses.extend(self.lessons(&out.features, cx, report)?);
        let mut total: Option<Tensor> = None;
        for (name, loss, weight) in losses {
            let Some(loss) = loss else { continue };
            report.note(name, &loss);
            let loss = match weight {
                0. => continue,
                1. => loss,
                weight => (loss * weight)?,
            };
            total = Some(total.map_or(Ok(loss.clone()), |sum| sum + loss)?);
        }
        total.iter().for_each(|total| report.note("loss", total));
        Ok(total.map(|total| Grads::of(&total, cx.net.params())).transpose()?.unwrap_or_default())
    }

    /// The contrasts of all ordered pairs.
    fn lessons(
        &self,
        features: &[Tensor],
        cx: &Step<'_>,
        report: &mut Report,
    ) -> Result<Vec<(String, Option<Tensor>, f64)>> {
        let (effective, mut all) = (self.dimensions(cx)?, vec![]);
        for (m, mask) in effective.iter().enumerate() {
            report.scalar(format!("effective.{}", self.names[m]), mask.iter().filter(|own| **own).count() as f64)?;
        }
        let pairs = (0..effective.len()).flat_map(|m| (0..effective.len()).map(move |n| (m, n)));
        for (m, n) in pairs.filter(|(m, n)| m != n) {
            let told = effective[m].iter().zip(&effective[n]);
            let of = (0..).zip(told).filter(|(_, (teacher, learner))| **teacher && !**learner).map(|(k, _)| k);
            let name = format!("loss.contrast.{}.{}", self.names[m], self.names[n]);
            match self.lesson(&features[m], &features[n], of.collect(), rows_with(&[m, n], cx.batch)?)? {
                // There is nothing to teach, or nobody to learn it.
                None => report.scalar(name, 0.)?,
                loss => all.push((name, loss, 1.)),
            }
        }
        Ok(all)
    }

    /// What a modality learns of another in these dimensions over these rows: each sample's feature must resemble the
    /// teacher's of the same sample more than those of the others. `None` of no dimensions or no rows.
    fn lesson(
        &self,
        teacher: &Tensor,
        learner: &Tensor,
        dimensions: Vec<u32>,
        rows: Option<Tensor>,
    ) -> Result<Option<Tensor>> {
        let (count, device) = (dimensions.len(), learner.device());
        let [teacher, learner] = [pick(&teacher.detach(), rows.as_ref())?, pick(learner, rows.as_ref())?];
        let samples = learner.dim(0)?;
        if count == 0 || samples == 0 {
            return Ok(None);
        }
        let dimensions = Tensor::from_vec(dimensions, count, device)?;
        let of = |x: &Tensor| x.index_select(&dimensions, 1);
        let scores = (of(&learner)?.matmul(&of(&teacher)?.t()?)? / self.settings.temperature)?;
        let own = Tensor::arange(0, samples as u32, device)?;
        Ok(Some(aim_ops::cross_entropy(&scores, &own, 0., aim_ops::Reduction::Mean)?))
    }

    /// The fused head on frozen encoders.
    fn second_stage(cx: &Step<'_>, report: &mut Report) -> Result<Grads> {
        let features = cx.net.features(cx.batch, &mut Pass::eval())?.iter().map(Tensor::detach).collect();
        let out = cx.net.fuse(features, cx.batch.present.as_ref(), &mut Pass::train(cx.draws()))?;
        report.note("logits", &out.logits);
        let loss = cross_entropy(&out.logits, cx.batch)?;
        report.note("loss", &loss);
        Grads::of(&loss, cx.net.params())
    }
}

impl GradFn for Detached {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let mut report = Report::default();
        report.scalar("stage", if self.second { 2. } else { 1. })?;
        let grads = if self.second { Self::second_stage(cx, &mut report)? } else { self.first_stage(cx, &mut report)? };
        Ok((grads, report))
    }
}

impl Infer for Detached {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        let out = net.forward(batch, &mut Pass::eval())?;
        let fused = self.second.then(|| out.logits.clone());
        Ok(Output {
            logits: combined(&out.unimodal, fused, self.settings.fuse_temperature, batch.present.as_ref())?,
            ..out
        })
    }
}

/// Weights `[B, K]` of sum 1 of predictions `[B, classes]` by how sure each is of a sample: a softmax over the largest
/// probability of each over the temperature. Where `present` says that a sample lacks one it has no weight.
///
/// # Errors
/// If shapes differ.
pub fn certainty(logits: &[Tensor], temperature: f64, present: Option<&Tensor>) -> Result<Tensor> {
    let sure = |x: &Tensor| aim_ops::softmax(x)?.max(D::Minus1);
    let sure = logits.iter().map(sure).collect::<candle_core::Result<Vec<_>>>()?;
    let scores = (Tensor::stack(&sure, 1)? / temperature)?;
    shares(&scores, scores.dim(0)?, present)
}

/// Logits of modalities, and of a fused head if there is one, weighted by their [`certainty`]. A modality that a sample
/// lacks has no weight.
///
/// # Errors
/// If shapes differ.
pub fn combined(
    unimodal: &[Tensor],
    fused: Option<Tensor>,
    temperature: f64,
    present: Option<&Tensor>,
) -> Result<Tensor> {
    let always = present.map(|p| p.narrow(1, 0, 1)?.ones_like()).transpose()?;
    let present = match (present, always, &fused) {
        (Some(present), Some(always), Some(_)) => Some(Tensor::cat(&[present, &always], 1)?),
        (present, ..) => present.cloned(),
    };
    let logits: Vec<Tensor> = unimodal.iter().cloned().chain(fused).collect();
    weighted_sum(&logits, &certainty(&logits, temperature, present.as_ref())?)
}

impl Stateful for Detached {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("second", &[f64::from(u8::from(self.second))])?;
        for (name, mask) in self.names.iter().zip(&self.effective) {
            let mask: Vec<f64> = mask.iter().map(|own| f64::from(u8::from(*own))).collect();
            state.put(format!("effective.{name}"), &mask)?;
        }
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.second = state.number("second")? > 0.;
        let keys = self.names.iter().map(|name| format!("effective.{name}"));
        let mask = |key: String| Ok(state.numbers(&key)?.into_iter().map(|own| own > 0.).collect());
        self.effective = keys.filter(|key| state.0.contains_key(key)).map(mask).collect::<Result<_>>()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn tensor<const N: usize>(rows: &[[f32; 2]; N]) -> Tensor {
        Tensor::new(rows, &Device::Cpu).unwrap()
    }

    #[test]
    fn predictions_are_weighted_by_certainty_by_hand() {
        // Largest probabilities 3/4 and 1/2, of the fused head 4/5; temperature 1/2 doubles them.
        let logits = [tensor(&[[3f32.ln(), 0.]]), tensor(&[[1., 1.]])];
        let of = |fused: Option<Tensor>, present: Option<[f32; 2]>| {
            let present = present.map(|row| tensor(&[row]));
            combined(&logits, fused, 0.5, present.as_ref()).unwrap().to_vec2::<f32>().unwrap()[0].clone()
        };
        let near = |found: Vec<f32>, want: [f64; 2]| {
            assert!(found.iter().zip(want).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6), "{found:?}, not {want:?}");
        };
        let (a, b, z) = (1.5f64.exp(), 1f64.exp(), 1.6f64.exp());
        near(of(None, None), [(a * 3f64.ln() + b) / (a + b), b / (a + b)]);
        let fused = || Some(tensor(&[[0., 4f32.ln()]]));
        near(of(fused(), None), [(a * 3f64.ln() + b) / (a + b + z), (b + z * 4f64.ln()) / (a + b + z)]);
        near(of(fused(), Some([0., 1.])), [b / (b + z), (b + z * 4f64.ln()) / (b + z)]);
        near(of(None, Some([1., 0.])), [3f64.ln(), 0.]);
    }

    #[test]
    fn lessons_by_hand() {
        let names = vec!["a".to_owned(), "b".to_owned()];
        let settings = DiMml { temperature: 2., ..DiMml::default() };
        let method = Detached { settings, names, classes: 2, effective: vec![], second: false };
        let (teacher, learner) = (tensor(&[[2., 9.], [4., 9.]]), tensor(&[[1., 7.], [3., 7.]]));
        let lesson = |dimensions: &[u32], rows: Option<&[u32]>| {
            let rows = rows.map(|rows| Tensor::new(rows, &Device::Cpu).unwrap());
            let loss = method.lesson(&teacher, &learner, dimensions.to_vec(), rows).unwrap();
            loss.map(|loss| crate::util::number(&loss).unwrap())
        };
        // Scores (1, 2) and (3, 6) in the first dimension: -log softmax at 0 and at 1.
        let want = ((1f64.exp() + 2f64.exp()).ln() - 1. + (3f64.exp() + 6f64.exp()).ln() - 6.) / 2.;
        assert!((lesson(&[0], None).unwrap() - want).abs() < 1e-5);
        assert!(lesson(&[0], Some(&[1])).unwrap().abs() < 1e-6, "one sample has no others");
        assert_eq!((lesson(&[], None), lesson(&[0], Some(&[]))), (None, None));
    }
}
