//! `list matrix`: which methods, backbones, fusions and optimizers do not go together. Each combination is a
//! configuration of two modalities, checked as one that is read.

use std::collections::{BTreeMap, BTreeSet};

use aim_backbones::EncoderSpec;
use aim_balance::{MethodCard, MethodSpec, Requirements};
use aim_config::{AnySettings, Card, Registry, Spec};
use aim_core::{Error, Result, capability};
use aim_fusion::ModelConfig;
use aim_train::{
    Registries,
    config::{Protocol, RunConfig, TrainConfig},
};
use serde_json::json;

const MODALITIES: [&str; 2] = ["a", "b"];

/// Names of what a method is joined with.
const KINDS: [&str; 3] = ["backbone", "fusion", "optimizer"];

/// Rank of the low-rank additions that a method's encoders are given where it requires some.
const RANK: u64 = 4;

/// Numbers of a backbone, a fusion and an optimizer in their registries.
type Cell = [usize; 3];

/// What is refused for each method, or for one.
pub(crate) fn terminal(name: Option<&str>, registries: &Registries) -> Result<String> {
    match name {
        Some(name) => text(registries.methods.get(name, "list matrix")?, registries),
        None => registries.methods.iter().map(|card| text(card, registries)).collect(),
    }
}

/// What is refused for a method, by reason.
fn text(card: &MethodCard, registries: &Registries) -> Result<String> {
    let names = [
        registries.encoders.iter().map(Card::name).collect::<Vec<_>>(),
        registries.fusions.iter().map(Card::name).collect(),
        registries.optimizers.iter().map(Card::name).collect(),
    ];
    let refused = refused(card, registries)?;
    let (found, all) = (refused.values().map(Vec::len).sum::<usize>(), names.iter().map(Vec::len).product::<usize>());
    let mut text = format!("{}: {found} of {all} combinations are refused\n", card.name());
    text += &given(card.defaults().info().requires);
    for (reason, cells) in refused {
        let lines: String =
            told(&cells, &names).iter().filter(|_| !cells.is_empty()).map(|line| format!("        {line}\n")).collect();
        text += &format!("    {reason}\n{lines}");
    }
    Ok(text + "\n")
}

/// What the networks of a method have because it requires it, in a line.
fn given(requires: Requirements) -> String {
    let heads = requires.wants(capability::UNI_HEADS).then(|| "`uni_heads: true`".to_owned());
    let lora = || format!("`lora: {{rank: {RANK}}}` in each backbone that can have it");
    let given: Vec<_> = heads.into_iter().chain(requires.wants(capability::ADAPTERS).then(lora)).collect();
    if given.is_empty() { String::new() } else { format!("    given what it requires: {}\n", given.join(", ")) }
}

/// Every backbone with its defaults, and with low-rank additions where a method requires some and it can have them.
fn backbones(requires: Requirements, registries: &Registries) -> impl Iterator<Item = EncoderSpec> {
    let adapters = requires.wants(capability::ADAPTERS);
    registries.encoders.iter().map(move |card| {
        let mut section = json!({ "lora": { "rank": RANK } });
        // What must be said and has no default are widths of layers.
        card.settings().iter().filter(|s| s.rule.required).for_each(|s| section[s.name] = json!([8]));
        let with = || card.spec(&section, "list matrix").ok();
        adapters.then(with).flatten().unwrap_or_else(|| card.default_spec())
    })
}

/// The combinations that are refused for a method, by reason.
fn refused(card: &MethodCard, registries: &Registries) -> Result<BTreeMap<String, Vec<Cell>>> {
    // What must be said and has no default is the name of a modality.
    let mut section = json!({ "name": card.name() });
    card.settings().iter().filter(|s| s.rule.required).for_each(|s| section[s.name] = json!(MODALITIES[0]));
    let Ok(method) = MethodSpec::read(&registries.methods, &section) else {
        return Ok([("needs settings that this list cannot give".to_owned(), vec![])].into());
    };
    let requires = card.defaults().info().requires;
    let heads = requires.wants(capability::UNI_HEADS);
    let mut refused = BTreeMap::<String, Vec<Cell>>::new();
    for (backbone, encoder) in backbones(requires, registries).enumerate() {
        for (fusion, spec) in specs(&registries.fusions).enumerate() {
            let encoders = MODALITIES.map(|name| (name.to_owned(), encoder.clone()));
            let model = ModelConfig { uni_heads: heads, ..ModelConfig::new(encoders, spec) };
            for (optimizer, spec) in specs(&registries.optimizers).enumerate() {
                let config = RunConfig {
                    name: "matrix".into(),
                    protocol: Protocol::default(),
                    recipe: None,
                    data: first(&registries.datasets)?,
                    model: model.clone(),
                    optimizer: spec,
                    schedule: first(&registries.schedules)?,
                    train: TrainConfig::default(),
                    method: method.clone(),
                };
                if let Err(error) = config.checked(registries) {
                    refused.entry(error.to_string()).or_default().push([backbone, fusion, optimizer]);
                }
            }
        }
    }
    Ok(refused)
}

/// Every entry with its defaults.
fn specs<D: AnySettings + ?Sized>(registry: &Registry<Card<D>>) -> impl Iterator<Item = Spec<D>> {
    registry.iter().map(Card::default_spec)
}

fn first<D: AnySettings + ?Sized>(registry: &Registry<Card<D>>) -> Result<Spec<D>> {
    specs(registry).next().ok_or_else(|| Error::invalid("list matrix", "a registry has no entry", "add one"))
}

/// Combinations as products: fusions, or else backbones, apart where the rest differs.
fn told(cells: &[Cell], names: &[Vec<&str>; 3]) -> Vec<String> {
    let axes = [0, 1, 2].map(|axis| cells.iter().map(|cell| cell[axis]).collect::<BTreeSet<_>>());
    if let Some(groups) = [1, 0].into_iter().map(|axis| alike(cells, axis)).find(|groups| groups.len() > 1) {
        return groups.iter().flat_map(|group| told(group, names)).collect();
    }
    let side = |axis: usize| {
        let (chosen, kind) = (&axes[axis], KINDS[axis]);
        if chosen.len() == names[axis].len() {
            return format!("any {kind}");
        }
        let chosen = chosen.iter().map(|at| names[axis][*at]).collect::<Vec<_>>();
        format!("{kind} {}", chosen.join(", "))
    };
    vec![[side(0), side(1), side(2)].join("; ")]
}

/// Combinations whose entries on this axis go with the same entries on the others, in the order of the first.
fn alike(cells: &[Cell], axis: usize) -> Vec<Vec<Cell>> {
    let mut rest = BTreeMap::<usize, BTreeSet<Cell>>::new();
    for cell in cells {
        let mut others = *cell;
        others[axis] = 0;
        rest.entry(cell[axis]).or_default().insert(others);
    }
    let mut groups = Vec::<(&BTreeSet<Cell>, Vec<usize>)>::new();
    for (at, others) in &rest {
        match groups.iter_mut().find(|(known, _)| *known == others) {
            Some((_, all)) => all.push(*at),
            None => groups.push((others, vec![*at])),
        }
    }
    let of = |(_, all): &(_, Vec<usize>)| cells.iter().filter(|cell| all.contains(&cell[axis])).copied().collect();
    groups.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use aim_train::standard;

    use super::*;

    #[test]
    fn what_is_refused_is_told_with_its_reason() {
        let of = |name| terminal(Some(name), standard()).unwrap();
        // `film` joins two modalities, as there are here: joint training goes with all that lie behind the encoders.
        let joint = of("joint");
        assert!(joint.lines().skip(1).all(|line| line.is_empty() || line.contains("inner-")), "{joint}");
        assert!(joint.contains("        backbone statistics; fusion inner-mmtm; any optimizer\n"), "{joint}");
        let mods = of("mods");
        let behind = |name: &&str| *name != "mods" && !name.starts_with("inner-");
        let others = standard().fusions.iter().map(Card::name).filter(behind).collect::<Vec<_>>();
        assert!(mods.contains("which the network lacks; set model.fusion to mods\n"), "{mods}");
        assert!(mods.contains(&format!("any backbone; fusion {}; any optimizer\n", others.join(", "))), "{mods}");
        // A method of one modality.
        let unimodal = of("unimodal");
        assert!(unimodal.contains("any backbone; fusion film") && unimodal.contains("joins exactly 2"), "{unimodal}");
        assert!(terminal(Some("jiont"), standard()).is_err());
    }

    #[test]
    fn every_method_has_a_combination() {
        let all = standard().encoders.iter().count() * standard().fusions.iter().count();
        let all = all * standard().optimizers.iter().count();
        let none = |card: &&MethodCard| refused(card, standard()).unwrap().values().map(Vec::len).sum::<usize>() == all;
        let without: Vec<&str> = standard().methods.iter().filter(none).map(Card::name).collect();
        assert_eq!(without, [""; 0]);
    }

    #[test]
    fn what_a_method_requires_it_is_given() {
        let of = |name| terminal(Some(name), standard()).unwrap();
        let lora = of("lora");
        let given = "\n    given what it requires: `lora: {rank: 4}` in each backbone that can have it\n";
        assert!(lora.contains(given), "{lora}");
        let needs = "low-rank additions, which the network lacks; give an encoder `lora: {rank: 4}`";
        assert!(lora.contains(needs) && lora.contains("        backbone statistics; "), "{lora}");
        assert!(of("joint-unimodal").contains("\n    given what it requires: `uni_heads: true`\n"));
        assert!(!of("joint").contains("given"));
    }

    #[test]
    fn combinations_are_told_as_products() {
        let names = [vec!["x", "y"], vec!["c", "d", "e"], vec!["s", "t"]];
        let line = |cells: &[Cell]| told(cells, &names);
        assert_eq!(line(&[[0, 1, 0], [0, 1, 1]]), ["backbone x; fusion d; any optimizer"]);
        assert_eq!(line(&[[0, 1, 0], [1, 1, 0], [0, 2, 0], [1, 2, 0]]), ["any backbone; fusion d, e; optimizer s"]);
        let lines = ["backbone x; fusion c; optimizer s", "backbone y; fusion d; optimizer s"];
        assert_eq!(line(&[[0, 0, 0], [1, 1, 0]]), lines);
        let lines = ["any backbone; fusion c, e; optimizer s", "backbone y; fusion d; optimizer s"];
        assert_eq!(line(&[[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 2, 0], [1, 2, 0]]), lines);
    }
}
