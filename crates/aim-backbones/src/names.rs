//! Names of layers in checkpoints whose layout differs from an encoder's own.

use crate::Tensors;

/// A layout: where its numbered layers stand, and the names of modules there and beside them, each with the own one.
/// Own layers stand in `encoder.layer`.
pub(crate) struct Layout {
    /// What stands before a layer's number.
    pub(crate) layers: &'static str,
    /// Modules of a layer.
    pub(crate) inner: &'static [(&'static str, &'static str)],
    /// Modules and tensors beside the layers.
    pub(crate) outer: &'static [(&'static str, &'static str)],
}

impl Layout {
    /// The own name of a tensor of this layout; none if it is not one of it.
    fn own(&self, name: &str) -> Option<String> {
        let known = |table: &[(&str, &'static str)], name: &str| {
            table.iter().find(|(theirs, _)| *theirs == name).map(|(_, own)| *own)
        };
        if let Some(own) = known(self.outer, name) {
            return Some(own.into());
        }
        let (module, leaf) = name.rsplit_once('.')?;
        if let Some(own) = known(self.outer, module) {
            return Some(format!("{own}.{leaf}"));
        }
        let (number, module) = module.strip_prefix(self.layers)?.strip_prefix('.')?.split_once('.')?;
        Some(format!("encoder.layer.{number}.{}.{leaf}", known(self.inner, module)?))
    }
}

/// All tensors under own names; those of no layout keep theirs.
pub(crate) fn rename(tensors: Tensors, layouts: &[Layout]) -> Tensors {
    let own = |name: &String| layouts.iter().find_map(|layout| layout.own(name));
    tensors.into_iter().map(|(name, tensor)| (own(&name).unwrap_or(name), tensor)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_in_layers_and_beside_them() {
        let layout = Layout {
            layers: "blocks",
            inner: &[("attn.proj", "attention.output.dense")],
            outer: &[("norm", "layernorm"), ("pos_embed", "positions")],
        };
        for (theirs, own) in [
            ("blocks.3.attn.proj.bias", Some("encoder.layer.3.attention.output.dense.bias")),
            ("norm.weight", Some("layernorm.weight")),
            ("pos_embed", Some("positions")),
            ("blocks.3.attn.other.bias", None),
            ("head.weight", None),
            ("blocks", None),
        ] {
            assert_eq!(layout.own(theirs).as_deref(), own, "{theirs}");
        }
    }
}
