//! What a method says of itself: the static description that help texts, checks, tables and pages are made from.

use aim_core::Capability;

/// How near a method is to its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// As its paper or released code has it; departures are listed.
    Faithful,
    /// Its idea in another setting than the source's.
    Analogue,
    /// Rebuilt from descriptions, because the source's formulas could not be read in full.
    Reconstruction,
}

impl Provenance {
    /// What a table says of such a row; nothing of a faithful one.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Self::Faithful => None,
            Self::Analogue => Some("an analogue: its idea in another setting than the source's"),
            Self::Reconstruction => Some("a reconstruction: the source's formulas could not be read in full"),
        }
    }
}

/// What a reported quantity has one number for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The whole step: key `<name>`.
    Step,
    /// Each modality: key `<name>.<modality>`.
    Modality,
    /// Each block of each modality's encoder: key `<name>.<modality>`, a list by depth.
    Depth,
    /// Parts with names of the method's own: key `<name>.<part>`.
    Part,
}

/// A quantity that a method reports in its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// Name, the first part of its key.
    pub name: &'static str,
    /// What there is one number for.
    pub by: By,
    /// Unit; empty for a pure number.
    pub unit: &'static str,
    /// Meaning.
    pub meaning: &'static str,
}

impl Quantity {
    /// One number a step.
    pub const fn step(name: &'static str, unit: &'static str, meaning: &'static str) -> Self {
        Self { name, by: By::Step, unit, meaning }
    }

    /// One number a modality.
    pub const fn modality(name: &'static str, unit: &'static str, meaning: &'static str) -> Self {
        Self { name, by: By::Modality, unit, meaning }
    }

    /// One number a block of each modality's encoder.
    pub const fn depth(name: &'static str, unit: &'static str, meaning: &'static str) -> Self {
        Self { name, by: By::Depth, unit, meaning }
    }

    /// One number for each of some parts with names of their own.
    pub const fn part(name: &'static str, unit: &'static str, meaning: &'static str) -> Self {
        Self { name, by: By::Part, unit, meaning }
    }

    /// Whether a key of a report is one of this quantity's.
    pub fn has(&self, key: &str) -> bool {
        let rest = key.strip_prefix(self.name);
        match self.by {
            By::Step => rest == Some(""),
            _ => rest.is_some_and(|rest| rest.starts_with('.')),
        }
    }
}

/// What a method does with unimodal logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unimodal {
    /// Nothing.
    Unused,
    /// It only reads them: additional heads would have to be trained by another method of the stack.
    Read,
    /// It trains the heads that they come from.
    Trained,
}

/// What a method requires of the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requirements {
    /// Smallest and largest number of modalities.
    pub modalities: (usize, usize),
    /// Its use of unimodal logits.
    pub unimodal: Unimodal,
    /// Capabilities of the network beside unimodal logits.
    pub capabilities: &'static [Capability],
    /// Whether the feature of a modality must not depend on the others, as it does in a network with
    /// [`capability::INNER`](aim_core::capability::INNER).
    pub separate: bool,
}

impl Requirements {
    /// Two modalities or more, and fused logits.
    pub const NONE: Self =
        Self { modalities: (2, usize::MAX), unimodal: Unimodal::Unused, capabilities: &[], separate: false };

    /// The same and features that do not depend on other modalities.
    pub const SEPARATE: Self = Self { separate: true, ..Self::NONE };

    /// The same and an additional head for each modality, which the method trains.
    pub const UNI_HEADS: Self =
        Self { unimodal: Unimodal::Trained, capabilities: &[aim_core::capability::UNI_HEADS], ..Self::NONE };

    /// The number of modalities in words.
    pub fn number(&self) -> String {
        match self.modalities {
            (1, 1) => "1 modality".into(),
            (least, most) if least == most => format!("{most} modalities"),
            (least, usize::MAX) => format!("at least {least} modalities"),
            (least, most) => format!("{least} to {most} modalities"),
        }
    }

    /// Every capability, unimodal logits among them.
    pub fn all(&self) -> impl Iterator<Item = Capability> {
        let unimodal = (self.unimodal != Unimodal::Unused).then_some(aim_core::capability::UNIMODAL);
        self.capabilities.iter().copied().chain(unimodal)
    }

    /// Whether a capability is required.
    pub fn wants(&self, capability: Capability) -> bool {
        self.all().any(|own| own == capability)
    }
}

/// Description of a method.
#[derive(Clone, Copy, Debug)]
pub struct MethodInfo {
    /// Name in a configuration.
    pub name: &'static str,
    /// Name in a table.
    pub title: &'static str,
    /// Idea in one sentence.
    pub idea: &'static str,
    /// Publication.
    pub paper: &'static str,
    /// Cost of a step and of an epoch, in units of joint training.
    pub cost: &'static str,
    /// Departures from the paper or from released code, and why; one sentence each.
    pub departs: &'static [&'static str],
    /// Requirements on the network.
    pub requires: Requirements,
    /// Nearness to its source.
    pub provenance: Provenance,
    /// Quantities that it reports beside its losses.
    pub reports: &'static [Quantity],
    /// Revision of its numbers, raised whenever a change of the code changes them; 1 at first.
    pub revision: u32,
}
