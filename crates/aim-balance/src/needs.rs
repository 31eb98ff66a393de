//! What methods need of a network: one table for the check before anything is built and for what cards say.

use aim_core::{Error, Offers, Result};

use crate::card::{About, Needs};

/// Something that a method may need and a network may offer.
struct Demand {
    wanted: fn(&Needs) -> bool,
    met: fn(&Offers) -> bool,
    what: &'static str,
    remedy: &'static str,
}

/// Heads of their own take the place of a fusion's own heads in the unimodal logits: a method that trains the latter must not
/// have the former.
const DEMANDS: &[Demand] = &[
    Demand {
        wanted: |n| n.uni_heads,
        met: |o| o.uni_heads,
        what: "a head of its own for each modality",
        remedy: "set model.uni_heads: true",
    },
    // Heads of their own are one way to get them, for a method that trains what it reads.
    Demand {
        wanted: |n| n.unimodal && !n.uni_heads && !n.reads,
        met: |o| o.unimodal,
        what: "unimodal logits",
        remedy: "take a fusion that gives them or set model.uni_heads: true",
    },
    Demand {
        wanted: |n| n.reads,
        met: |o| o.unimodal,
        what: "unimodal logits",
        remedy: "take a fusion that gives them, or stack it with a method that trains model.uni_heads",
    },
    Demand {
        wanted: |n| n.disjoint_heads,
        met: |o| o.disjoint_heads && !o.uni_heads,
        what: "a head for each modality",
        remedy: "set model.fusion to separate, sum or mean, and no model.uni_heads",
    },
    Demand {
        wanted: |n| n.shared_head,
        met: |o| o.shared_head && !o.uni_heads,
        what: "one head that reads any modality",
        remedy: "set model.fusion: shared and no model.uni_heads",
    },
    Demand {
        wanted: |n| n.linear_heads,
        met: |o| o.linear_heads || o.parts,
        what: "heads that are linear in each modality's feature",
        remedy: "set model.fusion to concat, sum, mean, separate, symmetric-film or symmetric-gated",
    },
    Demand {
        wanted: |n| n.deep_heads,
        met: |o| o.deep_heads && !o.uni_heads,
        what: "heads of several layers",
        remedy: "set model.fusion: {deep: {hidden: [256, 64]}} and no model.uni_heads",
    },
    Demand {
        wanted: |n| n.boosted,
        met: |o| o.boosted && !o.uni_heads,
        what: "the boosted head",
        remedy: "set model.fusion: {boosted: {hidden: 256}} and no model.uni_heads",
    },
    Demand {
        wanted: |n| n.adapters,
        met: |o| o.adapters,
        what: "low-rank additions",
        remedy: "give an encoder `lora: {rank: 4}`",
    },
    Demand {
        wanted: |n| n.class_layer,
        met: |o| o.class_layer,
        what: "a linear layer over the summed logits",
        remedy: "set model.fusion: sum-linear",
    },
    Demand {
        wanted: |n| n.gates,
        met: |o| o.gates,
        what: "gates between features",
        remedy: "set model.fusion: {mmtm: {squeeze: 64}}",
    },
    Demand {
        wanted: |n| n.scheduled,
        met: |o| o.scheduled && !o.uni_heads,
        what: "scheduled weights with the heads that they are made from",
        remedy: "set model.fusion: {scheduled: {hidden: 32}} and no model.uni_heads",
    },
    Demand {
        wanted: |n| n.memory,
        met: |o| o.memory,
        what: "a memory that reads modalities in an order",
        remedy: "set model.fusion: {memory: {hidden: 64}}",
    },
    Demand {
        wanted: |n| n.primary,
        met: |o| o.primary,
        what: "a primary modality for each sample",
        remedy: "set model.fusion: {mods: {}}",
    },
];

impl Needs {
    /// How many modalities, and what of the network, with the setting that gives it.
    pub fn words(&self) -> Vec<String> {
        let demand = |d: &Demand| format!("{} ({})", d.what, d.remedy);
        let demands = DEMANDS.iter().filter(|d| (d.wanted)(self)).map(demand);
        std::iter::once(self.number()).chain(demands).collect()
    }

    /// Smallest and largest number of modalities.
    fn modalities(&self) -> (usize, usize) {
        // One modality alone is one stage of a method with a head of its own for each.
        let least = if self.single || self.deep_heads { 1 } else { 2 };
        (least, if self.single { 1 } else { self.at_most.unwrap_or(usize::MAX) })
    }

    fn number(&self) -> String {
        match self.modalities() {
            (1, 1) => "1 modality".into(),
            (least, most) if least == most => format!("{most} modalities"),
            (least, usize::MAX) => format!("at least {least} modalities"),
            (least, most) => format!("{least} to {most} modalities"),
        }
    }
}

/// Whether a network gives what a method needs.
pub(crate) fn fits(about: &About, modalities: usize, offers: Offers) -> Result<()> {
    let fail = |problem, remedy| Err(Error::invalid("method.name", format!("`{}` {problem}", about.name), remedy));
    let (least, most) = about.needs.modalities();
    if !(least..=most).contains(&modalities) {
        let problem = format!("works on {}, the network has {modalities}", about.needs.number());
        return fail(problem, "change model.modalities");
    }
    match DEMANDS.iter().find(|d| (d.wanted)(&about.needs) && !(d.met)(&offers)) {
        Some(missing) => fail(format!("needs {}, which the network lacks", missing.what), missing.remedy),
        None => Ok(()),
    }
}

/// Whether heads of their own, if the network has them, are trained by one of these methods that stand side by side.
pub(crate) fn heads_learn<'a>(methods: impl Iterator<Item = &'a About> + Clone, offers: Offers) -> Result<()> {
    let Some(reader) = methods.clone().find(|about| about.needs.reads && offers.uni_heads) else { return Ok(()) };
    if methods.into_iter().any(|about| about.needs.unimodal && !about.needs.reads) {
        return Ok(());
    }
    let problem = format!("`{}` reads unimodal logits and would get those of heads that nobody trains", reader.name);
    Err(Error::invalid("model.uni_heads", problem, "leave it out, or stack the method with `joint-unimodal`"))
}
