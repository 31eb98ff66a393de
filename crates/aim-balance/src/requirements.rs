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
    if info.requires.separate && capabilities.has(capability::INNER) {
        return fail(NEEDS_SEPARATE.to_owned(), SEPARATE_BY.into());
    }
    let Some(missing) = info.requires.all().find(|wanted| !capabilities.has(*wanted)) else { return Ok(()) };
    let heads = missing.is_of_own_heads() && capabilities.has(capability::UNI_HEADS);
    let and = if heads { ", and leave model.uni_heads out" } else { "" };
    fail(format!("needs {}, which the network lacks", missing.meaning()), offers(missing) + and)
}

/// What is wrong where features depend on each other.
const NEEDS_SEPARATE: &str = "needs each modality's feature as it is without the others, which see each other here";
const SEPARATE_BY: &str = "use a fusion behind the encoders, or another method";

/// Checks for one setting of a method that encoders do not see each other; `setting` names it as in a configuration.
pub(crate) fn separate_with(setting: &str, capabilities: &Capabilities) -> Result<()> {
    if !capabilities.has(capability::INNER) {
        return Ok(());
    }
    Err(Error::invalid(
        format!("method.{setting}"),
        NEEDS_SEPARATE,
        "use a fusion behind the encoders, or another value",
    ))
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

#[cfg(test)]
mod tests {
    use aim_config::Value;
    use serde_json::json;

    use super::*;
    use crate::{MethodSpec, builtin};

    /// The message with which a network of two modalities with these capabilities is refused.
    fn refused(section: &Value, capabilities: &[Capability]) -> Option<String> {
        let spec = MethodSpec::read(builtin(), section).unwrap();
        let offers = |capability: Capability| format!("offer {}", capability.name());
        let names = ["a".to_owned(), "b".to_owned()];
        spec.check(&names, &Capabilities::of(capabilities), &offers).err().map(|error| error.to_string())
    }

    #[test]
    fn methods_that_show_other_weights_are_refused_where_nobody_looks() {
        use capability::{MEMORY, SITES, UNI_HEADS, UNIMODAL, VIEWS};
        let heads = [UNIMODAL, UNI_HEADS];
        for (section, rest) in [
            (json!("aim"), &[SITES][..]),
            (json!("ema"), &[]),
            (json!({"ema": {"inner": {"umt": {}}}}), &[]),
            (json!({"sam": {"inner": "aim"}}), &[SITES]),
            (json!("umt"), &[]),
            (json!("g2d"), &[]),
            (json!("mbcd"), &heads),
            (json!("equilibrium"), &[MEMORY]),
            (json!({"lfm": {"weights": "learnt"}}), &heads[..1]),
            (json!({"gblend": {"estimate": "offline"}}), &heads),
        ] {
            let message = refused(&section, rest).unwrap_or_else(|| panic!("{section} is not refused"));
            assert!(message.contains("needs passes that see other weights"), "{section}: {message}");
            let seeing: Vec<Capability> = rest.iter().copied().chain([VIEWS]).collect();
            assert_eq!(refused(&section, &seeing), None, "{section}");
        }
        let message = refused(&json!("aim"), &[VIEWS]).unwrap();
        assert!(message.contains("needs a site after each block of the encoders"), "{message}");
        assert!(message.ends_with("offer sites"), "{message}");
    }

    #[test]
    fn methods_of_features_that_depend_on_no_other_are_refused_where_encoders_see_each_other() {
        let refused = |section: &Value, more: &[Capability]| {
            let requires = MethodSpec::read(builtin(), section).unwrap().all()[0].info().requires;
            let given: Vec<Capability> =
                requires.all().chain([capability::VIEWS]).chain(more.iter().copied()).collect();
            refused(section, &given)
        };
        for section in
            ["ensemble", "frozen", "umt", "g2d", "agm", "cml", "dgl", "msam", "valuation", "equilibrium", "igm"]
        {
            let message = refused(&json!(section), &[capability::INNER]).unwrap();
            assert!(
                message.contains("as it is without the others") && message.contains("behind the encoders"),
                "{message}"
            );
            assert_eq!(refused(&json!(section), &[]), None, "{section}");
        }
        for (section, other, place) in [
            (json!("masam"), json!({"masam": {"variant": "code"}}), "method.variant: needs"),
            (json!({"gblend": {"estimate": "offline"}}), json!("gblend"), "method.estimate: needs"),
        ] {
            let message = refused(&section, &[capability::INNER]).unwrap();
            assert!(message.starts_with(place), "{message}");
            assert_eq!(refused(&other, &[capability::INNER]), None, "{other}");
        }
        for section in ["joint", "ogm", "aim", "mbcd", "pmr", "dnr", "finetuned", "sam", "mmpareto"] {
            assert_eq!(refused(&json!(section), &[capability::INNER]), None, "{section}");
        }
    }

    #[test]
    fn settings_that_show_no_other_weights_need_no_views() {
        let heads = [capability::UNIMODAL, capability::UNI_HEADS];
        let given = json!({"gblend": {"estimate": "offline", "weights": {"a": 1, "b": 1, "fused": 1}}});
        for section in [json!("lfm"), json!("gblend"), given] {
            assert_eq!(refused(&section, &heads), None, "{section}");
        }
    }

    #[test]
    fn heads_that_nobody_trains_are_not_read() {
        let heads = [capability::UNIMODAL, capability::UNI_HEADS];
        for section in [json!("ogm-ge"), json!(["opm", "ogm-ge"]), json!({"sam": {"inner": "ogm-ge"}})] {
            let message = refused(&section, &heads);
            assert!(message.is_some_and(|m| m.starts_with("model.uni_heads: ")), "{section}");
        }
        assert_eq!(refused(&json!(["ogm-ge", "joint-unimodal"]), &heads), None);
        assert_eq!(refused(&json!({"sam": {"inner": ["ogm-ge", "joint-unimodal"]}}), &heads), None);
        assert_eq!(refused(&json!("ogm-ge"), &heads[..1]), None);
    }

    #[test]
    fn dgl_refuses_heads_that_would_hide_those_of_the_fusion() {
        let heads = [capability::UNIMODAL, capability::LINEAR_HEADS, capability::UNI_HEADS];
        assert!(refused(&json!("dgl"), &heads).unwrap().starts_with("model.uni_heads: "));
        assert_eq!(refused(&json!("dgl"), &heads[..2]), None);
    }

    #[test]
    fn the_number_of_modalities_is_that_of_the_definition() {
        let all = Capabilities::of(&[capability::UNIMODAL, capability::SHARED_HEAD, capability::DEEP_HEADS]);
        let check = |name: &str, modalities: usize| {
            let names: Vec<String> = (0..modalities).map(|m| m.to_string()).collect();
            MethodSpec::read(builtin(), &name.into()).unwrap().check(&names, &all, &|_| String::new())
        };
        let fit = |name| (1..5).filter(|n| check(name, *n).is_ok()).collect::<Vec<_>>();
        assert_eq!(fit("joint"), [2, 3, 4]);
        assert_eq!(fit("arm"), [2]);
        assert_eq!(fit("pmr"), [2]);
        assert_eq!(fit("igm"), [1, 2, 3, 4]);
        let message = check("pmr", 3).unwrap_err().to_string();
        assert_eq!(message, "method.name: `pmr` works on 2 modalities, the network has 3; change model.modalities");
    }
}
