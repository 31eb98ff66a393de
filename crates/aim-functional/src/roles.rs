//! Rules that give each parameter of an encoder its block and kind.

use std::collections::{BTreeMap, BTreeSet};

use aim_core::{Error, Kind, Result};

use crate::glob::fits;

/// Rules over the names that a constructor gives its parameters: which block each belongs to, which are buffers, what
/// kind they are. In a pattern `*` stands for any characters, dots included.
///
/// Every parameter needs exactly one block, and every rule must match something. The kind follows from the shape:
/// rank 3 and more is a convolution, rank 2 a linear layer; a vector is the bias of the weight beside it, or belongs
/// to a norm. Rules state what a shape cannot tell, embeddings above all. Names that end in `running_mean` or
/// `running_var` are buffers.
///
/// ```
/// use aim_functional::Roles;
/// let roles = Roles::new().block(0, "stem.*").block(0, "embeddings.*").block(1, "layer1.*").embedding("embeddings.*");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Roles {
    rules: Vec<Rule>,
    whole: bool,
}

#[derive(Clone, Debug)]
struct Rule {
    pattern: String,
    says: Says,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Block(usize),
    Buffer,
    Kind(Kind),
    Projection,
}

/// A parameter or buffer as the constructor declares it.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) init: candle_nn::Init,
}

/// The outcome of the rules for one name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Assigned {
    Buffer,
    Param {
        depth: usize,
        kind: Kind,
        /// Whether this is a map of attention to queries or values.
        projection: bool,
    },
}

impl Roles {
    /// No rules yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything in block 0: for encoders that are one block.
    pub fn whole() -> Self {
        Self { rules: vec![], whole: true }
    }

    /// Puts the parameters that match into block `depth`, counted from the input.
    #[must_use]
    pub fn block(self, depth: usize, pattern: &str) -> Self {
        self.rule(pattern, Says::Block(depth))
    }

    /// Makes what matches a buffer: saved and loaded, never trained. Frozen weights are buffers too.
    #[must_use]
    pub fn buffer(self, pattern: &str) -> Self {
        self.rule(pattern, Says::Buffer)
    }

    /// Makes the parameters that match embeddings: tables, class tokens, positions.
    #[must_use]
    pub fn embedding(self, pattern: &str) -> Self {
        self.kind(pattern, Kind::Embedding)
    }

    /// Gives the parameters that match a kind other than their shape suggests.
    #[must_use]
    pub fn kind(self, pattern: &str, kind: Kind) -> Self {
        self.rule(pattern, Says::Kind(kind))
    }

    /// Names the weights that map attention's input to queries and values, which low-rank additions to attention
    /// alone reach.
    #[must_use]
    pub fn projection(self, pattern: &str) -> Self {
        self.rule(pattern, Says::Projection)
    }

    fn rule(mut self, pattern: &str, says: Says) -> Self {
        self.rules.push(Rule { pattern: pattern.into(), says });
        self
    }

    /// What the rules make of each declared name, in that order.
    pub(crate) fn assign(&self, declared: &[Declared]) -> Result<Vec<Assigned>> {
        if let Some(rule) = self.rules.iter().find(|rule| !declared.iter().any(|d| fits(&rule.pattern, &d.name))) {
            let names = declared.iter().map(|d| format!("`{}`", d.name)).collect::<Vec<_>>().join(", ");
            let remedy = format!("correct the pattern or remove the rule; the constructor declares {names}");
            return Err(Error::invalid(format!("rule `{}`", rule.text()), "matches no parameter", remedy));
        }
        let shapes = declared.iter().map(|d| (d.name.as_str(), d.shape.len())).collect();
        declared.iter().map(|d| self.of(d, &shapes)).collect()
    }

    fn of(&self, declared: &Declared, ranks: &BTreeMap<&str, usize>) -> Result<Assigned> {
        let name = declared.name.as_str();
        if statistic(name) || self.says(name, |says| (says == Says::Buffer).then_some(()))?.is_some() {
            return Ok(Assigned::Buffer);
        }
        let block = self.says(name, |says| if let Says::Block(depth) = says { Some(depth) } else { None })?;
        let Some(depth) = block.or(self.whole.then_some(0)) else {
            let first = name.split_once('.').map_or(name.to_owned(), |(first, _)| format!("{first}.*"));
            let remedy = format!("add one to the roles, such as `.block(0, \"{first}\")`");
            return Err(Error::invalid(format!("parameter `{name}`"), "is in no block", remedy));
        };
        let kind = self.says(name, |says| if let Says::Kind(kind) = says { Some(kind) } else { None })?;
        let projection = self.says(name, |says| (says == Says::Projection).then_some(()))?.is_some();
        Ok(Assigned::Param { depth, kind: kind.unwrap_or_else(|| inferred(name, ranks)), projection })
    }

    /// What the rules that match `name` agree on.
    fn says<T: PartialEq>(&self, name: &str, pick: impl Fn(Says) -> Option<T>) -> Result<Option<T>> {
        let matching = self.rules.iter().filter(|rule| fits(&rule.pattern, name));
        let mut found: Option<(&Rule, T)> = None;
        for (rule, said) in matching.filter_map(|rule| Some((rule, pick(rule.says)?))) {
            match &found {
                Some((first, other)) if *other != said => {
                    let problem = format!("matches both `{}` and `{}`", first.text(), rule.text());
                    return Err(Error::invalid(format!("parameter `{name}`"), problem, "narrow one of the patterns"));
                }
                _ => found = Some((rule, said)),
            }
        }
        Ok(found.map(|(_, said)| said))
    }
}

impl Rule {
    /// The rule as its author wrote it.
    fn text(&self) -> String {
        let pattern = &self.pattern;
        match self.says {
            Says::Block(depth) => format!(".block({depth}, \"{pattern}\")"),
            Says::Buffer => format!(".buffer(\"{pattern}\")"),
            Says::Kind(Kind::Embedding) => format!(".embedding(\"{pattern}\")"),
            Says::Kind(kind) => format!(".kind(\"{pattern}\", Kind::{kind:?})"),
            Says::Projection => format!(".projection(\"{pattern}\")"),
        }
    }
}

/// Whether candle's batch norm calls a running statistic so.
fn statistic(name: &str) -> bool {
    name.ends_with("running_mean") || name.ends_with("running_var")
}

/// The kind that a parameter's rank, and the weight beside it, suggest.
fn inferred(name: &str, ranks: &BTreeMap<&str, usize>) -> Kind {
    match ranks.get(name) {
        Some(3..) => Kind::Conv,
        Some(2) => Kind::Linear,
        _ => {
            let weight = name.strip_suffix("bias").map(|layer| format!("{layer}weight"));
            let of_layer = weight.and_then(|weight| ranks.get(weight.as_str())).is_some_and(|rank| *rank >= 2);
            if of_layer { Kind::Bias } else { Kind::Norm }
        }
    }
}

/// Compares the blocks that hold parameters with those that the encoder visits; `sites` is the number of visits.
pub(crate) fn agree(depths: &BTreeMap<usize, String>, sites: usize) -> Result<()> {
    let blocks = sites.max(1);
    if let Some((depth, name)) = depths.range(blocks..).next() {
        let (problem, remedy) = if sites == 0 {
            let remedy = "call `ctx.block(h)` behind each block, or put everything in block 0 with `Roles::whole()`";
            (format!("is in block {depth}, but the encoder visits no block"), remedy.to_owned())
        } else {
            let remedy = format!("call `ctx.block(h)` behind each block, or use blocks below {sites}");
            (format!("is in block {depth}, but the encoder visits {sites}, counted from 0"), remedy)
        };
        return Err(Error::invalid(format!("parameter `{name}`"), problem, remedy));
    }
    let held: BTreeSet<usize> = depths.keys().copied().collect();
    match (0..sites).find(|depth| !held.contains(depth)) {
        Some(depth) => Err(Error::invalid(
            format!("block {depth}"),
            "is visited, but holds no parameter",
            format!("add `.block({depth}, ..)` to the roles, or leave that `ctx.block` out"),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(names: &[(&str, &[usize])]) -> Vec<Declared> {
        let one = |(name, shape): &(&str, &[usize])| Declared {
            name: (*name).into(),
            shape: shape.to_vec(),
            init: candle_nn::Init::Const(0.),
        };
        names.iter().map(one).collect()
    }

    fn network() -> Vec<Declared> {
        declared(&[
            ("stem.conv.weight", &[4, 1, 3, 3]),
            ("stem.conv.bias", &[4]),
            ("stem.bn.weight", &[4]),
            ("stem.bn.bias", &[4]),
            ("stem.bn.running_mean", &[4]),
            ("words.weight", &[9, 4]),
            ("scale", &[]),
            ("out.weight", &[4, 4]),
        ])
    }

    fn kinds(assigned: &[Assigned]) -> Vec<Option<(usize, Kind)>> {
        let one = |a: &Assigned| match a {
            Assigned::Buffer => None,
            Assigned::Param { depth, kind, .. } => Some((*depth, *kind)),
        };
        assigned.iter().map(one).collect()
    }

    #[test]
    fn kinds_follow_from_shapes_and_rules() {
        let roles = Roles::new().block(0, "stem.*").block(0, "words.*").embedding("words.*");
        let assigned = roles.block(1, "scale").block(1, "out.*").assign(&network()).unwrap();
        let want = [
            Some((0, Kind::Conv)),
            Some((0, Kind::Bias)),
            Some((0, Kind::Norm)),
            Some((0, Kind::Norm)),
            None,
            Some((0, Kind::Embedding)),
            Some((1, Kind::Norm)),
            Some((1, Kind::Linear)),
        ];
        assert_eq!(kinds(&assigned), want);
        let whole = kinds(&Roles::whole().assign(&network()).unwrap());
        assert!(whole.iter().flatten().all(|(depth, _)| *depth == 0) && whole[4].is_none());
    }

    #[test]
    fn buffers_and_projections_are_what_rules_say() {
        let roles = Roles::whole().buffer("scale").projection("out.weight");
        let assigned = roles.assign(&network()).unwrap();
        assert_eq!(assigned[6], Assigned::Buffer);
        let projections = assigned.iter().filter(|a| matches!(a, Assigned::Param { projection: true, .. })).count();
        assert_eq!(projections, 1);
    }

    #[test]
    fn rules_that_do_not_fit_are_named() {
        let error = |roles: Roles| roles.assign(&network()).unwrap_err().to_string();
        let missing = error(Roles::new().block(0, "stem.*").block(1, "words*"));
        assert_eq!(missing, "parameter `scale`: is in no block; add one to the roles, such as `.block(0, \"scale\")`");
        let empty = error(Roles::whole().buffer("*.running_var"));
        assert!(empty.starts_with("rule `.buffer(\"*.running_var\")`: matches no parameter"), "{empty}");
        let twice = error(Roles::new().block(0, "*").block(1, "out.*"));
        assert!(twice.contains("`out.weight`") && twice.contains("`.block(0, \"*\")` and `.block(1, \"out.*\")`"));
        let kinds = error(Roles::whole().embedding("words.*").kind("*.weight", Kind::Linear));
        assert!(kinds.contains("narrow one of the patterns"), "{kinds}");
    }

    #[test]
    fn blocks_that_are_not_visited_are_named() {
        let depths = |held: &[usize]| held.iter().map(|d| (*d, format!("p{d}"))).collect::<BTreeMap<_, _>>();
        let error = |held: &[usize], sites| agree(&depths(held), sites).unwrap_err().to_string();
        assert!(
            agree(&depths(&[0]), 0).is_ok() && agree(&depths(&[0, 1]), 2).is_ok() && agree(&depths(&[]), 0).is_ok()
        );
        assert!(error(&[0, 1], 0).contains("`p1`: is in block 1, but the encoder visits no block"));
        assert!(error(&[0, 3], 2).contains("`p3`: is in block 3, but the encoder visits 2"));
        assert!(error(&[0, 2], 3).starts_with("block 1: is visited, but holds no parameter"));
    }
}
