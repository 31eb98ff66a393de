//! AMSS and AMSS+: adaptively masked subnetworks (Yang et al., TPAMI 2025, arXiv 2404.08347): the modality that says
//! more about the label has fewer of its units updated.
//!
//! ```text
//! I_m   = -CE(unimodal_m) + H(Y) + offset          H(Y): entropy of the batch's label frequencies
//! t_m   = I_m / H(softmax(phi_m)) / temperature;   rho_m = clamp(1 - softmax(t)_m, 0.1, 0.9); 0.5 each if any I_m <= 0
//! unit o of a layer: p_o = |g_o|^2 / sum |g|^2;  n = ceil(units rho_m) are drawn without replacement with chances p
//! drawn units: gradient times 1 (amss), 1 / min(1, n p_o) (amss+), 1 / (p_o + 1/units) (amss+official);   others: 0
//! head: the same in each class row over the columns of each modality
//! ```
//! Units are output units of linear layers and channels of block convolutions (not stems, shortcuts, biases, norm
//! layers). The official audio-visual script never applies the head's mask (`mask_head: false`), takes another quantity
//! for H(Y) and its AMSS+ weight is no inverse of a chance; the clean forms are the defaults. temperature 0.2 and
//! offset 0.5 are official. `gn_mode` takes |g_o| or |g_o|^2 / |w_o|^2 in place of |g_o|^2, `sample_mode` the n
//! largest, n alike, or each unit by itself with chance p_o. Units without a gradient are never drawn, so that fewer
//! than n may be.

mod draw;
mod settings;
mod shares;

use aim_core::{Error, GradOp, Grads, Idle, Kind, Part, Report, Result, Role, Seen, Stateless};
use candle_core::{DType, Tensor};

use self::draw::{Drawn, draw};
pub use self::settings::{ABOUT, Amss, Importance, Mode, Weights};

impl Stateless for Amss {}
impl Idle for Amss {}

impl GradOp for Amss {
    fn apply(&mut self, grads: &mut Grads, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
        let rho = self.shares(seen, report)?;
        let spec = seen.net.spec();
        let widths = &spec.widths;
        grads.map(seen.net.params(), |name, role, grad| match role.part {
            Part::Encoder { modality, depth } if is_unit_layer(role, grad, depth, &spec.inputs[modality]) => {
                self.layer(name, grad, rho[modality], seen, report).map(Some)
            }
            Part::Head { modality } if role.is_weight() && self.mask_head => {
                let parts: Vec<(usize, usize)> = match modality {
                    Some(m) => vec![(m, grad.dim(1)?)],
                    None if grad.dim(1)? == widths.iter().sum::<usize>() => {
                        widths.iter().copied().enumerate().collect()
                    }
                    None => return Ok(None),
                };
                self.head(name, grad, &parts, &rho, seen, report).map(Some)
            }
            _ => Ok(None),
        })
    }
}

/// Every linear layer, and convolutions that neither read the encoder's input (stems) nor have a kernel of one
/// (shortcuts).
fn is_unit_layer(role: Role, grad: &Tensor, depth: usize, input: &[usize]) -> bool {
    let dims = grad.dims();
    match role.kind {
        Kind::Linear => true,
        Kind::Conv => dims[2..].iter().any(|k| *k > 1) && !(depth == 0 && input.first() == Some(&dims[1])),
        _ => false,
    }
}

/// The weights that a gradient belongs to.
fn weight(name: &str, seen: &Seen<'_>) -> Result<Tensor> {
    let unknown = || {
        Error::invalid(
            format!("gradient `{name}`"),
            "belongs to no parameter",
            "report this fault with the command that met it",
        )
    };
    Ok(seen.net.params().get(name).ok_or_else(unknown)?.var.as_detached_tensor())
}

impl Importance {
    /// What each row of a gradient `[units, n]` counts; `weight` has the same shape.
    fn of(self, grad: &Tensor, weight: &Tensor) -> Result<Vec<f64>> {
        let squares = |x: &Tensor| -> Result<Vec<f64>> { Ok(x.sqr()?.sum(1)?.to_dtype(DType::F64)?.to_vec1()?) };
        let mut score = squares(grad)?;
        match self {
            Self::Gn => {}
            Self::SqrtGn => score.iter_mut().for_each(|s| *s = s.sqrt()),
            Self::GnWn => score.iter_mut().zip(squares(weight)?).for_each(|(s, w)| *s /= w.max(1e-12)),
        }
        Ok(score)
    }
}

impl Amss {
    fn layer(&self, name: &str, grad: &Tensor, rho: f64, seen: &Seen<'_>, report: &mut Report) -> Result<Tensor> {
        let flat = grad.flatten_from(1)?;
        let score = self.gn_mode.of(&flat, &weight(name, seen)?.flatten_from(1)?)?;
        let given = seen.batch.given.get(&format!("mask.{name}")).map(|m| m.to_vec1::<f32>()).transpose()?;
        let rng = &mut seen.draws.rng(&format!("amss.{name}"));
        let Drawn { p, n, factor } = draw((self.sample_mode, self.weights), &score, rho, given, rng);
        if seen.trace {
            report.list(format!("score.{name}"), &score)?;
            report.list(format!("p.{name}"), &p)?;
            report.scalar(format!("n.{name}"), n as f64)?;
            report.list(format!("weight.{name}"), &factor)?;
        }
        let factor = Tensor::new(factor, grad.device())?.to_dtype(grad.dtype())?.unsqueeze(1)?;
        Ok(flat.broadcast_mul(&factor)?.reshape(grad.dims())?)
    }

    fn head(
        &self,
        name: &str,
        grad: &Tensor,
        parts: &[(usize, usize)],
        rho: &[f64],
        seen: &Seen<'_>,
        report: &mut Report,
    ) -> Result<Tensor> {
        // Each entry is a unit of its own.
        let column = |x: &Tensor| x.reshape(((), 1));
        let score = self.gn_mode.of(&column(grad)?, &column(&weight(name, seen)?)?)?;
        let score: Vec<&[f64]> = score.chunks(grad.dim(1)?).collect();
        let given = seen.batch.given.get(&format!("mask.{name}")).map(|m| m.to_vec2::<f32>()).transpose()?;
        let mut rows = vec![vec![]; score.len()];
        let mut start = 0;
        for &(m, width) in parts {
            let (mut chances, mut factors, mut count) = (vec![], vec![], 0);
            for (class, row) in score.iter().enumerate() {
                let mask = given.as_ref().map(|g| g[class][start..start + width].to_vec());
                let rng = &mut seen.draws.rng(&format!("amss.{name}.{m}.{class}"));
                let Drawn { p, n, factor } =
                    draw((self.sample_mode, self.weights), &row[start..start + width], rho[m], mask, rng);
                rows[class].extend(factor.iter().copied());
                chances.push(p);
                factors.push(factor);
                count = n;
            }
            start += width;
            if seen.trace {
                let modality = &seen.net.spec().modalities[m];
                report.note(format!("head_p.{modality}"), &Tensor::new(chances, grad.device())?);
                report.scalar(format!("head_n.{modality}"), count as f64)?;
                report.note(format!("head_weight.{modality}"), &Tensor::new(factors, grad.device())?);
            }
        }
        Ok((grad * Tensor::new(rows, grad.device())?.to_dtype(grad.dtype())?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn importances_by_hand() {
        let of = |rows: &[[f32; 2]; 2]| Tensor::new(rows, &Device::Cpu).unwrap();
        let (grad, weight) = (of(&[[3., 4.], [0., 2.]]), of(&[[1., 2.], [0., 0.5]]));
        let found = |importance: Importance| importance.of(&grad, &weight).unwrap();
        assert_eq!(found(Importance::Gn), [25., 4.]);
        assert_eq!(found(Importance::SqrtGn), [5., 2.]);
        assert_eq!(found(Importance::GnWn), [25. / 5., 4. / 0.25]);
    }
}
