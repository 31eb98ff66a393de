//! Whether a network gives what methods require.

use aim_core::{Capabilities, Capability, Error, Result, capability};

use crate::{MethodInfo, Unimodal};

/// Checks that a network gives what a method requires; `offers` says how a configuration can have a capability.
pub(crate) fn fits(
    info: &MethodInfo,
    modalities: usize,
    capabilities: &Capabilities,
    offers: &dyn Fn(Capability) -> String,
) -> Result<()> {
    let fail =
        |problem, remedy: String| Err(Error::invalid("method.name", format!("`{}` {problem}", info.name), remedy));
    let (least, most) = info.requires.modalities;
    if !(least..=most).contains(&modalities) {
        let problem = format!("works on {}, the network has {modalities}", info.requires.number());
        return fail(problem, "change model.modalities".into());
    }
    let Some(missing) = info.requires.all().find(|wanted| !capabilities.has(*wanted)) else { return Ok(()) };
    let heads = missing.is_of_own_heads() && capabilities.has(capability::UNI_HEADS);
    let and = if heads { ", and leave model.uni_heads out" } else { "" };
    fail(format!("needs {}, which the network lacks", missing.meaning()), offers(missing) + and)
}

/// Checks that additional heads, if the network has them, are trained by one of these methods that stand side by side.
pub(crate) fn heads_learn<'a>(
    methods: impl Iterator<Item = &'a MethodInfo> + Clone,
    capabilities: &Capabilities,
) -> Result<()> {
    let reads =
        |info: &&MethodInfo| info.requires.unimodal == Unimodal::Read && capabilities.has(capability::UNI_HEADS);
    let Some(reader) = methods.clone().find(reads) else { return Ok(()) };
    if methods.into_iter().any(|info| info.requires.unimodal == Unimodal::Trained) {
        return Ok(());
    }
    let problem = format!("`{}` would read additional heads that no method of this stack trains", reader.name);
    Err(Error::invalid("model.uni_heads", problem, "leave it out, or stack the method with `joint-unimodal`"))
}
