//! Pictures, decoded.

use std::path::{Path, PathBuf};

use aim_core::{Error, Result};
use aim_media::{
    audio::Part,
    image::{self, Normalisation, Picture},
    video::{self, Limits, Moments},
};

use super::super::{
    decoding::{Cell, Decode, Decoded, Opens},
    picture::{Choose, Fit, Frames, Image, Normalise, Video},
};
use crate::{files::broken, front::refused};

impl Image {
    /// A picture's values, channel after channel.
    fn values(&self, picture: &Picture) -> Result<Vec<f32>> {
        let normalisation = match self.normalise {
            Normalise::Unit => Normalisation::NONE,
            Normalise::Imagenet => Normalisation::IMAGENET,
        };
        let square = match self.fit {
            Fit::Squash => picture.resize(self.size, self.size),
            Fit::Crop => picture.resize_shorter(self.size).and_then(|p| p.crop_centre(self.size, self.size)),
        };
        Ok(normalisation.apply(&square.map_err(refused)?))
    }

    /// The channels of several pictures, of which `choose` takes `count`.
    fn several(&self, pictures: &[Picture], count: usize, choose: Choose) -> Result<Decoded> {
        let of = |i: &usize| self.values(&pictures[*i]);
        Ok(taken(pictures.len(), count, choose).iter().map(of).collect::<Result<Vec<_>>>()?.concat().into())
    }
}

/// Indices of the pictures that are taken of `len`.
fn taken(len: usize, count: usize, choose: Choose) -> Vec<usize> {
    let last = len.saturating_sub(1);
    let at = |k: usize| match choose {
        Choose::First => k.min(last),
        Choose::Spread => ((2 * k + 1) * len / (2 * count)).min(last),
    };
    (0..count).map(at).collect()
}

/// Pictures in a folder, in the order of their names; hidden files are no pictures.
fn folder(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(path).map_err(|e| Error::io(path, e))?;
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(|e| Error::io(path, e))?;
    files.retain(|file| file.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')));
    files.sort();
    if files.is_empty() { Err(broken(path, "holds no pictures")) } else { Ok(files) }
}

impl Opens for Image {
    fn open(&self, _: &Path, _: &[Cell<'_>]) -> Result<Box<dyn Decode>> {
        Ok(Box::new(self.clone()))
    }
}

impl Decode for Image {
    fn shape(&self) -> Vec<usize> {
        vec![3, self.size, self.size]
    }
    fn decode(&self, cell: &Cell<'_>) -> Result<Decoded> {
        Ok(self.values(&image::read(&cell.path()?).map_err(refused)?)?.into())
    }
}

impl Opens for Frames {
    fn open(&self, _: &Path, _: &[Cell<'_>]) -> Result<Box<dyn Decode>> {
        Ok(Box::new(self.clone()))
    }
}

impl Decode for Frames {
    fn shape(&self) -> Vec<usize> {
        vec![3 * self.count, self.image.size, self.image.size]
    }
    fn decode(&self, cell: &Cell<'_>) -> Result<Decoded> {
        let files = folder(&cell.path()?)?;
        let picks = taken(files.len(), self.count, self.choose);
        let read = |i: &usize| image::read(&files[*i]).map_err(refused);
        let pictures: Vec<Picture> = picks.iter().map(read).collect::<Result<_>>()?;
        self.image.several(&pictures, pictures.len(), Choose::First)
    }
}

impl Opens for Video {
    fn open(&self, _: &Path, _: &[Cell<'_>]) -> Result<Box<dyn Decode>> {
        Ok(Box::new(self.clone()))
    }
}

impl Decode for Video {
    fn shape(&self) -> Vec<usize> {
        vec![3 * self.count, self.image.size, self.image.size]
    }
    fn decode(&self, cell: &Cell<'_>) -> Result<Decoded> {
        let [start, end] = cell.times;
        let part = Part { start, end };
        let wanted = video::Frames { moments: Moments::Rate(self.rate), part, short_side: None };
        let pictures = video::frames(&cell.path()?, &wanted, &Limits::default()).map_err(refused)?;
        self.image.several(&pictures, self.count, self.choose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_taken_first_or_from_the_middle_of_parts() {
        assert_eq!(taken(10, 3, Choose::First), [0, 1, 2]);
        // Parts of 10 / 3: their middles are 1.67, 5 and 8.33.
        assert_eq!(taken(10, 3, Choose::Spread), [1, 5, 8]);
        assert_eq!(taken(2, 3, Choose::First), [0, 1, 1]);
        assert_eq!(taken(1, 3, Choose::Spread), [0, 0, 0]);
    }
}
