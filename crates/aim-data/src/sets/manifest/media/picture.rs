//! Pictures, decoded.

use std::path::{Path, PathBuf};

use aim_core::{Context, Result, Rng};
use aim_media::{
    audio::Part,
    image::{Encoded, MAX_PIXELS, Normalisation, Picture, RandomCrop, Region},
    video::{self, Limits, Moments},
};

use super::super::{
    decoding::{Cell, Decode, Decoded, Opens},
    keep::{Draw, Kept, Still},
    picture::{Augment, Choose, Fit, Frames, Image, Normalise, Stack, Video},
};
use crate::{
    files::{broken, bytes, visible},
    front::refused,
};

/// The part of a picture that a showing takes, drawn from the picture's size, and whether it is mirrored.
#[derive(Clone, Copy)]
struct View {
    region: Region,
    mirrored: bool,
}

impl View {
    fn draw(size: [usize; 2], rng: &mut Rng) -> Self {
        let region = RandomCrop::default().draw(size, || rng.uniform());
        Self { region, mirrored: rng.uniform() < 0.5 }
    }
}

impl Still {
    fn size_of(&self) -> Result<[usize; 2]> {
        match self {
            Self::File(bytes) => {
                let encoded = Encoded::open(bytes, "picture", MAX_PIXELS).map_err(refused)?;
                Ok([encoded.width(), encoded.height()])
            }
            Self::Pixels(picture) => Ok([picture.width, picture.height]),
        }
    }

    fn picture(&self, region: Option<&Region>) -> Result<Picture> {
        match (self, region) {
            (Self::File(bytes), region) => {
                let encoded = Encoded::open(bytes, "picture", MAX_PIXELS).map_err(refused)?;
                match region {
                    Some(region) => encoded.decode_region(region),
                    None => encoded.decode(),
                }
            }
            (Self::Pixels(picture), None) => Ok(picture.clone()),
            (Self::Pixels(picture), Some(region)) => picture.crop(region),
        }
        .map_err(refused)
    }
}

impl Image {
    /// A picture as a square; one that is the square already stays as it is.
    fn square(&self, picture: &Picture) -> Result<Picture> {
        match self.fit {
            Fit::Squash => picture.resize(self.size, self.size),
            Fit::Crop => picture.resize_shorter(self.size).and_then(|p| p.crop_centre(self.size, self.size)),
        }
        .map_err(refused)
    }

    fn normalised(&self, square: &Picture) -> Vec<f32> {
        match self.normalise {
            Normalise::Unit => Normalisation::NONE,
            Normalise::Signed => Normalisation::SIGNED,
            Normalise::Imagenet => Normalisation::IMAGENET,
        }
        .apply(square)
    }

    /// Values of what a view takes of a picture.
    fn seen(&self, still: &Still, view: View) -> Result<Vec<f32>> {
        let mut square = still.picture(Some(&view.region))?.resize(self.size, self.size).map_err(refused)?;
        if view.mirrored {
            square.flip();
        }
        Ok(self.normalised(&square))
    }

    /// Values of each picture of a sample in a showing.
    fn showing(&self, stills: &[&Still], rng: Option<&mut Rng>) -> Result<Vec<Vec<f32>>> {
        let Some(rng) = rng.filter(|_| self.augment != Augment::None) else {
            return stills.iter().map(|still| Ok(self.normalised(&self.square(&still.picture(None)?)?))).collect();
        };
        let mut views = vec![];
        for still in stills {
            let size = still.size_of()?;
            match views.last() {
                // Pictures of one size share the first one's view; another size has one of its own.
                Some((same, view)) if self.augment == Augment::Together && *same == size => views.push((size, *view)),
                _ => views.push((size, View::draw(size, rng))),
            }
        }
        stills.iter().zip(views).map(|(still, (_, view))| self.seen(still, view)).collect()
    }
}

/// How several pictures of a sample become one array.
struct Several<'a> {
    count: usize,
    choose: Choose,
    stack: Stack,
    image: &'a Image,
}

impl Several<'_> {
    fn shape(&self) -> Vec<usize> {
        let (count, size) = (self.count, self.image.size);
        match self.stack {
            Stack::Channels => vec![3 * count, size, size],
            Stack::Time => vec![3, count, size, size],
        }
    }

    /// Whether the pictures that are taken differ between showings.
    fn moves(&self) -> bool {
        matches!(self.choose, Choose::Segment | Choose::Random)
    }

    fn varies(&self) -> bool {
        self.moves() || self.image.augment != Augment::None
    }

    /// Of `len` pictures those that are kept.
    fn kept(&self, len: usize, id: &str) -> Vec<usize> {
        if self.moves() {
            (0..len).collect()
        } else {
            self.taken(len, false, &mut Rng::keyed(0, &format!("once.{id}")))
        }
    }

    /// Indices of the pictures that are taken of `len`, in training where `random` says so.
    fn taken(&self, len: usize, random: bool, rng: &mut Rng) -> Vec<usize> {
        let (count, last) = (self.count, len.saturating_sub(1));
        let part = |k: usize| (k * len / count, ((k + 1) * len / count).max(k * len / count + 1));
        match (self.choose, random) {
            (Choose::First, _) => (0..count).map(|k| k.min(last)).collect(),
            (Choose::Spread, _) | (Choose::Segment, false) => {
                (0..count).map(|k| ((2 * k + 1) * len / (2 * count)).min(last)).collect()
            }
            (Choose::Segment, true) => {
                let mut within = |(start, end): (usize, usize)| (start + rng.below(end - start)).min(last);
                (0..count).map(|k| within(part(k))).collect()
            }
            (Choose::Random | Choose::Once, _) => {
                let mut picks = rng.permutation(len);
                picks.truncate(count);
                picks.sort_unstable();
                let end = picks.last().copied().unwrap_or(0);
                picks.resize(count, end);
                picks
            }
        }
    }

    /// The values of a sample of these pictures.
    fn joined(&self, pictures: Vec<Vec<f32>>) -> Vec<f32> {
        let plane = self.image.size * self.image.size;
        match self.stack {
            Stack::Channels => pictures.concat(),
            Stack::Time => (0..3)
                .flat_map(|c| pictures.iter().flat_map(move |p| &p[c * plane..(c + 1) * plane]))
                .copied()
                .collect(),
        }
    }

    /// The values of a sample in every showing.
    fn still(&self, stills: &[Still]) -> Result<Decoded> {
        Ok(self.joined(self.image.showing(&stills.iter().collect::<Vec<_>>(), None)?).into())
    }

    fn show(&self, kept: &Kept, draw: &Draw<'_>) -> Result<Decoded> {
        let Kept::Pictures(stills) = kept else { return kept.values() };
        let (mut rng, training) = (draw.rng(), draw.showing.is_some());
        let picks =
            if self.moves() { self.taken(stills.len(), training, &mut rng) } else { (0..stills.len()).collect() };
        let stills: Vec<&Still> = picks.iter().filter_map(|i| stills.get(*i)).collect();
        Ok(self.joined(self.image.showing(&stills, training.then_some(&mut rng))?).into())
    }
}

/// Pictures in a folder, in the order of their names; hidden files are no pictures.
fn folder(path: &Path) -> Result<Vec<PathBuf>> {
    let files = visible(path)?;
    if files.is_empty() { Err(broken(path, "holds no pictures")) } else { Ok(files) }
}

impl Image {
    fn several(&self) -> Several<'_> {
        Several { count: 1, choose: Choose::First, stack: Stack::Channels, image: self }
    }
}

impl Frames {
    fn several(&self) -> Several<'_> {
        Several { count: self.count, choose: self.choose, stack: self.stack, image: &self.image }
    }

    fn stills(&self, cell: &Cell<'_>) -> Result<Vec<Still>> {
        let files = folder(&cell.path()?)?;
        self.several().kept(files.len(), cell.id).iter().map(|i| bytes(&files[*i]).map(Still::File)).collect()
    }
}

impl Video {
    fn several(&self) -> Several<'_> {
        Several { count: self.count, choose: self.choose, stack: self.stack, image: &self.image }
    }

    fn stills(&self, cell: &Cell<'_>) -> Result<Vec<Still>> {
        let [start, end] = cell.times;
        let part = Part { start, end };
        let wanted = video::Frames { moments: Moments::Rate(self.rate), part, short_side: None };
        let pictures = video::frames(&cell.path()?, &wanted, &Limits::default()).map_err(refused)?;
        let picks = self.several().kept(pictures.len(), cell.id);
        // Pixels of a whole film are many: where no showing takes regions of them, squares are enough.
        let kept = |picture: &Picture| match self.image.augment {
            Augment::None => self.image.square(picture),
            Augment::Together | Augment::Each => Ok(picture.clone()),
        };
        picks.iter().map(|i| kept(&pictures[*i]).map(Still::Pixels)).collect()
    }
}

impl Image {
    fn stills(&self, cell: &Cell<'_>) -> Result<Vec<Still>> {
        Ok(vec![Still::File(bytes(&cell.path()?)?)])
    }
}

/// The three decoders of pictures differ in where these come from.
macro_rules! decodes_pictures {
    ($($settings:ident),+) => { $(
        impl Opens for $settings {
            fn open(&self, _: &Path) -> Result<Box<dyn Decode>> {
                Ok(Box::new(self.clone()))
            }
        }

        impl Decode for $settings {
            fn shape(&self) -> Vec<usize> {
                self.several().shape()
            }
            fn varies(&self) -> bool {
                self.several().varies()
            }
            fn keep(&self, cell: &Cell<'_>) -> Result<Kept> {
                let stills = self.stills(cell)?;
                if !self.varies() {
                    return self.several().still(&stills).map(Kept::Values).at(|| cell.text.into());
                }
                // What is damaged is told now, not in the middle of training.
                stills.iter().try_for_each(|still| still.picture(None).map(drop)).at(|| cell.text.into())?;
                Ok(Kept::Pictures(stills))
            }
            fn show(&self, kept: &Kept, draw: &Draw<'_>) -> Result<Decoded> {
                self.several().show(kept, draw)
            }
        }
    )+ };
}
decodes_pictures!(Image, Frames, Video);

#[cfg(test)]
mod tests {
    use super::*;

    fn several(count: usize, choose: Choose, image: &Image) -> Several<'_> {
        Several { count, choose, stack: Stack::Channels, image }
    }

    fn taken(len: usize, count: usize, choose: Choose) -> Vec<usize> {
        several(count, choose, &Image::default()).taken(len, false, &mut Rng::keyed(0, "x"))
    }

    #[test]
    fn pictures_are_taken_first_or_from_the_middle_of_parts() {
        assert_eq!(taken(10, 3, Choose::First), [0, 1, 2]);
        // Parts of 10 / 3: their middles are 1.67, 5 and 8.33.
        assert_eq!(taken(10, 3, Choose::Spread), [1, 5, 8]);
        assert_eq!(taken(10, 3, Choose::Segment), [1, 5, 8]);
        assert_eq!(taken(2, 3, Choose::First), [0, 1, 1]);
        assert_eq!(taken(1, 3, Choose::Spread), [0, 0, 0]);
    }

    #[test]
    fn random_pictures_keep_their_order_and_each_is_taken_in_the_end() {
        let image = Image::default();
        let mut rng = Rng::keyed(1, "x");
        let mut draw = |len, count, choose| several(count, choose, &image).taken(len, true, &mut rng);
        let mut seen = [false; 10];
        for _ in 0..200 {
            // Parts of 10 / 3 begin at 0, 3 and 6.
            let segments = draw(10, 3, Choose::Segment);
            assert!(segments[0] < 3 && (3..6).contains(&segments[1]) && (6..10).contains(&segments[2]), "{segments:?}");
            segments.into_iter().for_each(|i| seen[i] = true);
            let picks = draw(10, 3, Choose::Random);
            assert!(picks.windows(2).all(|pair| pair[0] < pair[1]), "{picks:?}");
        }
        assert_eq!(seen, [true; 10]);
        assert_eq!(draw(2, 3, Choose::Random), [0, 1, 1]);
        assert!(draw(2, 3, Choose::Segment).iter().all(|i| *i < 2));
    }

    #[test]
    fn one_draw_serves_all_pictures_of_a_sample_or_each_has_its_own() {
        let gradient: Vec<u8> = (0..40u32 * 40).flat_map(|i| [(i % 40 * 6) as u8, (i / 40 * 6) as u8, 0]).collect();
        let still = Still::Pixels(Picture::new(40, 40, gradient).unwrap());
        let shown = |augment| {
            let image = Image { size: 8, normalise: Normalise::Unit, augment, ..Image::default() };
            image.showing(&[&still, &still, &still], Some(&mut Rng::keyed(5, "x"))).unwrap()
        };
        let (together, each) = (shown(Augment::Together), shown(Augment::Each));
        assert!(together[0] == together[1] && together[1] == together[2]);
        assert!(each[0] == together[0] && each[0] != each[1] && each[1] != each[2]);
        assert_ne!(shown(Augment::None)[0], together[0]);
    }

    #[test]
    fn a_square_shows_what_its_picture_does() {
        let picture = Picture::new(7, 5, (0..105).map(|i| (i * 41 % 256) as u8).collect()).unwrap();
        for fit in [Fit::Squash, Fit::Crop] {
            let image = Image { size: 4, fit, ..Image::default() };
            let square = image.square(&picture).unwrap();
            assert_eq!((square.width, square.height), (4, 4));
            let [whole, small] = [picture.clone(), square].map(Still::Pixels);
            assert_eq!(image.showing(&[&whole], None).unwrap(), image.showing(&[&small], None).unwrap());
        }
    }

    #[test]
    fn values_are_brought_to_what_a_network_was_trained_on() {
        let still = Still::Pixels(Picture::new(1, 1, vec![0, 255, 51]).unwrap());
        let shown =
            |normalise| Image { size: 1, normalise, ..Image::default() }.showing(&[&still], None).unwrap().concat();
        assert_eq!(shown(Normalise::Unit), [0., 1., 0.2]);
        assert_eq!(shown(Normalise::Signed), [-1., 1., (0.2 - 0.5) / 0.5]);
        assert_eq!(shown(Normalise::Imagenet)[0], -0.485 / 0.229);
    }

    #[test]
    fn time_is_an_axis_behind_the_channels() {
        let image = Image { size: 1, ..Image::default() };
        let joined = |stack| {
            Several { count: 2, choose: Choose::First, stack, image: &image }
                .joined(vec![vec![1., 2., 3.], vec![4., 5., 6.]])
        };
        assert_eq!(joined(Stack::Channels), [1., 2., 3., 4., 5., 6.]);
        assert_eq!(joined(Stack::Time), [1., 4., 2., 5., 3., 6.]);
    }
}
