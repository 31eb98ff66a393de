//! Method cards: settings that are known by a name.

use std::{collections::BTreeMap, sync::Arc};

use aim_config::{AnySettings, Card, Registry, Settings};
use aim_core::{Capability, Error, NetSpec, Preparation, Result};

use crate::{Inner, MethodInfo, stack::Built};

/// Settings of a method, and how it is made.
///
/// A method of your own declares its settings, describes itself, and implements the trait of the least power that it
/// needs:
///
/// ```
/// use aim_balance::{
///     Built, MethodInfo, MethodSettings, MethodSpec, Provenance, Quantity, Requirements, builtin, card,
/// };
/// use aim_config::{Value, between, settings};
/// use aim_core::{GradOp, Grads, Idle, NetSpec, Report, Result, Seen, Stateless};
///
/// settings! {
///     /// Settings of `slow-first`.
///     pub struct SlowFirst {
///         /// Factor on the gradients of the first encoder.
///         pub factor: f64 = 0.5 => between(0., 1.), "ours";
///     }
/// }
///
/// static SLOW_FIRST: MethodInfo = MethodInfo {
///     name: "slow-first",
///     title: "slow first encoder",
///     idea: "scale down the gradients of the first encoder",
///     paper: "none",
///     cost: "1 forward and 1 backward pass; one product a parameter of the first encoder",
///     departs: &[],
///     requires: Requirements::NONE,
///     provenance: Provenance::Faithful,
///     reports: &[Quantity::step("coef", "", "factor on the first encoder's gradients")],
///     revision: 1,
/// };
///
/// impl MethodSettings for SlowFirst {
///     fn info(&self) -> &'static MethodInfo {
///         &SLOW_FIRST
///     }
///     fn build(&self, _: &NetSpec) -> Result<Built> {
///         Ok(Built::op(self.clone()))
///     }
/// }
///
/// impl Stateless for SlowFirst {}
/// impl Idle for SlowFirst {}
///
/// impl GradOp for SlowFirst {
///     fn apply(&mut self, grads: &mut Grads, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
///         report.scalar("coef", self.factor)?;
///         grads.map(seen.net.params(), |_, role, grad| match role.encoder() {
///             Some(0) => Ok(Some((grad * self.factor)?)),
///             _ => Ok(None),
///         })
///     }
/// }
///
/// // Known by its name, it is a row of a table like any other, and a part of stacks.
/// let methods = builtin().clone().with(card::<SlowFirst>())?;
/// let stack = MethodSpec::read(&methods, &Value::from(vec!["mmcosine", "slow-first"]))?;
/// assert_eq!(stack.name(), "mmcosine+slow-first");
/// # Ok::<(), aim_core::Error>(())
/// ```
pub trait MethodSettings: AnySettings {
    /// The method's description.
    fn info(&self) -> &'static MethodInfo;

    /// Makes the method, or the part of one that it is, for a network.
    ///
    /// # Errors
    /// If it cannot work on that network.
    fn build(&self, net: &NetSpec) -> Result<Built>;

    /// Checks what single declarations cannot say: settings that depend on each other.
    ///
    /// # Errors
    /// If they do not go together; the place is `method.<key>`.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Networks that must be trained before its run; `modalities` are the run's.
    fn prepares(&self, _modalities: &[String]) -> Vec<Preparation> {
        Vec::new()
    }

    /// The modality that it trains alone, if it is a method of one.
    fn only(&self) -> Option<&str> {
        None
    }

    /// Whether it trains by the task's cross-entropy ([`cross_entropy`](crate::joint::cross_entropy)), so that label
    /// smoothing and class weights act.
    fn task_loss(&self) -> bool {
        true
    }

    /// Whether its batches take turns, each with modalities of its own, so that the mean over several is none of a
    /// batch.
    fn takes_turns(&self) -> bool {
        false
    }

    /// Whether its last epochs, counted from the end of the run, are a stage that a run which stops early never sees.
    fn ends_in_a_stage(&self) -> bool {
        false
    }

    /// The setting by which it compares features of modalities with each other, which must then be equally wide, and
    /// what else helps where they are not; `None` if it compares none.
    fn compares_features(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    /// Whether it does as released code does where that is a fault.
    fn compat(&self) -> bool {
        false
    }

    /// The method that it wraps.
    fn inner(&self) -> Option<&Inner> {
        None
    }

    /// The same around another method; `None` unless it wraps one.
    fn around(&self, _inner: Inner) -> Option<Arc<dyn MethodSettings>> {
        None
    }
}

/// The card of a method.
pub type MethodCard = Card<dyn MethodSettings>;

/// Methods by name.
pub type Methods = Registry<MethodCard>;

/// The card of the method that `S` configures, for a registry.
pub fn card<S: Settings + MethodSettings>() -> MethodCard {
    let defaults = S::default();
    let read: fn(&aim_config::Value, &str) -> Result<Arc<dyn MethodSettings>> = |section, place| {
        let settings: S = MethodCard::read_as(section, place)?;
        MethodSettings::check(&settings)?;
        Ok(Arc::new(settings))
    };
    MethodCard::new(defaults.info().name, Arc::new(defaults), read)
}

/// Indices of modalities that a setting names; all of them, in the network's order, if it names none.
pub(crate) fn order(key: &str, names: Option<&[String]>, net: &NetSpec) -> Result<Vec<usize>> {
    let Some(names) = names.filter(|names| !names.is_empty()) else { return Ok((0..net.modalities.len()).collect()) };
    let index = |name: &String| {
        let problem = || format!("there is no modality `{name}`, only {}", net.modalities.join(", "));
        let unknown = || Error::invalid(format!("method.{key}"), problem(), "name the network's modalities");
        net.modalities.iter().position(|n| n == name).ok_or_else(unknown)
    };
    names.iter().map(index).collect()
}

/// Checks that a network has what one setting of a method needs; `setting` names it as in a configuration.
pub(crate) fn only_with(setting: &str, capability: Capability, net: &NetSpec) -> Result<()> {
    if net.capabilities.has(capability) {
        return Ok(());
    }
    let problem = format!("needs {}, which the network lacks", capability.meaning());
    Err(Error::invalid(format!("method.{setting}"), problem, format!("{}, or use another value", capability.setting())))
}

/// Checks that an epoch does not come before another; `key` is the later one's.
pub(crate) fn in_order(key: &str, starts: usize, ends: usize) -> Result<()> {
    if starts <= ends {
        return Ok(());
    }
    let problem = format!("is {ends}, before the first epoch, {starts}");
    Err(Error::invalid(format!("method.{key}"), problem, format!("use a whole number, {starts} or more")))
}

/// Checks that a setting's names of modalities are the network's.
pub(crate) fn known<'a>(key: &str, names: impl Iterator<Item = &'a String>, net: &NetSpec) -> Result<()> {
    let names: Vec<String> = names.cloned().collect();
    order(key, Some(&names), net).map(drop)
}

/// The weight that a setting gives to each of the network's modalities, in their order.
pub(crate) fn weights(key: &str, weights: &BTreeMap<String, f64>, net: &NetSpec) -> Result<Vec<f64>> {
    known(key, weights.keys(), net)?;
    let missing = |name: &String| {
        let problem = format!("has no weight for `{name}`");
        Error::invalid(format!("method.{key}"), problem, "give one for each modality, or none")
    };
    net.modalities.iter().map(|name| weights.get(name).copied().ok_or_else(|| missing(name))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aim_config::{Kind, Setting, Value, Values};
    use serde_json::json;

    use super::*;
    use crate::{DECLARED, MethodSpec, builtin};

    #[test]
    fn every_method_of_the_crate_has_a_card() {
        assert_eq!(builtin().iter().count(), DECLARED.len(), "two methods have one name");
        assert!(builtin().iter().all(|card| card.name() == card.defaults().info().name));
    }

    #[test]
    fn cards_say_everything_once() {
        let mut titles = BTreeSet::new();
        for info in builtin().iter().map(|card| card.defaults().info()) {
            let MethodInfo { name, title, idea, paper, cost, departs, reports, revision, .. } = *info;
            assert!(titles.insert(title), "two methods have the title `{title}`");
            let said = [name, title, idea, paper, cost].into_iter().chain(departs.iter().copied());
            assert!(said.into_iter().all(|text| !text.trim().is_empty()), "the card of `{name}` has an empty text");
            assert!(departs.iter().all(|d| d.ends_with('.')), "`{name}`: departures are whole sentences");
            let quantities: BTreeSet<&str> = reports.iter().map(|quantity| quantity.name).collect();
            assert_eq!(quantities.len(), reports.len(), "`{name}` declares a quantity twice");
            assert!(reports.iter().all(|q| !q.name.is_empty() && !q.meaning.is_empty()), "`{name}`: {reports:?}");
            assert!(quantities.iter().all(|q| !["loss", "logits", "unimodal"].contains(q)), "`{name}`: {quantities:?}");
            assert!(revision > 0, "`{name}`");
        }
    }

    #[test]
    fn rows_of_cards_are_complete() {
        let rows = |card: &'static MethodCard| card.rows().into_iter().map(move |row| (card, row));
        for (card, (setting, default)) in builtin().iter().flat_map(rows) {
            let (place, Setting { meaning, source, .. }) = (format!("{}.{}", card.name(), setting.name), *setting);
            assert!(meaning.ends_with('.') && meaning.starts_with(char::is_uppercase), "{place}: {meaning}");
            assert!(!setting.range().is_empty() && !default.is_empty(), "{place}: {default}");
            assert!(!default.contains(['{', '"']), "{place}: {default}");
            let known = ["paper", "released code", "third party", "ours"].iter().any(|k| source.starts_with(k));
            assert!(known, "{place}: its source is none of paper, released code, third party, ours");
        }
    }

    #[test]
    fn every_default_passes_its_own_check() {
        for card in builtin() {
            let required = card.settings().iter().find(|setting| setting.rule.required);
            match (card.spec(&json!({}), "method"), required) {
                (Ok(spec), None) => assert_eq!(spec.values(), card.defaults().values(), "{}", card.name()),
                (Err(error), Some(setting)) => {
                    assert!(error.to_string().starts_with(&format!("method.{}: is missing", setting.name)), "{error}");
                }
                (Err(error), None) => panic!("{}: {error}", card.name()),
                (Ok(_), Some(setting)) => panic!("{}: `{}` is not required", card.name(), setting.name),
            }
        }
    }

    /// Numbers at the ends of a setting's values, and the next ones outside.
    fn ends(setting: &Setting) -> (Vec<Value>, Vec<Value>) {
        match setting.rule.values {
            Values::Number { low, high, open, .. } => {
                let top = (high < f64::MAX).then_some(high);
                let (least, below) = if open { (low.next_up(), low) } else { (low, low.next_down()) };
                let inside = std::iter::once(least).chain(top).map(Value::from).collect();
                (inside, std::iter::once(below).chain(top.map(f64::next_up)).map(Value::from).collect())
            }
            Values::Whole { low, high } => {
                let top = (high < u64::MAX).then_some(high);
                let below = low.checked_sub(1).map_or(Value::from(-1), Value::from);
                let inside = std::iter::once(low).chain(top).map(Value::from).collect();
                (inside, std::iter::once(below).chain(top.map(|high| Value::from(high + 1))).collect())
            }
            Values::OneOf(words) => {
                let words: Vec<Value> = words.iter().filter_map(|word| serde_json::from_str(word).ok()).collect();
                (words, vec![json!(3), json!(false)])
            }
            Values::Type | Values::Words(_) => (vec![], vec![]),
        }
    }

    /// A value of a setting with this number in it.
    fn holding(setting: &Setting, number: &Value) -> Value {
        match setting.kind {
            Kind::List(_) => json!([number]),
            Kind::Map(_) => json!({ "audio": number }),
            _ => number.clone(),
        }
    }

    #[test]
    fn each_bound_is_enforced_at_its_place() {
        let mut bounds = 0;
        for (card, setting) in builtin().iter().flat_map(|card| card.settings().iter().map(move |s| (card, s))) {
            let read = |number: &Value| card.spec(&json!({ setting.name: holding(setting, number) }), "method");
            let (inside, beyond) = ends(setting);
            for number in &inside {
                let read = read(number);
                assert!(read.is_ok(), "{}.{} refuses {number}: {read:?}", card.name(), setting.name);
            }
            for number in &beyond {
                let error = read(number).map(drop).unwrap_err().to_string();
                assert!(error.starts_with(&format!("method.{}", setting.name)), "{}: {number}: {error}", card.name());
            }
            bounds += beyond.len();
        }
        assert!(bounds > 150, "{bounds}");
    }

    #[test]
    fn what_depends_on_each_other_is_checked() {
        for (section, place) in [
            (json!({"ogm": {"modulation_starts": 3, "modulation_ends": 2}}), "method.modulation_ends: "),
            (json!({"ogm-ge": {"modulation_starts": 51}}), "method.modulation_ends: "),
            (json!({"umt": {"starts": 1, "ends": 0}}), "method.ends: "),
            (json!({"aim": {"keep": "pace", "prototypes": "none"}}), "method.keep: "),
            (json!({"aim": {"scope": "dominant", "prototypes": "none"}}), "method.keep: "),
            (json!({"aim": {"lambda_min": 0, "prototypes": "none"}}), "method.strength: "),
            (json!({"msam": {"variant": "per_sample", "every": 2}}), "method.every: "),
        ] {
            let error = MethodSpec::read(builtin(), &section).unwrap_err().to_string();
            assert!(error.starts_with(place), "{section}: {error}");
        }
    }

    #[test]
    fn compat_is_what_the_setting_says() {
        let with_compat = |card: &&MethodCard| card.settings().iter().any(|setting| setting.name == "compat");
        let cards: Vec<&MethodCard> = builtin().iter().filter(with_compat).collect();
        assert!(!cards.is_empty());
        for card in cards {
            let of = |compat: bool| card.spec(&json!({ "compat": compat }), "method").unwrap().compat();
            assert!(of(true) && !of(false), "{}", card.name());
        }
    }
}
