//! The two views of each picture.

use std::{collections::BTreeMap, ops::Range};

use aim_core::{Error, Result, Rng};
use candle_core::Tensor;
use candle_datasets::vision;

use super::{Halves, Views};
use crate::{
    Dataset,
    hub::REMEDY,
    table::{Array, Part, Share, Table},
};

/// Height and width of a picture.
const SIDE: usize = 28;

/// Pictures of a file with their classes.
struct Pictures {
    pixels: Vec<f32>,
    labels: Vec<u8>,
}

/// The pictures of a set that train and test.
type Files = [Pictures; 2];

pub(super) fn load(settings: &Halves) -> Result<Dataset> {
    let set = |fetch: fn() -> candle_core::Result<vision::Dataset>| read(fetch);
    match settings.of {
        Views::Mnist => halves(settings, &set(vision::mnist::load)?),
        Views::FashionMnist => halves(settings, &set(vision::fashion_mnist::load)?),
        Views::Pairs => pairs(settings, &set(vision::mnist::load)?, &set(vision::fashion_mnist::load)?),
    }
}

fn read(fetch: fn() -> candle_core::Result<vision::Dataset>) -> Result<Files> {
    let failed = |problem: String| Error::invalid("data set `halves`", problem, REMEDY);
    // The reader panics where a picture is damaged.
    let set = std::panic::catch_unwind(fetch).map_err(|_| failed("holds a damaged picture".into()))?;
    let set = set.map_err(|e| failed(e.to_string()))?;
    let pictures = |images: &Tensor, labels: &Tensor| -> Result<Pictures> {
        Ok(Pictures { pixels: images.flatten_all()?.to_vec1()?, labels: labels.to_vec1()? })
    };
    Ok([pictures(&set.train_images, &set.train_labels)?, pictures(&set.test_images, &set.test_labels)?])
}

/// Left and right half of each picture.
fn halves(settings: &Halves, files: &Files) -> Result<Dataset> {
    let taken = taken(settings, |_, order| order.iter().map(|i| (*i, *i)).collect::<Vec<_>>(), files)?;
    let of = |columns: Range<usize>| view(files, &taken, columns, |(left, _)| left);
    let (left, right) = (of(0..SIDE / 2), of(SIDE / 2..SIDE));
    dataset(settings, files, &taken, [left, right])
}

/// Each digit beside a garment of its class, none of which is taken twice; digits that find none are left out.
fn pairs(settings: &Halves, digits: &Files, garments: &Files) -> Result<Dataset> {
    let pair = |file: usize, order: &[usize]| {
        let mut left: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
        garments[file].labels.iter().enumerate().for_each(|(i, label)| left.entry(*label).or_default().push(i));
        let mut find = |i: &usize| Some((*i, left.get_mut(&digits[file].labels[*i])?.pop()?));
        order.iter().filter_map(&mut find).collect()
    };
    let taken = taken(settings, pair, digits)?;
    let left = view(digits, &taken, 0..SIDE, |(left, _)| left);
    let right = view(garments, &taken, 0..SIDE, |(_, right)| right);
    dataset(settings, digits, &taken, [left, right])
}

/// A sample: its split, its file, and its left and right picture there.
type Taken = (Part, usize, (usize, usize));

/// The samples of all splits, as `pair` makes them of pictures of a file in a keyed order.
fn taken(
    settings: &Halves,
    pair: impl Fn(usize, &[usize]) -> Vec<(usize, usize)>,
    files: &Files,
) -> Result<Vec<Taken>> {
    let Halves { train, validation, test, .. } = *settings;
    let mut taken = vec![];
    for (file, parts) in
        [&[(Part::Train, train), (Part::Validation, validation)][..], &[(Part::Test, test)]].iter().enumerate()
    {
        let order = Rng::keyed(0, &format!("halves.{file}")).permutation(files[file].labels.len());
        let pairs = pair(file, &order);
        let parts: Vec<Part> = parts.iter().flat_map(|(part, count)| std::iter::repeat_n(*part, *count)).collect();
        if pairs.len() < parts.len() {
            let problem = format!("has {} pictures for {} samples", pairs.len(), parts.len());
            return Err(Error::invalid("data set `halves`", problem, "take fewer samples"));
        }
        taken.extend(parts.into_iter().zip(pairs).map(|(part, pair)| (part, file, pair)));
    }
    Ok(taken)
}

/// Some columns of one picture of every sample.
fn view(files: &Files, taken: &[Taken], columns: Range<usize>, of: fn((usize, usize)) -> usize) -> Array {
    let shape = vec![1, SIDE, columns.len()];
    let rows = |(_, file, pair): &Taken| {
        let picture = &files[*file].pixels[of(*pair) * SIDE * SIDE..][..SIDE * SIDE];
        picture.chunks(SIDE).flat_map(|row| row[columns.clone()].to_vec()).collect::<Vec<_>>()
    };
    Array { data: taken.iter().flat_map(rows).collect(), shape }
}

fn dataset(settings: &Halves, files: &Files, taken: &[Taken], views: [Array; 2]) -> Result<Dataset> {
    let name = |file: usize| ["train", "test"][file];
    let mut table = Table {
        name: "halves",
        modalities: ["left", "right"].map(String::from).into_iter().zip(views).collect(),
        class_names: (0..10).map(|class: u32| class.to_string()).collect(),
        labels: taken.iter().map(|(_, file, (left, _))| files[*file].labels[*left].into()).collect(),
        ids: taken.iter().map(|(_, file, (left, right))| format!("{}{left}+{right}", name(*file))).collect(),
        parts: taken.iter().map(|(part, ..)| *part).collect(),
    };
    table.standardise(Share::All);
    table.modalities[1].1.add_noise(settings.noise, &mut Rng::keyed(0, "halves.noise"));
    table.dataset()
}
