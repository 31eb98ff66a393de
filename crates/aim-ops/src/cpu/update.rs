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

kernel! { narrow
    fn step<const N: usize, F: Fn(f32, f32, [f32; N]) -> (f32, [f32; N])>(
        param: &mut [f32],
        grad: &[f32],
        state: [&mut [f32]; N],
        f: &F,
    ) {
        let (params, param_rest) = param.as_chunks_mut::<LANES>();
        let (grads, grad_rest) = grad.as_chunks::<LANES>();
        let mut states = state.map(|s| s.as_chunks_mut::<LANES>());
        for i in 0..params.len() {
            let (mut p, g) = (params[i], grads[i]);
            let mut s: [[f32; LANES]; N] = std::array::from_fn(|n| states[n].0[i]);
            for l in 0..LANES {
                let (new, new_state) = f(p[l], g[l], std::array::from_fn(|n| s[n][l]));
                p[l] = new;
                (0..N).for_each(|n| s[n][l] = new_state[n]);
            }
            params[i] = p;
            (0..N).for_each(|n| states[n].0[i] = s[n]);
        }
        for i in 0..param_rest.len() {
            let (new, new_state) = f(param_rest[i], grad_rest[i], std::array::from_fn(|n| states[n].1[i]));
            param_rest[i] = new;
            (0..N).for_each(|n| states[n].1[i] = new_state[n]);
        }
    }
}
