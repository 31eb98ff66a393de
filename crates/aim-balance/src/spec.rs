//! Methods of a configuration: a stack of methods with their settings, understood once.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use aim_config::{Field, Kind, Rule, Settings, Spec, Value, section};
use aim_core::{Capabilities, Capability, Error, Method, NetSpec, Preparation, Result, Rng};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    MethodSettings, Methods, Provenance, builtin,
    requirements::{fits, heads_learn},
    stack::{Built, stack},
};

/// One method or several that stack, each with all its settings.
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

    /// Understands a method section: a name, `{name: ..., settings...}`, `{<name>: {settings...}}`, or a list of those (a
    /// stack).
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

    /// The name: `a`, `a+b` of a stack, `a(b)` of a method that wraps another.
    pub fn name(&self) -> String {
        let one = |spec: &Spec<dyn MethodSettings>| match spec.inner().and_then(Inner::understood) {
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
        heads_learn(self.0.iter().map(|spec| spec.info()), capabilities)?;
        // Sizes do not decide whether methods stack or know a modality's name: the smallest network shows it.
        let ones = vec![1; modalities.len()];
        let (inputs, widths, frames) = (vec![vec![1]; modalities.len()], ones.clone(), ones.clone());
        let (modalities, capabilities) = (modalities.to_vec(), capabilities.clone());
        self.built(&NetSpec { modalities, inputs, depths: ones, widths, frames, classes: 2, capabilities }).map(drop)
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

    pub(crate) fn built(&self, net: &NetSpec) -> Result<Built> {
        let one = |spec: &Spec<dyn MethodSettings>| Ok((spec.name(), spec.build(net)?));
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

fn read_one(methods: &Methods, value: &Value, place: &str) -> Result<Spec<dyn MethodSettings>> {
    let named = section(value, place, methods.kind())?;
    let card = methods.get(&named.name, &format!("{place}.name"))?;
    let spec = card.spec(&Value::Object(named.settings), place)?;
    let Some(inner) = spec.inner() else { return Ok(spec) };
    let inner = MethodSpec::read_at(methods, &inner.section(), &format!("{place}.inner"))?;
    Ok(spec.around(Inner::Method(inner)).map_or_else(|| spec.clone(), |settings| Spec::of(card.name(), settings)))
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
