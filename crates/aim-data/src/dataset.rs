//! A dataset: three splits of the same modalities and classes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aim_core::{Error, Result};
use candle_core::{Device, Tensor};

use crate::{Projected, Reading, Source, source::pieces};

/// Most classes without a training sample that are named.
const NAMED: usize = 20;

/// A classification set of one or more modalities.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Name of the set.
    pub name: String,
    /// Names of the modalities, in the order of [`Source::shapes`].
    pub modalities: Vec<String>,
    /// Names of the classes, in the order of the labels.
    pub class_names: Vec<String>,
    /// What weights are fitted on.
    pub train: Arc<dyn Source>,
    /// What everything else is chosen on.
    pub validation: Arc<dyn Source>,
    /// What is scored once, at the end.
    pub test: Arc<dyn Source>,
}

impl Dataset {
    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// Samples, shapes and classes in a line, and which classes the training split lacks.
    pub fn summary(&self) -> String {
        let shape = |(name, shape): (&String, Vec<usize>)| format!("{name} {shape:?}");
        let shapes: Vec<String> = self.modalities.iter().zip(self.shapes()).map(shape).collect();
        let there: BTreeSet<u32> = self.train.labels().iter().copied().collect();
        let lacks = |class: &usize| !there.contains(&(*class as u32));
        let absent: Vec<&str> =
            (0..self.classes()).filter(lacks).map(|class| self.class_names[class].as_str()).collect();
        let absent = match absent.len() {
            0 => String::new(),
            1..=NAMED => format!(", without a training sample of {}", absent.join(", ")),
            many => format!(", without a training sample of {many} of them"),
        };
        let [train, validation, test] = [&self.train, &self.validation, &self.test].map(|split| split.len());
        let (name, shapes, classes) = (&self.name, shapes.join(", "), self.classes());
        format!(
            "{name}: {train} training, {validation} validation, {test} test samples; {shapes}; {classes} classes{absent}"
        )
    }

    /// Shape of one sample of each modality.
    pub fn shapes(&self) -> Vec<Vec<usize>> {
        self.train.shapes().to_vec()
    }

    /// Name and shape of one sample of each modality, as networks are built for them.
    pub fn named_shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.modalities.iter().cloned().zip(self.shapes()).collect()
    }

    /// Hands all splits what reading them may use; clones and views share it.
    pub fn read_by(&self, reading: &Reading) {
        self.splits().iter().for_each(|(_, split)| split.read_by(reading));
    }

    /// Only these modalities, in this order.
    ///
    /// # Errors
    /// If there is none of that name (the message lists those there are), or one is named twice, or none is named.
    pub fn project(self, modalities: &[String]) -> Result<Self> {
        let order = choose(&self.name, &self.modalities, modalities)?;
        if modalities == self.modalities {
            return Ok(self);
        }
        let pick = |split| -> Arc<dyn Source> { Arc::new(Projected::new(split, order.clone())) };
        let (train, validation, test) = (pick(self.train), pick(self.validation), pick(self.test));
        Ok(Self { modalities: modalities.to_vec(), train, validation, test, ..self })
    }

    /// Checks what every loader promises: equal shapes in all splits, labels in range, finite values, at least one
    /// sample a split, no sample in two splits, by its id or, for nearly all of them, by its content.
    ///
    /// # Errors
    /// Names the tensor, the sample and the split that break the promise.
    pub fn check(&self) -> Result<()> {
        let shapes = self.shapes();
        let mut contents = vec![];
        for (split, source) in self.splits() {
            contents.push((split, self.check_split(split, source, &shapes)?));
        }
        self.check_disjoint()?;
        self.check_apart(&contents)
    }

    /// Refuses a split all but a twentieth of which stands in another, as where one file was given twice. Fewer, which
    /// sets of few different values have by nature, are counted by [`data_card`](crate::data_card()). Samples that
    /// repeat one another, as texts of unknown words do, tell nothing.
    fn check_apart(&self, contents: &[(&str, Vec<u64>)]) -> Result<()> {
        let varied = |own: &[u64]| own.iter().collect::<BTreeSet<_>>().len() * 2 > own.len();
        let told: Vec<_> = contents.iter().filter(|(_, own)| varied(own)).collect();
        for (i, (split, own)) in told.iter().enumerate() {
            for (other, theirs) in &told[..i] {
                let known: BTreeSet<&u64> = theirs.iter().collect();
                let repeated = own.iter().filter(|content| known.contains(content)).count();
                if repeated * 20 > own.len() * 19 {
                    let problem = format!(
                        "{repeated} of the {} samples of the {split} split have the content of samples of the {other} split",
                        own.len()
                    );
                    let remedy = "give each split samples of its own";
                    return Err(Error::invalid(format!("data set `{}`", self.name), problem, remedy));
                }
            }
        }
        Ok(())
    }

    fn splits(&self) -> [(&'static str, &dyn Source); 3] {
        [("train", &*self.train), ("validation", &*self.validation), ("test", &*self.test)]
    }

    /// Checks a split; gives what stands for the content of each sample, or nothing where values are not read and the
    /// source does not know.
    fn check_split(&self, split: &str, source: &dyn Source, shapes: &[Vec<usize>]) -> Result<Vec<u64>> {
        let place = format!("data set `{}`, split {split}", self.name);
        if source.is_empty() {
            return Err(Error::invalid(
                place,
                "has no samples",
                "check the files and the settings that choose samples",
            ));
        }
        if source.shapes().len() != self.modalities.len() || source.ids().len() != source.len() {
            let got = [source.shapes().len(), source.ids().len()];
            let want = format!("{} modalities and {} ids", self.modalities.len(), source.len());
            return Err(Error::shape(place, &got, want));
        }
        for (label, id) in source.labels().iter().zip(source.ids()) {
            if *label as usize >= self.classes() {
                let problem = format!("label {label} of sample `{id}` is out of range");
                return Err(Error::invalid(
                    place,
                    problem,
                    format!(
                        "give labels below {}, the number of classes (of `class_names`, or one more than the largest training label)",
                        self.classes()
                    ),
                ));
            }
        }
        let mut contents = vec![FIRST; source.len()];
        for (m, (name, shape)) in self.modalities.iter().zip(shapes).enumerate() {
            let place = format!("{place}, modality `{name}`");
            if source.shapes()[m] != *shape {
                return Err(Error::shape(place, &source.shapes()[m], format!("samples of shape {shape:?}")));
            }
            for index in pieces(source).filter(|_| !source.checks_values()) {
                let x = source.input(m, &index, &Device::Cpu)?.values;
                check_shape(&place, &x, index.len(), shape)?;
                let values = x.flatten_all()?.to_vec1::<f32>()?;
                check_finite(
                    &format!("{name}` of the {split} split, sample `"),
                    &values,
                    &source.ids()[index[0]..][..index.len()],
                )?;
                let size = (values.len() / index.len()).max(1);
                for (i, row) in index.iter().zip(values.chunks(size)) {
                    contents[*i] = row.iter().map(|value| value.to_bits()).fold(contents[*i], told_by);
                }
            }
        }
        Ok(if source.checks_values() { source.contents().unwrap_or_default() } else { contents })
    }

    fn check_disjoint(&self) -> Result<()> {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for (split, source) in self.splits() {
            for id in source.ids() {
                if let Some(other) = seen.insert(id, split).filter(|other| *other != split) {
                    let place = format!("data set `{}`", self.name);
                    let problem = format!("sample `{id}` is in the {other} split and in the {split} split");
                    return Err(Error::invalid(place, problem, "make ids unique over all splits, or leave `id` out"));
                }
            }
        }
        Ok(())
    }
}

/// Positions of the wanted modalities among those there are.
pub(crate) fn choose(set: &str, have: &[String], want: &[String]) -> Result<Vec<usize>> {
    let fail = |problem| Error::invalid(format!("data set `{set}`"), problem, format!("it has {}", have.join(", ")));
    if want.is_empty() {
        return Err(fail("no modality is chosen".to_owned()));
    }
    let find = |(i, name): (usize, &String)| {
        if want[..i].contains(name) {
            return Err(fail(format!("modality `{name}` is chosen twice")));
        }
        have.iter().position(|h| h == name).ok_or_else(|| fail(format!("there is no modality `{name}`")))
    };
    want.iter().enumerate().map(find).collect()
}

fn check_shape(place: &str, x: &Tensor, len: usize, shape: &[usize]) -> Result<()> {
    let fits = x.dims().split_first().is_some_and(|(n, rest)| *n == len && rest == shape);
    if fits { Ok(()) } else { Err(Error::shape(place, x.dims(), format!("{len} samples of shape {shape:?}"))) }
}

/// Where the number that stands for a sample's content begins, before any value.
pub(crate) const FIRST: u64 = 0xcbf2_9ce4_8422_2325;

/// That number with a further value (FNV-1a over words).
pub(crate) fn told_by(content: u64, value: u32) -> u64 {
    (content ^ u64::from(value)).wrapping_mul(0x0000_0100_0000_01b3)
}

fn check_finite(name: &str, values: &[f32], ids: &[String]) -> Result<()> {
    let Some(at) = values.iter().position(|v| !v.is_finite()) else { return Ok(()) };
    let sample = at * ids.len() / values.len();
    Err(Error::NonFinite {
        name: format!("{name}{}", ids[sample]),
        value: f64::from(values[at]),
        hint: "mend or leave out that sample".to_owned(),
    })
}
