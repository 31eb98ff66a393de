//! The law of sites: encoders hand over each block's output and go on with what comes back.

use std::{cell::RefCell, rc::Rc};

use candle_core::Tensor;

use super::{Subject, in_a_round, moved, same};
use crate::{Error, FeatureOp, Part, Pass, Result, Rng, Site, capability};

/// Notes where it was applied.
struct Trace(Rc<RefCell<Vec<Site>>>);

impl FeatureOp for Trace {
    fn apply(&mut self, site: Site, x: Tensor, _: &mut Rng) -> Result<Tensor> {
        self.0.borrow_mut().push(site);
        Ok(x)
    }
}

/// Moves the activation at one site.
struct Move {
    at: Site,
    round: u64,
}

impl FeatureOp for Move {
    fn apply(&mut self, site: Site, x: Tensor, _: &mut Rng) -> Result<Tensor> {
        if site == self.at { moved(&x, "activation", self.round) } else { Ok(x) }
    }
}

impl Subject<'_> {
    /// Each block's output and the feature are handed over, in order, and what comes back goes on.
    pub(super) fn sites(&self) -> Result<()> {
        let claimed = self.net.spec().capabilities.has(capability::SITES);
        for m in self.modalities() {
            let visited = self.visited(m)?;
            let stages: Vec<_> = visited.iter().filter(|site| matches!(site, Site::Stage { .. })).copied().collect();
            let depth = self.net.spec().depths[m];
            let expected: Vec<_> = (0..depth).map(|depth| Site::Stage { modality: m, depth }).collect();
            if stages != expected && (claimed || depth > 1 || !stages.is_empty()) {
                return Err(self.wrong_stages(m, &stages, &expected));
            }
            let feature = Site::Feature { modality: m };
            if visited.iter().filter(|site| **site == feature).count() != 1 {
                let remedy = "end `Net::encode` with one visit of `Site::Feature`";
                return Err(Error::invalid(self.name(m), "does not hand over its feature once", remedy));
            }
            self.units(m, depth)?;
            stages.into_iter().chain([feature]).try_for_each(|site| self.goes_on(m, site))?;
        }
        Ok(())
    }

    fn visited(&self, m: usize) -> Result<Vec<Site>> {
        let sites = Rc::new(RefCell::new(vec![]));
        let mut ops: [Box<dyn FeatureOp>; 1] = [Box::new(Trace(sites.clone()))];
        self.feature(m, &mut Pass::eval().ops(&mut ops))?;
        Ok(sites.take())
    }

    fn wrong_stages(&self, m: usize, stages: &[Site], expected: &[Site]) -> Error {
        let problem = match expected.iter().position(|site| !stages.contains(site)) {
            Some(depth) => format!("block {depth} of {} is not visited", expected.len()),
            None => format!("visits {stages:?}, where each of {} blocks is due once, in order", expected.len()),
        };
        let remedy = "call `Pass::visit` with `Site::Stage` behind each block; in a `Functional`, `ctx.block`";
        Error::invalid(self.name(m), problem, remedy)
    }

    /// What a block hands over has its units in the second axis: where that fits no axis of the block's weights and the
    /// last one does, moments would be taken for units.
    fn units(&self, m: usize, depth: usize) -> Result<()> {
        let mut pass = Pass::eval().keep();
        self.feature(m, &mut pass)?;
        let kept = pass.into_kept();
        for depth in 0..depth {
            let site = Site::Stage { modality: m, depth };
            let Some(raw) = kept.raw(site).filter(|raw| raw.rank() == 3) else { continue };
            let part = Part::Encoder { modality: m, depth };
            let own = self.net.params().iter().filter(|(_, param)| param.role.part == part);
            let axes: Vec<usize> = own.flat_map(|(_, param)| param.var.dims().to_vec()).collect();
            let (_, second, last) = raw.dims3()?;
            let taken = kept.pooled(site)?.dim(1)?;
            if taken == second && !axes.contains(&second) && axes.contains(&last) {
                let problem =
                    format!("block {depth} hands over {:?}, in which {last} seems to be the units", raw.dims());
                let remedy = "hand over `[B, width, positions]` (`h.transpose(1, 2)`), or tokens by `ctx.block_pooled`";
                return Err(Error::invalid(self.name(m), problem, remedy));
            }
        }
        Ok(())
    }

    /// An operation at a site changes the feature.
    fn goes_on(&self, m: usize, at: Site) -> Result<()> {
        let changed = in_a_round(|round| {
            let view = self.somewhere(m, round)?;
            let before = self.feature(m, &mut Pass::eval().view(&view))?;
            let mut ops: [Box<dyn FeatureOp>; 1] = [Box::new(Move { at, round })];
            Ok(!same(&before, &self.feature(m, &mut Pass::eval().view(&view).ops(&mut ops))?)?)
        })?;
        if changed {
            return Ok(());
        }
        let problem = format!("an operation at {at:?} does not change the feature");
        Err(Error::invalid(self.name(m), problem, "go on with the tensor that `Pass::visit` or `ctx.block` gives back"))
    }
}
