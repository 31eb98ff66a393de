//! Optimizer steps in one pass over memory.

use candle_core::{Result, Tensor, Var};

use super::{par, shared::Shared, simd::kernel};
use crate::host;

/// Elements treated at once.
const LANES: usize = 16;

/// Calls `f` with the memory of all `vars`, which must not share any.
fn write_all(op: &'static str, vars: &[&Var], held: &[Shared<'_>], f: &dyn Fn(&[Shared<'_>])) -> Result<()> {
    let Some((first, rest)) = vars.split_first() else {
        f(held);
        return Ok(());
    };
    host::write(op, first, |values| {
        let mut held = held.to_vec();
        held.push(Shared::new(values));
        write_all(op, rest, &held, f)
    })
}

/// Replaces each element of `param` and of the `N` state variables by `f(param, gradient, state)`.
pub(crate) fn apply<const N: usize>(
    op: &'static str,
    param: &Var,
    grad: &Tensor,
    state: [&Var; N],
    f: impl Fn(f32, f32, [f32; N]) -> (f32, [f32; N]) + Sync + Send,
) -> Result<()> {
    let grad = &grad.contiguous()?;
    let vars: Vec<&Var> = std::iter::once(param).chain(state).collect();
    host::read(op, [grad], |[grad]| {
        write_all(op, &vars, &[], &|held| {
            par::runs(grad.len(), 2 + N, |run| {
                // SAFETY: runs do not overlap, and each variable has its own memory.
                let part = |i: usize| unsafe { held[i].part(run.start, run.len()) };
                step(part(0), &grad[run.clone()], std::array::from_fn(|i| part(i + 1)), &f);
            });
        })
    })
}

kernel! {
    fn step<const N: usize, F: Fn(f32, f32, [f32; N]) -> (f32, [f32; N])>(
        param: &mut [f32],
        grad: &[f32],
        state: [&mut [f32]; N],
        f: &F,
    ) {
        let mut state = state;
        for from in (0..param.len()).step_by(LANES) {
            let len = LANES.min(param.len() - from);
            let mut p = [0f32; LANES];
            let mut g = [0f32; LANES];
            let mut s = [[0f32; LANES]; N];
            if len == LANES {
                p.copy_from_slice(&param[from..from + LANES]);
                g.copy_from_slice(&grad[from..from + LANES]);
                s.iter_mut().zip(&state).for_each(|(to, s)| to.copy_from_slice(&s[from..from + LANES]));
            } else {
                p[..len].copy_from_slice(&param[from..]);
                g[..len].copy_from_slice(&grad[from..]);
                s.iter_mut().zip(&state).for_each(|(to, s)| to[..len].copy_from_slice(&s[from..]));
            }
            for i in 0..LANES {
                let (new, states) = f(p[i], g[i], std::array::from_fn(|n| s[n][i]));
                p[i] = new;
                (0..N).for_each(|n| s[n][i] = states[n]);
            }
            param[from..from + len].copy_from_slice(&p[..len]);
            state.iter_mut().zip(&s).for_each(|(to, s)| to[from..from + len].copy_from_slice(&s[..len]));
        }
    }
}
