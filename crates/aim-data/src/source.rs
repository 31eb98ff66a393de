//! A split: samples that are read by their indices, from memory or from anywhere else.

use std::fmt;

use aim_core::{Batch, Error, Input, Result};
use candle_core::{Device, Tensor};
use safetensors::View;

use crate::{Fitted, Reading};

/// Most samples, and most bytes of their values, that are read at a time where a whole split is looked at.
const PIECE: usize = 256;
pub(crate) const PIECE_BYTES: usize = 16 << 20;

/// A showing of samples in training, by which random changes of them are drawn: the same changes for the same seed,
/// epoch and sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Showing {
    /// Seed of the run.
    pub seed: u64,
    /// Epoch, counted from 0.
    pub epoch: usize,
}

/// One split. Labels and names are at hand; inputs are read when they are asked for, one modality at a time, so that
/// nobody reads a modality that no network looks at.
pub trait Source: Send + Sync {
    /// Class index of each sample.
    fn labels(&self) -> &[u32];

    /// Name of each sample, the same in every run; no other split has it.
    fn ids(&self) -> &[String];

    /// Shape of one sample of each modality.
    fn shapes(&self) -> &[Vec<usize>];

    /// One modality of the samples at `index`, in that order: f32 and contiguous on `device`, with the valid positions
    /// where sequences differ in length.
    ///
    /// # Errors
    /// If an index is out of range, or a sample cannot be read; the message names the sample.
    fn input(&self, modality: usize, index: &[usize], device: &Device) -> Result<Input>;

    /// The same as training shows it: with the random changes that the set's settings ask for. What is evaluated, and
    /// what methods look at between epochs, is [`input`](Self::input), which is the same every time.
    ///
    /// # Errors
    /// Those of [`input`](Self::input).
    fn shown(&self, modality: usize, index: &[usize], _showing: Showing, device: &Device) -> Result<Input> {
        self.input(modality, index, device)
    }

    /// Whether a sample has a modality. What is read of one that it lacks is never looked at, but must have the shape.
    fn has(&self, _sample: usize, _modality: usize) -> bool {
        true
    }

    /// What the pre-processing of a modality learnt from the training split, which new samples are read with; `None`
    /// where nothing was learnt.
    fn fitted(&self, _modality: usize) -> Option<Fitted> {
        None
    }

    /// Whether every reading checks shapes and values by itself, so that a set need not be read as a whole before it is
    /// used.
    fn checks_values(&self) -> bool {
        false
    }

    /// A number that stands for the content of each sample, where that is known although nothing has been read as a
    /// whole: samples of equal content have equal numbers. `None` where it is not.
    fn contents(&self) -> Option<Vec<u64>> {
        None
    }

    /// Group of each sample (a speaker, a film), by its index over all splits; nothing where the set has no groups.
    fn groups(&self) -> &[u32] {
        &[]
    }

    /// Hands over what reading may use; only the first call counts.
    fn read_by(&self, _reading: &Reading) {}

    /// What [`read_by`](Self::read_by) handed over; without workers where samples lie in memory, so that there is
    /// nothing to read ahead.
    fn reading(&self) -> Reading {
        Reading::default()
    }

    /// Number of samples.
    fn len(&self) -> usize {
        self.labels().len()
    }

    /// Bytes of the values of one sample.
    fn bytes(&self) -> usize {
        self.shapes().iter().map(|shape| 4 * shape.iter().product::<usize>()).sum()
    }

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples at `index` as a batch on `device`; its ids are these indices.
    ///
    /// # Errors
    /// If an index is out of range, a sample cannot be read, or the copy to the device fails.
    fn batch(&self, index: &[usize], device: &Device) -> Result<Batch> {
        self.batch_shown(index, None, device)
    }

    /// The same, as a showing in training where one is given.
    ///
    /// # Errors
    /// Those of [`batch`](Self::batch).
    fn batch_shown(&self, index: &[usize], showing: Option<Showing>, device: &Device) -> Result<Batch> {
        let labels: Option<Vec<u32>> = index.iter().map(|&i| self.labels().get(i).copied()).collect();
        let labels = labels.ok_or_else(|| Error::shape("batch", index, format!("indices below {}", self.len())))?;
        let input = |m| match showing {
            Some(showing) => self.shown(m, index, showing, device),
            None => self.input(m, index, device),
        };
        let inputs = (0..self.shapes().len()).map(input).collect::<Result<_>>()?;
        let mut batch = Batch::of(inputs, Tensor::new(labels, device)?)?;
        batch.ids = index.to_vec();
        batch.present = present(&index.iter().map(|&i| possession(self, i)).collect::<Vec<_>>(), device)?;
        Ok(batch)
    }

    /// Feeds everything that makes the split what it is to a checksum: what a run was trained on is told by it. Where
    /// reading all inputs is too much, a source may feed what stands for them (an index with the checksums of its
    /// files).
    ///
    /// # Errors
    /// Those of [`input`](Self::input).
    fn digest(&self, feed: &mut dyn FnMut(&[u8])) -> Result<()> {
        digest_values(self, feed)
    }
}

/// Feeds all values, labels, names and what samples lack to a checksum.
pub(crate) fn digest_values<S: Source + ?Sized>(source: &S, feed: &mut dyn FnMut(&[u8])) -> Result<()> {
    for modality in 0..source.shapes().len() {
        digest_input(source, modality, feed)?;
    }
    source.labels().iter().for_each(|label| feed(&label.to_le_bytes()));
    source.ids().iter().for_each(|id| feed(id.as_bytes()));
    let all = (0..source.len()).flat_map(|sample| (0..source.shapes().len()).map(move |m| (sample, m)));
    all.filter(|(sample, m)| !source.has(*sample, *m)).for_each(|lack| feed(format!("{lack:?}").as_bytes()));
    Ok(())
}

/// Shape, values and valid positions of a modality, the same bytes whatever the pieces.
fn digest_input<S: Source + ?Sized>(source: &S, modality: usize, feed: &mut dyn FnMut(&[u8])) -> Result<()> {
    feed(format!("{:?}", [&[source.len()], &source.shapes()[modality][..]].concat()).as_bytes());
    let mut valid: Vec<u8> = Vec::new();
    for index in pieces(source) {
        let input = source.input(modality, &index, &Device::Cpu)?;
        feed(&View::data(&input.values));
        input.valid.iter().for_each(|v| valid.extend_from_slice(&View::data(v)));
    }
    feed(&valid);
    Ok(())
}

/// Indices of all samples, a piece at a time.
pub(crate) fn pieces<S: Source + ?Sized>(source: &S) -> impl Iterator<Item = Vec<usize>> + use<S> {
    let (samples, piece) = (source.len(), (PIECE_BYTES / source.bytes().max(1)).clamp(1, PIECE));
    (0..samples).step_by(piece).map(move |start| (start..samples.min(start + piece)).collect())
}

/// Which modalities a sample has.
pub(crate) fn possession<S: Source + ?Sized>(source: &S, sample: usize) -> Vec<bool> {
    (0..source.shapes().len()).map(|m| source.has(sample, m)).collect()
}

/// 1 where a row has a modality, `[B, M]`; `None` where every row has all.
pub(crate) fn present(rows: &[Vec<bool>], device: &Device) -> Result<Option<Tensor>> {
    if rows.iter().flatten().all(|has| *has) {
        return Ok(None);
    }
    let values: Vec<f32> = rows.iter().flatten().map(|has| f32::from(u8::from(*has))).collect();
    Ok(Some(Tensor::from_vec(values, (rows.len(), rows[0].len()), device)?))
}

impl fmt::Debug for dyn Source + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples of shapes {:?}", self.len(), self.shapes())
    }
}
