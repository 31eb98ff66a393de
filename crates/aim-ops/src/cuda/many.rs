//! One launch for the optimizer steps of many parameters.

use candle_core::{Error, Result};

use super::{
    launch::{Arg, Grid, address, launch, threads},
    update::{Rule, Step},
};

/// As in `update.cu`: tensors of one launch, and elements for each thread of a block.
const MANY: usize = 48;
const EACH: usize = 4;

/// The tensors of one launch, as the kernels see them.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Many {
    at: [[u64; MANY]; 5],
    length: [u32; MANY],
    first_block: [u32; MANY],
    count: u32,
}

impl Many {
    /// The tensors of these steps, and the blocks that they take.
    fn new(steps: &[&Step]) -> Result<(Self, Grid)> {
        let mut many = Self { at: [[0; MANY]; 5], length: [0; MANY], first_block: [0; MANY], count: 0 };
        let mut blocks = 0;
        for (k, step) in steps.iter().enumerate() {
            let state = step.state.iter().map(|var| var.as_ref().map(|var| var.as_tensor()));
            let pointers = [Some(step.param.as_tensor()), Some(&step.grad)].into_iter().chain(state);
            for (at, t) in many.at.iter_mut().zip(pointers) {
                at[k] = t.map_or(Ok(0), address)?;
            }
            let n = step.param.elem_count();
            many.length[k] = u32::try_from(n).map_err(Error::wrap)?;
            many.first_block[k] = u32::try_from(blocks).map_err(Error::wrap)?;
            many.count += 1;
            blocks += n.div_ceil(EACH * threads(step.device()));
        }
        Ok((many, Grid::Blocks(blocks)))
    }
}

/// Takes all steps; those of one rule share launches.
pub(super) fn launch_many(steps: &[Step]) -> Result<()> {
    let mut rules: Vec<(&Rule, Vec<&Step>)> = vec![];
    for step in steps {
        let alike = |(rule, of): &&mut (&Rule, Vec<&Step>)| {
            **rule == step.rule && of.iter().all(|other| other.device().same_device(step.device()))
        };
        match rules.iter_mut().find(alike) {
            Some((_, of)) => of.push(step),
            None => rules.push((&step.rule, vec![step])),
        }
    }
    for (rule, steps) in rules {
        for steps in steps.chunks(MANY) {
            let (many, blocks) = Many::new(steps)?;
            let args = [Arg::Many(&many)].into_iter().chain(rule.settings());
            launch(steps[0].device(), rule.names.1, blocks, args)?;
        }
    }
    Ok(())
}
