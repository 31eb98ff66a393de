//! MNIST's images and labels.
//!
//! Some copies of MNIST are sorted by digit, and the first thousands of such a file show zeros alone. So images are
//! taken in a keyed random order of their file, which is the same in every run.

use std::path::Path;

use aim_core::{Error, Result, Rng};

use crate::{
    files::{broken, counted},
    read::idx,
    table::{Array, Part},
};

/// Height and width of an image.
pub(super) const SIDE: usize = 28;

/// Images of the three splits, one split after the other.
pub(super) struct Digits {
    pub images: Array,
    pub labels: Vec<u32>,
    pub ids: Vec<String>,
    pub parts: Vec<Part>,
}

impl Digits {
    /// Images of the training file for training, further ones for validation, images of the test file for testing.
    ///
    /// `known` are the images that the two files of the set have.
    pub fn read(folder: &Path, [train, validation, test]: [usize; 3], known: [usize; 2]) -> Result<Self> {
        let mut all = Self {
            images: Array { data: Vec::new(), shape: vec![1, SIDE, SIDE] },
            labels: Vec::new(),
            ids: Vec::new(),
            parts: [(Part::Train, train), (Part::Validation, validation), (Part::Test, test)]
                .into_iter()
                .flat_map(|(part, count)| std::iter::repeat_n(part, count))
                .collect(),
        };
        all.append(folder, "train", train + validation, known[0])?;
        all.append(folder, "t10k", test, known[1])?;
        Ok(all)
    }

    fn append(&mut self, folder: &Path, file: &str, count: usize, known: usize) -> Result<()> {
        let path = folder.join(format!("{file}-images-idx3-ubyte.gz"));
        let ([images, height, width], pixels) = idx::bytes(&path)?;
        if images < count || [height, width] != [SIDE; 2] {
            let want = format!("[{count} or more, {SIDE}, {SIDE}]");
            return Err(Error::shape(path.display().to_string(), &[images, height, width], want));
        }
        counted(&path, images, known, "images")?;
        let labels = labels(&folder.join(format!("{file}-labels-idx1-ubyte.gz")), images)?;
        let order = Rng::keyed(0, &format!("avmnist.images.{file}")).permutation(images);
        for &i in &order[..count] {
            self.images.data.extend(pixels[i * SIDE * SIDE..][..SIDE * SIDE].iter().map(|p| f32::from(*p) / 255.));
            self.labels.push(labels[i]);
            self.ids.push(format!("{file}{i}"));
        }
        Ok(())
    }
}

/// One label an image.
fn labels(path: &Path, images: usize) -> Result<Vec<u32>> {
    let ([count], labels) = idx::bytes(path)?;
    if count != images {
        return Err(broken(path, format!("holds {count} labels for {images} images")));
    }
    match labels.iter().position(|label| *label > 9) {
        Some(i) => Err(broken(path, format!("label {} of image {i} is out of range, digits are 0 to 9", labels[i]))),
        None => Ok(labels.into_iter().map(u32::from).collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn write(folder: &Path, name: &str, shape: &[u8], data: &[u8]) {
        let file = std::fs::File::create(folder.join(name)).unwrap();
        let mut file = GzEncoder::new(file, Compression::fast());
        file.write_all(&[0, 0, 8, shape.len() as u8]).unwrap();
        shape.iter().for_each(|n| file.write_all(&[0, 0, 0, *n]).unwrap());
        file.write_all(data).unwrap();
        file.finish().unwrap();
    }

    /// Two training images and one test image, with these training labels.
    fn digits(labels: &[u8], splits: [usize; 3]) -> Result<Digits, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        write(path, "train-images-idx3-ubyte.gz", &[2, 28, 28], &[[255; 784], [0; 784]].concat());
        write(path, "train-labels-idx1-ubyte.gz", &[labels.len() as u8], labels);
        write(path, "t10k-images-idx3-ubyte.gz", &[1, 28, 28], &[51; 784]);
        write(path, "t10k-labels-idx1-ubyte.gz", &[1], &[7]);
        Digits::read(path, splits, [2, 1]).map_err(|e| e.to_string())
    }

    #[test]
    fn splits_follow_the_files() {
        let all = digits(&[3, 9], [1, 1, 1]).unwrap();
        assert_eq!(all.parts, [Part::Train, Part::Validation, Part::Test]);
        let mut images: Vec<_> =
            (0..3).map(|i| (all.ids[i].as_str(), all.labels[i], all.images.data[i * 784])).collect();
        assert_eq!(images.pop(), Some(("t10k0", 7, 0.2)));
        images.sort_by_key(|image| image.1);
        assert_eq!(images, [("train0", 3, 1.), ("train1", 9, 0.)]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (labels, splits, message) in [
            (&[3, 10][..], [1, 1, 1], "label 10 of image 1 is out of range"),
            (&[3], [1, 1, 1], "holds 1 labels for 2 images"),
            (&[3, 9], [2, 1, 1], "[3 or more, 28, 28]"),
        ] {
            let error = digits(labels, splits).err().unwrap();
            assert!(error.contains(message) && error.contains("-ubyte.gz"), "{error}");
        }
    }
}
