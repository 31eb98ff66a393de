//! A data card: what a set holds, and what should make one wonder.

use std::{
    collections::BTreeMap,
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
};

use aim_core::Result;
use candle_core::Device;

use crate::{Dataset, Source, source::pieces};

/// Most pairs of equal samples that are named.
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
    text += &missing(set);
    let mut seen: BTreeMap<u64, Vec<Place>> = BTreeMap::new();
    for (m, name) in set.modalities.iter().enumerate() {
        let Range { low, high, mean } = range(set, m)?;
        let _infallible = writeln!(text, "values of {name}: {low:.4} to {high:.4}, mean {mean:.4}");
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
}

fn range(set: &Dataset, modality: usize) -> Result<Range> {
    let (mut all, mut sum, mut count) = (Range { low: f32::INFINITY, high: f32::NEG_INFINITY, mean: 0. }, 0., 0_u64);
    for (_, source) in splits(set) {
        for index in pieces(source) {
            for value in source.input(modality, &index, &Device::Cpu)?.values.flatten_all()?.to_vec1::<f32>()? {
                (all.low, all.high) = (all.low.min(value), all.high.max(value));
                sum += f64::from(value);
                count += 1;
            }
        }
    }
    all.mean = sum / count.max(1) as f64;
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
