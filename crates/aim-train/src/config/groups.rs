//! Groups of parameters with learning rates and decays of their own.

use aim_config::yaml::from_yaml;
use aim_core::{Error, Factors, Kind, NetSpec, Params, Part, Result, Role};
use aim_optim::{ScheduleSpec, Schedules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_yaml::{Mapping, Value as Yaml};

/// Parameters whose updates have a learning rate, a decay and a schedule of their own. What is not said reaches all; of
/// several groups that a parameter is in, the first counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Parts of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<GroupPart>,
    /// The modality that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modality: Option<String>,
    /// Blocks of encoders, counted from the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<Vec<usize>>,
    /// Kinds of parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Vec<GroupKind>>,
    /// Factor on the learning rate.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub lr: f64,
    /// Factor on the weight decay; 0 for none.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub decay: f64,
    /// Further factor on the learning rate of an encoder's block, for each block behind it (Clark et al. 2020).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub layer_decay: f64,
    /// Schedule of the learning rate, in place of the run's.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub schedule: Option<ScheduleSpec>,
}

/// A part of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupPart {
    /// Encoders without low-rank additions.
    Encoder,
    /// Low-rank additions.
    Adapter,
    /// What joins the features.
    Fusion,
    /// Classifiers.
    Head,
}

/// A kind of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupKind {
    /// Weights of convolutions.
    Conv,
    /// Weights of linear layers.
    Linear,
    /// Scales and shifts of norms.
    Norm,
    /// Biases.
    Bias,
    /// Tables and tokens.
    Embedding,
}

impl GroupKind {
    fn is(self, kind: Kind) -> bool {
        let own = match self {
            Self::Conv => Kind::Conv,
            Self::Linear => Kind::Linear,
            Self::Norm => Kind::Norm,
            Self::Bias => Kind::Bias,
            Self::Embedding => Kind::Embedding,
        };
        own == kind
    }
}

fn one() -> f64 {
    1.
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_one(value: &f64) -> bool {
    *value == 1.
}

/// Where a parameter is: its part, the modality that it belongs to and its block.
fn place(part: Part) -> (GroupPart, Option<usize>, Option<usize>) {
    match part {
        Part::Encoder { modality, depth } => (GroupPart::Encoder, Some(modality), Some(depth)),
        Part::Adapter { modality, depth } => (GroupPart::Adapter, Some(modality), Some(depth)),
        Part::Fusion => (GroupPart::Fusion, None, None),
        Part::Gate { modality } => (GroupPart::Fusion, Some(modality), None),
        Part::Head { modality } => (GroupPart::Head, modality, None),
        Part::Added { modality } | Part::UniHead { modality } => (GroupPart::Head, Some(modality), None),
    }
}

impl Group {
    /// Checks the factors; `number` is its place in the list.
    pub(super) fn check(&self, number: usize) -> Result<()> {
        for (key, value) in [("lr", self.lr), ("decay", self.decay), ("layer_decay", self.layer_decay)] {
            if !(value.is_finite() && (0. ..=1e6).contains(&value)) {
                let place = format!("train.groups[{number}].{key}");
                return Err(Error::invalid(place, format!("is {value}"), "use a number from 0 to 1e6"));
            }
        }
        Ok(())
    }

    fn has(&self, role: Role, net: &NetSpec) -> bool {
        let (part, modality, depth) = place(role.part);
        let of_modality = |name: &String| modality.and_then(|m| net.modalities.get(m)) == Some(name);
        self.part.is_none_or(|wanted| wanted == part)
            && self.modality.as_ref().is_none_or(of_modality)
            && self.depth.as_ref().is_none_or(|depths| depth.is_some_and(|depth| depths.contains(&depth)))
            && self.kind.as_ref().is_none_or(|kinds| kinds.iter().any(|kind| kind.is(role.kind)))
    }

    fn factors(&self, role: Role, net: &NetSpec) -> Factors {
        let behind = match place(role.part) {
            (_, Some(modality), Some(depth)) => net.depths.get(modality).map_or(0, |all| all.saturating_sub(depth + 1)),
            _ => 0,
        };
        Factors { lr: self.lr * self.layer_decay.powi(behind as i32), decay: self.decay }
    }
}

/// Name of the group of all norms and biases, without decay.
pub(super) const NO_DECAY: &str = "no-decay";

fn no_decay() -> Yaml {
    let kinds = ["norm", "bias"].map(Yaml::from).to_vec();
    Yaml::Mapping(Mapping::from_iter([("kind".into(), kinds.into()), ("decay".into(), 0.into())]))
}

/// Puts groups in the place of their names in a section `train`; a name alone is a list of one.
///
/// # Errors
/// If there is no group of a name.
pub(super) fn expand(train: &mut Yaml) -> Result<()> {
    let Some(groups) = train.get_mut("groups") else { return Ok(()) };
    let named = |name: &str, place: String| match name {
        NO_DECAY => Ok(no_decay()),
        _ => Err(Error::invalid(place, format!("is `{name}`"), format!("use {NO_DECAY}, or a section"))),
    };
    if let Some(name) = groups.as_str() {
        *groups = vec![named(name, "train.groups".into())?].into();
    }
    for (number, group) in groups.as_sequence_mut().into_iter().flatten().enumerate() {
        if let Some(name) = group.as_str() {
            *group = named(name, format!("train.groups[{number}]"))?;
        }
    }
    Ok(())
}

/// Takes the schedules of groups, which registries name, out of a section `train`; one a group.
///
/// # Errors
/// If one cannot be read.
pub(super) fn read_schedules(train: &mut Yaml, known: &Schedules) -> Result<Vec<Option<ScheduleSpec>>> {
    let groups = train.get_mut("groups").and_then(Yaml::as_sequence_mut).into_iter().flatten();
    let schedule = |(number, group): (usize, &mut Yaml)| {
        let Some(section) = group.as_mapping_mut().and_then(|group| group.remove("schedule")) else { return Ok(None) };
        let place = format!("train.groups[{number}].schedule");
        known.read(&from_yaml(&section, &place)?, &place).map(Some)
    };
    groups.enumerate().map(schedule).collect()
}

/// The group that a parameter is in: the first that has it.
pub(crate) fn group_of(groups: &[Group], role: Role, net: &NetSpec) -> Option<usize> {
    groups.iter().position(|group| group.has(role, net))
}

/// The factors of a parameter in a network; none if it is in no group.
pub(crate) fn factors(groups: &[Group], role: Role, net: &NetSpec) -> Option<Factors> {
    group_of(groups, role, net).map(|at| groups[at].factors(role, net))
}

/// Checks that every group has a parameter of a network, but for those of modalities that it does not read.
///
/// # Errors
/// Names the first that has none.
pub(crate) fn check_groups(groups: &[Group], params: &Params, net: &NetSpec) -> Result<()> {
    let taken: Vec<usize> = params.iter().filter_map(|(_, p)| group_of(groups, p.role, net)).collect();
    let read = |at: &usize| groups[*at].modality.as_ref().is_none_or(|name| net.modalities.contains(name));
    match (0..groups.len()).filter(read).find(|at| !taken.contains(at)) {
        Some(at) => {
            let remedy = "correct it, or put it before the groups that take its parameters";
            Err(Error::invalid(format!("train.groups[{at}]"), "has no parameter of this network", remedy))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use aim_core::Capabilities;

    use super::*;

    fn groups(text: &str) -> Vec<Group> {
        serde_yaml::from_str(text).unwrap()
    }

    fn net() -> NetSpec {
        NetSpec {
            modalities: ["text", "image"].map(String::from).to_vec(),
            inputs: vec![vec![1]; 2],
            depths: vec![4, 2],
            widths: vec![1; 2],
            frames: vec![1; 2],
            classes: 2,
            capabilities: Capabilities::default(),
        }
    }

    #[test]
    fn the_first_group_of_a_parameter_counts() {
        let groups = groups(
            "[{kind: [norm, bias], decay: 0}, {part: encoder, modality: text, layer_decay: 0.5, lr: 0.1},\
             {depth: [0], lr: 0}, {part: head, lr: 10}]",
        );
        let of = |part, kind| factors(&groups, Role { part, kind }, &net()).map(|f| (f.lr, f.decay));
        let encoder = |modality, depth| Part::Encoder { modality, depth };
        assert_eq!(of(encoder(0, 1), Kind::Norm), Some((1., 0.)));
        // Two blocks stand behind block 1 of four.
        assert_eq!(of(encoder(0, 1), Kind::Linear), Some((0.1 * 0.25, 1.)));
        assert_eq!(of(encoder(0, 3), Kind::Embedding), Some((0.1, 1.)));
        assert_eq!(of(encoder(1, 0), Kind::Conv), Some((0., 1.)));
        assert_eq!(of(encoder(1, 1), Kind::Conv), None);
        assert_eq!(of(Part::UniHead { modality: 0 }, Kind::Linear), Some((10., 1.)));
        assert_eq!(of(Part::Adapter { modality: 0, depth: 1 }, Kind::Linear), None);
        assert_eq!(of(Part::Fusion, Kind::Linear), None);
    }

    #[test]
    fn a_name_stands_for_its_group() {
        let read = |groups: &str| {
            let mut train: Yaml = serde_yaml::from_str(&format!("{{groups: {groups}}}")).unwrap();
            expand(&mut train).map(|()| train).map_err(|e| e.to_string())
        };
        let meant = "{kind: [norm, bias], decay: 0}";
        assert_eq!(read("no-decay"), read(&format!("[{meant}]")));
        assert_eq!(read("[{part: head, lr: 2}, no-decay]"), read(&format!("[{{part: head, lr: 2}}, {meant}]")));
        let error = "train.groups: is `none`; use no-decay, or a section";
        assert_eq!(read("none").unwrap_err(), error);
        assert!(read("[no-decay, none]").unwrap_err().starts_with("train.groups[1]: is `none`"));
    }

    #[test]
    fn a_group_without_a_parameter_is_an_error() {
        let mut params = Params::default();
        let role = Role { part: Part::Encoder { modality: 1, depth: 0 }, kind: Kind::Conv };
        let value = candle_core::Tensor::new(&[1f32], &candle_core::Device::Cpu).unwrap();
        params.add("w", role, &value).unwrap();
        let check = |text| check_groups(&groups(text), &params, &net()).map_err(|e| e.to_string());
        assert_eq!(check("[{part: encoder}]"), Ok(()));
        let hidden = check("[{part: encoder}, {modality: image}]").unwrap_err();
        assert!(hidden.starts_with("train.groups[1]: has no parameter of this network"), "{hidden}");
        assert_eq!(check("[{part: encoder}, {modality: sound}]"), Ok(()), "a network of other modalities");
        assert!(check("[{kind: [bias]}]").unwrap_err().starts_with("train.groups[0]"));
        assert!(groups("[{lr: -1}]")[0].check(3).unwrap_err().to_string().starts_with("train.groups[3].lr: is -1"));
    }
}
