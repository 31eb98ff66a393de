//! A data card: what a set holds, and what should make one wonder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
};

use aim_core::{Input, Result};
use candle_core::{DType, Device};

use crate::{Dataset, Source, source::pieces};

/// Most pairs of equal samples, and rare classes, that are named.
const NAMED: usize = 10;

/// A sample's place: its split and its index there.
type Place = (usize, usize);

/// The card of a set in plain text: classes by split, missing modalities, ranges of values, samples of equal content.
/// Every sample is read once.
///
/// ```
/// use aim_data::{Synth, data_card, dataset, load};
/// let set = load(&dataset(Synth { train: 40, validation: 20, test: 20, ..Synth::default() }), None)?;
/// assert!(data_card(&set)?.contains("no two samples have the same content"));
/// # Ok::<(), aim_core::Error>(())
/// ```
///
/// # Errors
/// If a sample cannot be read.
pub fn data_card(set: &Dataset) -> Result<String> {
    let mut text = format!("{}\n\n", set.summary());
    text += &classes(set);
    text += &rare(set);
    text += &alike(set);
    text += &groups(set);
    text += &missing(set);
    let mut seen: BTreeMap<u64, Vec<Place>> = BTreeMap::new();
    for (m, name) in set.modalities.iter().enumerate() {
        let Range { low, high, mean, lengths } = range(set, m)?;
        let _infallible = writeln!(text, "values of {name}: {low:.4} to {high:.4}, mean {mean:.4}{lengths}");
    }
    for (place, hash) in contents(set)? {
        seen.entry(hash).or_default().push(place);
    }
    text += &duplicates(set, seen.into_values().filter(|places| places.len() > 1).collect());
    Ok(text)
}

fn splits(set: &Dataset) -> [(&'static str, &dyn Source); 3] {
    [("train", &*set.train), ("validation", &*set.validation), ("test", &*set.test)]
}

/// Number of samples by class and split.
fn classes(set: &Dataset) -> String {
    let width = set.class_names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max("class".len());
    let mut text = format!("{:width$}  {:>8}  {:>10}  {:>8}\n", "class", "train", "validation", "test");
    let counts = splits(set).map(|(_, source)| {
        let mut counts = vec![0_usize; set.classes()];
        source.labels().iter().for_each(|label| counts[*label as usize] += 1);
        counts
    });
    for (class, name) in set.class_names.iter().enumerate() {
        let [train, validation, test] = [0, 1, 2].map(|split| counts[split][class]);
        let _infallible = writeln!(text, "{name:width$}  {train:>8}  {validation:>10}  {test:>8}");
    }
    text + "\n"
}

/// Classes that training hardly shows: more often slips of the pen than classes.
fn rare(set: &Dataset) -> String {
    let mut counts = vec![0_usize; set.classes()];
    set.train.labels().iter().for_each(|label| counts[*label as usize] += 1);
    let rare: Vec<&str> =
        set.class_names.iter().zip(counts).filter(|(_, count)| *count < 2).map(|(name, _)| name.as_str()).collect();
    match rare.len() {
        0 => String::new(),
        1..=NAMED => format!("ATTENTION: fewer than two training samples of {}\n", rare.join(", ")),
        many => format!("ATTENTION: fewer than two training samples of {many} classes\n"),
    }
}

/// Classes whose names differ in case or blanks alone, which are more often one class.
fn alike(set: &Dataset) -> String {
    let mut names: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in &set.class_names {
        let plain: String = name.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
        names.entry(plain).or_default().push(name);
    }
    let line = |names: Vec<&str>| format!("ATTENTION: {} are different classes\n", names.join(" and "));
    names.into_values().filter(|names| names.len() > 1).map(line).collect()
}

/// Number of groups by split.
fn groups(set: &Dataset) -> String {
    let counts = splits(set).map(|(split, source)| {
        let groups: BTreeSet<u32> = source.groups().iter().copied().collect();
        (split, groups.len())
    });
    if counts.iter().all(|(_, count)| *count == 0) {
        return "groups: none are named, so that what belongs together (takes of one person or machine) may be in several splits\n".into();
    }
    let [train, validation, test] = counts.map(|(split, count)| format!("{count} in {split}"));
    format!("groups: {train}, {validation}, {test}\n")
}

/// Samples that lack a modality, if there are any.
fn missing(set: &Dataset) -> String {
    let mut text = String::new();
    for (split, source) in splits(set) {
        for (m, name) in set.modalities.iter().enumerate() {
            let lacking = (0..source.len()).filter(|i| !source.has(*i, m)).count();
            if lacking > 0 {
                let _infallible = writeln!(text, "{lacking} of {} {split} samples lack {name}", source.len());
            }
        }
    }
    text
}

struct Range {
    low: f32,
    high: f32,
    mean: f64,
    /// What there is to say of sequences of unequal length.
    lengths: String,
}

fn range(set: &Dataset, modality: usize) -> Result<Range> {
    let mut all = Range { low: f32::INFINITY, high: f32::NEG_INFINITY, mean: 0., lengths: String::new() };
    let (mut sum, mut count, mut lengths) = (0., 0_u64, vec![]);
    for (_, source) in splits(set) {
        for index in pieces(source) {
            let Input { values, valid } = source.input(modality, &index, &Device::Cpu)?;
            if let Some(valid) = valid {
                let there = index.iter().zip(valid.to_dtype(DType::F32)?.to_vec2::<f32>()?);
                let there = there.filter(|(i, _)| source.has(**i, modality));
                lengths.extend(there.map(|(_, valid)| (valid.iter().filter(|v| **v != 0.).count(), valid.len())));
            }
            for value in values.flatten_all()?.to_vec1::<f32>()? {
                (all.low, all.high) = (all.low.min(value), all.high.max(value));
                sum += f64::from(value);
                count += 1;
            }
        }
    }
    all.mean = sum / count.max(1) as f64;
    let shortest = lengths.iter().map(|(own, _)| own).min();
    if let Some((shortest, longest)) = shortest.zip(lengths.iter().map(|(own, _)| own).max()) {
        let padded = lengths.iter().filter(|(own, whole)| own < whole).count();
        all.lengths = format!("; {shortest} to {longest} positions, {padded} of {} samples padded", lengths.len());
    }
    Ok(all)
}

/// Every sample with a hash of all its modalities.
fn contents(set: &Dataset) -> Result<Vec<(Place, u64)>> {
    let mut all = vec![];
    for (s, (_, source)) in splits(set).iter().enumerate() {
        let mut hashes: Vec<DefaultHasher> = vec![DefaultHasher::new(); source.len()];
        for m in 0..set.modalities.len() {
            for index in pieces(*source) {
                let rows = source.input(m, &index, &Device::Cpu)?.values.flatten_from(1)?.to_vec2::<f32>()?;
                for (i, row) in index.iter().zip(rows) {
                    row.iter().for_each(|value| value.to_bits().hash(&mut hashes[*i]));
                }
            }
        }
        all.extend(hashes.into_iter().enumerate().map(|(i, hash)| ((s, i), hash.finish())));
    }
    Ok(all)
}

fn duplicates(set: &Dataset, groups: Vec<Vec<Place>>) -> String {
    if groups.is_empty() {
        return "no two samples have the same content\n".into();
    }
    let splits = splits(set);
    let across = groups.iter().filter(|places| places.iter().any(|(split, _)| *split != places[0].0)).count();
    let mut text =
        format!("{} groups of samples have the same content, {across} of them across splits:\n", groups.len());
    for places in groups.iter().take(NAMED) {
        let name = |(split, i): &Place| format!("{} ({})", splits[*split].1.ids()[*i], splits[*split].0);
        text += &format!("  {}\n", places.iter().map(name).collect::<Vec<_>>().join(" = "));
    }
    if groups.len() > NAMED {
        text += &format!("  and {} more\n", groups.len() - NAMED);
    }
    text
}
