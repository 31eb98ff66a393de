//! Methods of a configuration: a stack of methods with their settings, understood once.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use aim_config::{Field, Kind, Rule, Settings, Spec, Value, section};
use aim_core::{Capabilities, Capability, Error, Method, NetSpec, Preparation, Result, Rng};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    MethodSettings, Methods, Provenance, builtin,
    joint::Joint,
    requirements::{fits, heads_learn},
    stack::{Built, stack},
};

/// One method or several that stack, each with all its settings.
///
/// ```
/// use aim_balance::{MethodSpec, builtin, ogm::Ogm, sam::Sam};
/// use aim_config::Value;
///
/// // What a configuration calls `ogm`, or `{ogm: {alpha: 0.3}}` and so on, is the same value as that made in Rust.
/// let ogm = MethodSpec::read(builtin(), &Value::from("ogm"))?;
/// assert_eq!(ogm, MethodSpec::of(Ogm::default()));
/// assert_eq!(ogm.section()["alpha"], 0.3);
/// let flat = MethodSpec::of(Sam { inner: ogm.into(), ..Sam::default() });
/// assert_eq!(flat.name(), "sam(ogm)");
/// # Ok::<(), aim_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MethodSpec(Vec<Spec<dyn MethodSettings>>);

impl MethodSpec {
    /// The method with these settings.
    pub fn of(settings: impl Settings + MethodSettings) -> Self {
        Self(vec![Spec::of(settings.info().name, Arc::new(settings))])
    }

    /// These methods stacked on another.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Understands a method section: a name, `{name: ..., settings...}`, `{<name>: {settings...}}`, or a list of those
    /// (a stack).
    ///
    /// # Errors
    /// If it names something unknown, or settings are wrong; the place is below `method`.
    pub fn read(methods: &Methods, section: &Value) -> Result<Self> {
        Self::read_at(methods, section, "method")
    }

    fn read_at(methods: &Methods, value: &Value, place: &str) -> Result<Self> {
        match value {
            Value::Array(list) if !list.is_empty() => {
                let parts = list.iter().enumerate();
                let parts = parts.map(|(i, part)| Self::read_at(methods, part, &format!("{place}[{i}]")));
                Ok(Self(parts.collect::<Result<Vec<_>>>()?.into_iter().flat_map(|spec| spec.0).collect()))
            }
            _ => Ok(Self(vec![read_one(methods, value, place)?])),
        }
    }

    /// The methods, those that they wrap not included.
    pub fn methods(&self) -> &[Spec<dyn MethodSettings>] {
        &self.0
    }

    /// Every method, those that are wrapped included.
    pub fn all(&self) -> Vec<&dyn MethodSettings> {
        let mut all: Vec<&dyn MethodSettings> = Vec::new();
        for spec in &self.0 {
            all.push(&**spec);
            all.extend(spec.inner().and_then(Inner::understood).map(Self::all).unwrap_or_default());
        }
        all
    }

    /// The name: `a`, `a+b` of a stack, `a(b)` of a method that wraps another than joint training.
    pub fn name(&self) -> String {
        let wrapped = |inner: &&Inner| **inner != Inner::default();
        let one = |spec: &Spec<dyn MethodSettings>| match spec.inner().filter(wrapped).and_then(Inner::understood) {
            Some(inner) => format!("{}({})", spec.name(), inner.name()),
            None => spec.name().to_owned(),
        };
        self.0.iter().map(one).collect::<Vec<_>>().join("+")
    }

    /// The section with every setting written.
    pub fn section(&self) -> Value {
        match self.0.as_slice() {
            [one] => one.section(),
            several => several.iter().map(Spec::section).collect(),
        }
    }

    /// Checks that a network of these modalities and capabilities gives what the methods require, and that they stack.
    /// `offers` says how a configuration can have a capability.
    ///
    /// # Errors
    /// Names the method, what it lacks and where that can be had.
    pub fn check(
        &self,
        modalities: &[String],
        capabilities: &Capabilities,
        offers: &dyn Fn(Capability) -> String,
    ) -> Result<()> {
        for method in self.all() {
            fits(method.info(), modalities.len(), capabilities, offers)?;
        }
        self.heads_learn(capabilities)?;
        // Sizes do not decide whether methods stack or know a modality's name: the smallest network shows it.
        self.built(&smallest(modalities, capabilities)).map(drop)
    }

    /// Checks that methods which compare features can do so at these widths, each with the name of its modality.
    ///
    /// # Errors
    /// If the widths differ; the message names that of each modality.
    pub fn check_widths(&self, widths: &[(String, usize)]) -> Result<()> {
        self.all().into_iter().try_for_each(|method| comparable(method, widths))
    }

    /// Whether a step is more than one gradient and one update.
    ///
    /// # Errors
    /// If the methods do not stack, or the network does not fit.
    pub fn owns_step(&self, modalities: &[String], capabilities: &Capabilities) -> Result<bool> {
        Ok(matches!(self.built(&smallest(modalities, capabilities))?, Built::Method(_)))
    }

    /// Checks that additional heads are trained by methods that stand side by side, here and in those that are wrapped.
    fn heads_learn(&self, capabilities: &Capabilities) -> Result<()> {
        heads_learn(self.0.iter().map(|spec| spec.info()), capabilities)?;
        let mut wrapped = self.0.iter().filter_map(|spec| spec.inner()?.understood());
        wrapped.try_for_each(|inner| inner.heads_learn(capabilities))
    }

    /// Makes the method for a network.
    ///
    /// # Errors
    /// Those of [`check`](Self::check), and values out of range.
    pub fn build(&self, net: &NetSpec) -> Result<Box<dyn Method>> {
        for method in self.all() {
            method.check_values("method")?;
            MethodSettings::check(method)?;
        }
        self.check(&net.modalities, &net.capabilities, &remedy)?;
        self.built(net)?.method()
    }

    /// The parts of the method, for one that wraps it; nothing is checked.
    ///
    /// # Errors
    /// If methods of a stack do not go together, or the network does not fit.
    pub fn built(&self, net: &NetSpec) -> Result<Built> {
        let widths: Vec<_> = net.modalities.iter().cloned().zip(net.widths.iter().copied()).collect();
        let one = |spec: &Spec<dyn MethodSettings>| {
            comparable(&**spec, &widths)?;
            Ok((spec.name(), spec.build(net)?))
        };
        stack(self.0.iter().map(one))
    }

    /// What must be trained before a run.
    pub fn preparations(&self, modalities: &[String]) -> BTreeSet<Preparation> {
        self.all().into_iter().flat_map(|method| method.prepares(modalities)).collect()
    }

    /// Whether a method does as released code does where that is a fault (`compat: true`).
    pub fn compat(&self) -> bool {
        self.all().into_iter().any(MethodSettings::compat)
    }

    /// What a reader must know of where the methods are from: each that is not faithful, by title.
    pub fn provenance(&self) -> Vec<(&'static str, Provenance)> {
        let all = self.all().into_iter().map(|method| (method.info().title, method.info().provenance));
        all.filter(|(_, provenance)| *provenance != Provenance::Faithful).collect()
    }

    /// The main setting of every method, those that are wrapped included, each once.
    pub fn main_settings(&self, methods: &Methods) -> Vec<&'static str> {
        let cards = self.all().into_iter().filter_map(|method| methods.find(method.info().name)?.main());
        cards.fold(Vec::new(), |mut names, setting| {
            if !names.contains(&setting.name) {
                names.push(setting.name);
            }
            names
        })
    }

    /// The same with a setting drawn anew in every method that has such a setting, and the values by `method.setting`;
    /// none of them if no method has one that can be drawn.
    ///
    /// # Errors
    /// If the drawn settings do not go together.
    pub fn draw(&self, methods: &Methods, setting: &str, rng: &mut Rng) -> Result<(Self, Vec<(String, Value)>)> {
        let (mut drawn, mut sections) = (Vec::new(), Vec::new());
        for spec in &self.0 {
            let mut section = spec.section();
            let declared = spec.declared().iter().find(|s| s.name == setting);
            let default = methods.find(spec.name()).map(|card| card.defaults().values()[setting].clone());
            if let Some(value) = declared.zip(default).and_then(|(s, default)| s.draw(&default, rng)) {
                section[setting] = value.clone();
                drawn.push((format!("{}.{setting}", spec.name()), value));
            }
            if let Some(inner) = spec.inner().and_then(Inner::understood) {
                let (inner, more) = inner.draw(methods, setting, rng)?;
                section["inner"] = inner.section();
                drawn.extend(more);
            }
            sections.push(section);
        }
        let whole = if drawn.is_empty() { self.clone() } else { Self::read(methods, &Value::Array(sections))? };
        Ok((whole, drawn))
    }
}

/// The smallest network of these modalities and capabilities.
fn smallest(modalities: &[String], capabilities: &Capabilities) -> NetSpec {
    let ones = vec![1; modalities.len()];
    let (inputs, widths, frames) = (vec![vec![1]; modalities.len()], ones.clone(), ones.clone());
    let (modalities, capabilities) = (modalities.to_vec(), capabilities.clone());
    NetSpec { modalities, inputs, depths: ones, widths, frames, classes: 2, capabilities }
}

/// Checks that features of these widths can be compared, if a method does so.
fn comparable(method: &dyn MethodSettings, widths: &[(String, usize)]) -> Result<()> {
    let equal = widths.windows(2).all(|pair| pair[0].1 == pair[1].1);
    let Some((setting, otherwise)) = method.compares_features().filter(|_| !equal) else { return Ok(()) };
    let each: Vec<String> = widths.iter().map(|(name, width)| format!("`{name}` has {width}")).collect();
    let problem = format!("`{}` compares features of equal widths, and {}", method.info().name, each.join(", "));
    let remedy = format!("give the encoders the same last width, or {otherwise}");
    Err(Error::invalid(format!("method.{setting}"), problem, remedy))
}

fn read_one(methods: &Methods, value: &Value, place: &str) -> Result<Spec<dyn MethodSettings>> {
    let named = section(value, place, methods.kind())?;
    let card = methods.get(&named.name, &format!("{place}.name"))?;
    let spec = card.spec(&Value::Object(named.settings), place)?;
    let Some(inner) = spec.inner() else { return Ok(spec) };
    let inner = MethodSpec::read_at(methods, &inner.section(), &format!("{place}.inner"))?;
    let settings = spec.around(Inner::Method(inner)).ok_or_else(|| {
        let problem = format!("`{}` wraps a method, but not another one", card.name());
        Error::invalid(place, problem, "implement `MethodSettings::around` beside `inner`")
    })?;
    Ok(Spec::of(card.name(), settings))
}

impl Serialize for MethodSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.section().serialize(serializer)
    }
}

impl<S: Settings + MethodSettings> From<S> for MethodSpec {
    fn from(settings: S) -> Self {
        Self::of(settings)
    }
}

/// The method that a method wraps: a section that is still to be understood, or the method.
#[derive(Clone, Debug, PartialEq)]
pub enum Inner {
    /// A section.
    Section(Value),
    /// The method.
    Method(MethodSpec),
}

impl Inner {
    /// The method, if it is understood.
    pub fn understood(&self) -> Option<&MethodSpec> {
        match self {
            Self::Method(method) => Some(method),
            Self::Section(_) => None,
        }
    }

    /// The section with every setting that is known written.
    pub fn section(&self) -> Value {
        match self {
            Self::Section(section) => section.clone(),
            Self::Method(method) => method.section(),
        }
    }

    /// The method; a section is understood with the methods of this crate.
    ///
    /// # Errors
    /// If the section is wrong.
    pub fn method(&self) -> Result<Cow<'_, MethodSpec>> {
        match self {
            Self::Method(method) => Ok(Cow::Borrowed(method)),
            Self::Section(section) => MethodSpec::read_at(builtin(), section, "method.inner").map(Cow::Owned),
        }
    }
}

/// Joint training.
impl Default for Inner {
    fn default() -> Self {
        Joint::default().into()
    }
}

impl<M: Into<MethodSpec>> From<M> for Inner {
    fn from(method: M) -> Self {
        Self::Method(method.into())
    }
}

impl Serialize for Inner {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.section().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::Section)
    }
}

/// What to do about a capability that a network lacks.
fn remedy(lacking: Capability) -> String {
    let setting = lacking.setting();
    if setting.is_empty() { "use a network that gives it".into() } else { setting.into() }
}

impl Field for Inner {
    const KIND: Kind = Kind::Method;
    fn check(&self, _: &Rule, place: &str) -> Result<()> {
        match self {
            Self::Section(Value::Null) => Err(Error::invalid(place, "is missing", "name a method")),
            _ => Ok(()),
        }
    }
}

/// Makes a method for a network.
///
/// ```no_run
/// # fn make(net: &dyn aim_core::Net) -> aim_core::Result<()> {
/// use aim_balance::{method, ogm::Ogm, sam::Sam};
/// let ogm = method(Ogm { alpha: 0.5, ..Default::default() }, net.spec())?;
/// let flat = method(Sam { inner: Ogm::default().into(), ..Default::default() }, net.spec())?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// If a value is out of range, or the network does not give what the method requires.
pub fn method(method: impl Into<MethodSpec>, net: &NetSpec) -> Result<Box<dyn Method>> {
    method.into().build(net)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{MethodCard, aim::AimSettings, ogm::Ogm, sam::Sam};

    fn read(section: Value) -> MethodSpec {
        MethodSpec::read(builtin(), &section).unwrap_or_else(|error| panic!("{section}: {error}"))
    }

    /// A section that names the card's method and gives what it requires.
    fn least(card: &MethodCard) -> Value {
        let mut section = json!({ "name": card.name() });
        card.settings().iter().filter(|s| s.rule.required).for_each(|s| section[s.name] = json!("a"));
        section
    }

    #[test]
    fn a_section_and_its_method_are_the_same() {
        for card in builtin() {
            let spec = read(least(card));
            assert_eq!(read(spec.section()), spec, "{}", card.name());
            let Value::Object(section) = spec.section() else { panic!("{}: no section", card.name()) };
            assert!(card.settings().iter().all(|s| section.contains_key(s.name)), "{}: {section:?}", card.name());
            assert_eq!(section.len(), card.settings().len() + 1, "{}: {section:?}", card.name());
        }
    }

    #[test]
    fn every_form_of_a_section_is_one_method() {
        let ogm = MethodSpec::of(Ogm { alpha: 0.25, ..Ogm::default() });
        assert_eq!(read(json!({"name": "ogm", "alpha": 0.25})), ogm);
        assert_eq!(read(json!({"ogm": {"alpha": 0.25}})), ogm);
        assert_eq!(read(json!([{"ogm": {"alpha": 0.25}}])), ogm);
        let plain = MethodSpec::of(Ogm::default());
        for section in [json!("ogm"), json!({"ogm": null}), json!({"ogm": {}})] {
            assert_eq!(read(section), plain);
        }
        let sam = MethodSpec::of(Sam { inner: Ogm::default().into(), ..Sam::default() });
        assert_eq!(read(json!({"sam": {"inner": "ogm"}})), sam);
        assert_eq!(read(json!(["opm", "ogm"])), read(json!("opm")).and(plain));
    }

    #[test]
    fn a_name_is_that_of_the_methods_whatever_the_form() {
        for (section, name) in [
            (json!("aim"), "aim"),
            (json!({"aim": {"scope": "each"}}), "aim"),
            (json!({"ema": {"inner": "aim"}}), "ema(aim)"),
            (json!({"name": "ema", "inner": {"aim": {"scope": "each"}}}), "ema(aim)"),
            (json!({"name": "sam", "inner": "agm"}), "sam(agm)"),
            (json!({"sam": {"inner": ["opm", {"ogm-ge": {"alpha": 0.1}}]}}), "sam(opm+ogm-ge)"),
            (json!(["opm", {"ogm-ge": {"alpha": 0.3}}]), "opm+ogm-ge"),
            // Joint training is what a method wraps if nothing is said.
            (json!("sam"), "sam"),
            (json!({"sam": {"rho": 0.1, "inner": "joint"}}), "sam"),
            (json!({"sam": {"inner": "sam"}}), "sam(sam)"),
        ] {
            assert_eq!(read(section.clone()).name(), name, "{section}");
        }
        assert_eq!(MethodSpec::of(Sam { inner: AimSettings::default().into(), ..Sam::default() }).name(), "sam(aim)");
    }

    #[test]
    fn provenance_is_seen_through_wrappers() {
        let titles = |section| read(section).provenance().into_iter().map(|(title, _)| title).collect::<Vec<_>>();
        assert_eq!(titles(json!({"aim": {"scope": "each"}})), ["AIM (reconstruction)"]);
        assert_eq!(titles(json!({"name": "sam", "inner": "aim"})), ["AIM (reconstruction)"]);
        assert!(titles(json!(["opm", "ogm-ge"])).is_empty());
    }

    #[test]
    fn features_that_are_compared_must_be_equally_wide() {
        let widths = |b: usize| [("a".to_owned(), 4), ("b".to_owned(), b)];
        for (section, start, end) in [
            (json!({"mmcosine": {"nce": 1}}), "method.nce: `mmcosine` compares", "or use 0"),
            (json!({"sam": {"inner": "mcr"}}), "method.contrast: `mcr` compares", "or use 0"),
            (json!({"lfm": {"align": "contrastive"}}), "method.align: `lfm` compares", "or align predictions"),
            (json!("iprm"), "method.name: `iprm` compares", "or use another method"),
        ] {
            let spec = read(section);
            spec.check_widths(&widths(4)).unwrap();
            let told = spec.check_widths(&widths(6)).unwrap_err().to_string();
            let middle = " features of equal widths, and `a` has 4, `b` has 6; give the encoders the same last width, ";
            assert_eq!(told, format!("{start}{middle}{end}"));
            // A network that is built says no less.
            let names = ["a", "b"].map(str::to_owned);
            let net = NetSpec { widths: vec![4, 6], ..smallest(&names, &Capabilities::default()) };
            assert_eq!(spec.built(&net).map(drop).unwrap_err().to_string(), told);
        }
        for section in [json!("mmcosine"), json!({"mcr": {"contrast": 0}}), json!("lfm")] {
            read(section).check_widths(&widths(6)).unwrap();
        }
    }

    #[test]
    fn errors_name_the_place_below_the_method() {
        for (section, message) in [
            (json!("ogn"), "method.name: unknown method `ogn`; use one of "),
            (json!(["opm", {"ogm": {"alfa": 1}}]), "method[1].alfa: unknown field `alfa`"),
            (
                json!({"sam": {"inner": {"ogm": {"alpha": -1}}}}),
                "method.inner.alpha: is -1; use a number from 0 to 100",
            ),
            (json!({"sam": {"inner": null}}), "method.inner: is missing; name a method"),
            (json!({"ogm": {"alpha": "much"}}), "method.alpha: invalid type: string \"much\", expected a number"),
            (json!([]), "method: names no method"),
            (json!({"ogm": {}, "opm": {}}), "method: names no method"),
        ] {
            let error = MethodSpec::read(builtin(), &section).unwrap_err().to_string();
            assert!(error.starts_with(message), "{section}: {error}");
        }
    }

    /// The method with a setting drawn anew, and what was drawn.
    fn draw(section: Value, setting: &str, k: u64) -> (MethodSpec, Vec<(String, Value)>) {
        let drawn = read(section).draw(builtin(), setting, &mut Rng::keyed(k, "draw"));
        drawn.unwrap_or_else(|error| panic!("{setting}: {error}"))
    }

    #[test]
    fn what_is_drawn_is_valid() {
        for card in builtin() {
            for (setting, k) in card.settings().iter().flat_map(|s| (0..30).map(move |k| (s, k))) {
                draw(least(card), setting.name, k);
            }
        }
    }

    #[test]
    fn all_but_methods_names_and_numbers_without_a_default_can_be_drawn() {
        let mut not = Vec::new();
        for (card, setting) in builtin().iter().flat_map(|card| card.settings().iter().map(move |s| (card, s))) {
            if draw(least(card), setting.name, 0).1.is_empty() {
                not.push(format!("{}.{}", card.name(), setting.name));
            }
        }
        not.sort();
        let known = [
            "agm.cap",
            "aug.merge",
            "cggm.bound",
            "cml.removal_order",
            "ema.inner",
            "finetuned.inner",
            "gblend.weights",
            "igm.order",
            "igm.stages",
            "mla.fusion_weights",
            "mla.order",
            "mslr.init",
            "pmr.entropy_epochs",
            "reconboost.order",
            "remix.order",
            "sam.inner",
            "tcmax.negatives",
            "umt.ends",
            "unimodal.modality",
        ];
        assert_eq!(not, known);
    }

    #[test]
    fn parts_of_stacks_and_inner_methods_are_drawn_as_well() {
        let drawn = |section: Value, setting| {
            let (spec, values) = draw(section.clone(), setting, 0);
            (spec == read(section), values.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
        };
        assert_eq!(drawn(json!(["opm", {"ogm-ge": {"noise": true}}]), "alpha"), (false, vec!["ogm-ge.alpha".into()]));
        assert_eq!(drawn(json!({"sam": {"inner": {"name": "sam", "rho": 1}}}), "rho").1, ["sam.rho", "sam.rho"]);
        assert_eq!(drawn(json!("joint"), "alpha"), (true, vec![]));
        assert_eq!(drawn(json!({"name": "sam", "inner": "agm"}), "inner"), (true, vec![]));
    }

    #[test]
    fn a_draw_leaves_other_settings_alone() {
        let (spec, values) = draw(json!({"ogm": {"scale": "conv4d", "modulation_ends": 7}}), "alpha", 1);
        let [(_, alpha)] = &values[..] else { panic!("{values:?}") };
        assert_eq!(spec, read(json!({"ogm": {"scale": "conv4d", "modulation_ends": 7, "alpha": alpha}})));
    }
}
