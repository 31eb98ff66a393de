//! What a network can give beyond fused logits: an open set of capabilities.

use std::{cmp::Ordering, collections::BTreeSet};

/// Something that a network can give, and that a method may require. Two capabilities are the same if their names are.
///
/// A fusion or encoder with something new declares a constant of its own:
///
/// ```
/// use aim_core::{Capabilities, Capability};
/// const ROUTER: Capability = Capability::new("router", "a router that sees all features");
/// assert!(Capabilities::of(&[ROUTER]).has(ROUTER));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Capability {
    name: &'static str,
    meaning: &'static str,
    own_heads: bool,
    setting: &'static str,
}

impl Capability {
    /// A capability with its name and its meaning, which continues "the method needs".
    pub const fn new(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, own_heads: false, setting: "" }
    }

    /// The same for one that lies in a fusion's own unimodal heads, whose place additional heads would take.
    #[must_use]
    pub const fn of_own_heads(mut self) -> Self {
        self.own_heads = true;
        self
    }

    /// The same with what to do in a configuration to have it, where no choice of a fusion gives it.
    #[must_use]
    pub const fn by(mut self, setting: &'static str) -> Self {
        self.setting = setting;
        self
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its meaning, as an object: "a head for each modality".
    pub const fn meaning(&self) -> &'static str {
        self.meaning
    }

    /// Whether additional heads take it away.
    pub const fn is_of_own_heads(&self) -> bool {
        self.own_heads
    }

    /// What to do in a configuration to have it; empty if a fusion gives it.
    pub const fn setting(&self) -> &'static str {
        self.setting
    }
}

impl PartialEq for Capability {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Capability {}

impl PartialOrd for Capability {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Capability {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(other.name)
    }
}

const BY_LAYERS: &str =
    "build the encoder of layers that ask the pass for their weights, or as `Functional` of aim-functional";
const BY_SITES: &str = "let the encoder visit `Site::Stage` after each block, with `ctx.block` in a `Functional`";

/// Passes see a view's weights in place of the network's own, running statistics included.
pub const VIEWS: Capability = Capability::new("views", "passes that see other weights").by(BY_LAYERS);
/// Encoders visit a site after each block.
pub const SITES: Capability = Capability::new("sites", "a site after each block of the encoders").by(BY_SITES);
/// Encoders run one block at a time ([`Encoder::staged`](crate::Encoder::staged)).
pub const STAGED: Capability = Capability::new("staged", "encoders whose blocks run one at a time");
/// Blocks of encoders are layers over tokens, which take further ones ([`Flow::shared`](crate::Flow::shared)).
pub const TOKENS: Capability = Capability::new("tokens", "encoders whose layers take further tokens");
/// Encoders that can hand on the tokens, words or frames that their feature is made of
/// ([`Encoder::unpool`](crate::Encoder::unpool)).
pub const UNPOOLED: Capability = Capability::new("unpooled", "encoders that hand on what their feature is made of");
/// Encoders see each other between their blocks, so that the feature of a modality depends on the others.
pub const INNER: Capability = Capability::new("inner", "a fusion between the blocks of the encoders");
/// Unimodal logits, from the fused head or from additional heads.
pub const UNIMODAL: Capability = Capability::new("unimodal", "unimodal logits");
/// Additional heads of their own for each modality.
pub const UNI_HEADS: Capability =
    Capability::new("uni-heads", "an additional head for each modality").by("set model.uni_heads: true");
/// A head for each modality, and fused logits that are the sum or mean of theirs.
pub const DISJOINT_HEADS: Capability = Capability::new("disjoint-heads", "a head for each modality").of_own_heads();
/// One head that reads any modality's features.
pub const SHARED_HEAD: Capability = Capability::new("shared-head", "one head that reads any modality").of_own_heads();
/// A fused head that reads any modality's feature, whether or not there are additional heads.
pub const COMMON_HEAD: Capability = Capability::new("common-head", "a fused head that reads any one feature");
/// Heads that are linear in each modality's feature: one over the concatenation, or one for each modality.
pub const LINEAR_HEADS: Capability =
    Capability::new("linear-heads", "heads that are linear in each modality's feature");
/// Heads that are linear in each modality's feature, or in what the fusion has made of it (the extra
/// [`PARTS`](crate::PARTS)).
pub const LINEAR_PARTS: Capability =
    Capability::new("linear-parts", "heads that are linear in each modality's part of the fusion");
/// A head of several layers for each modality.
pub const DEEP_HEADS: Capability = Capability::new("deep-heads", "heads of several layers").of_own_heads();
/// One head of several layers that reads any modality, and a learnt rate on their sum.
pub const BOOSTED: Capability = Capability::new("boosted", "the boosted head").of_own_heads();
/// A head that reads any modality's feature beside the fused one: the extra [`ALIGNED`](crate::ALIGNED).
pub const ALIGNMENT: Capability = Capability::new("alignment", "a head for any one feature beside the fused head");
/// Classifiers for each modality whose number grows: the buffer [`CLASSIFIERS`](crate::CLASSIFIERS) and the extra
/// [`STAGES`](crate::STAGES).
pub const GROWING: Capability = Capability::new("growing", "classifiers that can be added").of_own_heads();
/// A head for each modality and a linear layer over the classes of their sum.
pub const CLASS_LAYER: Capability = Capability::new("class-layer", "a linear layer over the summed logits");
/// A gate for each modality's feature that all features set together.
pub const GATES: Capability = Capability::new("gates", "gates between features");
/// Low-rank additions in at least one encoder.
pub const ADAPTERS: Capability =
    Capability::new("adapters", "low-rank additions").by("give an encoder `lora: {rank: 4}`");
/// Learnt weights of the modalities for each sample: the extra [`WEIGHTS`](crate::WEIGHTS).
pub const SCHEDULED: Capability =
    Capability::new("scheduled", "scheduled weights with the heads that they are made from").of_own_heads();
/// A memory that reads modalities in the order of the buffer [`ORDER`](crate::ORDER).
pub const MEMORY: Capability = Capability::new("memory", "a memory that reads modalities in an order");
/// A primary modality for each sample: the extras [`SUMMARIES`](crate::SUMMARIES) and [`PREDICTED`](crate::PREDICTED).
pub const PRIMARY: Capability = Capability::new("primary", "a primary modality for each sample");
/// Features that a layer norm of the network has normalised.
pub const NORMALISED: Capability =
    Capability::new("normalised", "normalised features").by("set model.feature_norm: true");

/// A set of capabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(BTreeSet<Capability>);

impl Capabilities {
    /// The set of these.
    pub fn of(all: &[Capability]) -> Self {
        Self(all.iter().copied().collect())
    }

    /// Whether a capability belongs to the set.
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }

    /// The same with these.
    #[must_use]
    pub fn with(mut self, more: &[Capability]) -> Self {
        self.0.extend(more.iter().copied());
        self
    }

    /// The union of two sets.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.0.extend(other.0.iter().copied());
        self
    }

    /// What both sets have.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    /// The same for a network that has additional heads: without what lies in the fusion's own.
    #[must_use]
    pub fn with_uni_heads(mut self) -> Self {
        self.0.retain(|capability| !capability.own_heads);
        self.with(&[UNIMODAL, UNI_HEADS])
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = Capability> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additional_heads_take_the_place_of_a_fusions_own() {
        let set = Capabilities::of(&[UNIMODAL, SHARED_HEAD, LINEAR_HEADS]).with_uni_heads();
        assert_eq!(set, Capabilities::of(&[UNIMODAL, UNI_HEADS, LINEAR_HEADS]));
    }

    #[test]
    fn a_name_makes_a_capability_what_it_is() {
        let other = Capability::new("gates", "said otherwise");
        assert!(Capabilities::of(&[GATES]).has(other));
        assert!(!Capabilities::of(&[GATES]).has(MEMORY));
    }
}
