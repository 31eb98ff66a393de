//! What is kept of a cell between its file and its showings, and how that is written.

use aim_core::{Error, Result, Rng};
use aim_media::image::Picture;

use super::decoding::Decoded;
use crate::Showing;

/// What is kept of a cell: all that its showings need, and no more.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::sets) enum Kept {
    /// The values, which are the same in every showing.
    Values(Decoded),
    /// Samples of a recording, of which a showing takes a piece.
    #[cfg_attr(not(feature = "media"), allow(dead_code, reason = "kept by decoders of media"))]
    Sound(Vec<f32>),
    /// Pictures of which a showing takes some, or regions.
    Pictures(Vec<Still>),
    /// A text, which the training split's vocabulary makes numbers of.
    Text(String),
}

/// A picture as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::sets) enum Still {
    /// The bytes of its file, which are smaller than its pixels.
    File(Vec<u8>),
    /// Pixels of a video.
    Pixels(Picture),
}

/// By what the random part of a showing is drawn: two showings with the same numbers are the same.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "media"), allow(dead_code, reason = "media alone have parts that are drawn"))]
pub(super) struct Draw<'a> {
    /// Name of the modality.
    pub modality: &'a str,
    /// Name of the sample.
    pub id: &'a str,
    /// The showing in training; none where a sample is evaluated or looked at.
    pub showing: Option<Showing>,
}

impl Draw<'_> {
    #[cfg_attr(not(feature = "media"), allow(dead_code, reason = "media alone have parts that are drawn"))]
    /// The generator of this showing; without one in training the sample's own, which is always the same.
    pub fn rng(&self) -> Rng {
        let Self { modality, id, showing } = self;
        match showing {
            Some(Showing { seed, epoch }) => Rng::keyed(*seed, &format!("showing@{epoch}.{modality}.{id}")),
            None => Rng::keyed(0, &format!("still.{modality}.{id}")),
        }
    }
}

impl Kept {
    /// The values, if there is nothing else.
    pub fn values(&self) -> Result<Decoded> {
        match self {
            Self::Values(decoded) => Ok(decoded.clone()),
            other => Err(other.unfit("values")),
        }
    }

    /// What it is called where something else is wanted.
    pub fn unfit(&self, wanted: &str) -> Error {
        let (what, _) = self.kind();
        let remedy = "delete the folder of the prepared set and prepare it again";
        Error::invalid("prepared set", format!("holds {what} where {wanted} are read"), remedy)
    }

    fn kind(&self) -> (&'static str, u8) {
        match self {
            Self::Values(_) => ("values", 0),
            Self::Sound(_) => ("samples", 1),
            Self::Pictures(_) => ("pictures", 2),
            Self::Text(_) => ("a text", 3),
        }
    }

    /// Bytes that it takes, about.
    pub fn size(&self) -> usize {
        match self {
            Self::Values(decoded) => 4 * decoded.values.len(),
            Self::Sound(samples) => 4 * samples.len(),
            Self::Pictures(pictures) => pictures.iter().map(Still::size).sum(),
            Self::Text(text) => text.len(),
        }
    }

    /// It as bytes: its kind, then its content, numbers in little-endian order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![self.kind().1];
        let floats = |out: &mut Vec<u8>, values: &[f32]| values.iter().for_each(|v| out.extend(v.to_le_bytes()));
        match self {
            Self::Values(Decoded { values, length }) => {
                number(&mut out, length.map_or(0, |length| length + 1));
                floats(&mut out, values);
            }
            Self::Sound(samples) => floats(&mut out, samples),
            Self::Pictures(pictures) => pictures.iter().for_each(|picture| picture.write(&mut out)),
            Self::Text(text) => out.extend(text.bytes()),
        }
        out
    }

    /// What [`to_bytes`](Self::to_bytes) wrote; none if that is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, mut rest) = bytes.split_first()?;
        Some(match kind {
            0 => {
                let length = take_number(&mut rest)?.checked_sub(1);
                Self::Values(Decoded { values: take_floats(rest)?, length })
            }
            1 => Self::Sound(take_floats(rest)?),
            2 => {
                let mut pictures = vec![];
                while !rest.is_empty() {
                    pictures.push(Still::read(&mut rest)?);
                }
                Self::Pictures(pictures)
            }
            3 => Self::Text(String::from_utf8(rest.to_vec()).ok()?),
            _ => return None,
        })
    }
}

impl Still {
    fn size(&self) -> usize {
        match self {
            Self::File(bytes) => bytes.len(),
            Self::Pixels(picture) => picture.rgb.len(),
        }
    }

    /// Width (0 for a file), height, number of bytes, bytes.
    fn write(&self, out: &mut Vec<u8>) {
        let ([width, height], bytes) = match self {
            Self::File(bytes) => ([0, 0], bytes),
            Self::Pixels(picture) => ([picture.width, picture.height], &picture.rgb),
        };
        [width, height, bytes.len()].into_iter().for_each(|n| number(out, n));
        out.extend(bytes);
    }

    fn read(rest: &mut &[u8]) -> Option<Self> {
        let (width, height) = (take_number(rest)?, take_number(rest)?);
        let length = take_number(rest)?;
        let (bytes, after) = rest.split_at_checked(length)?;
        *rest = after;
        if width == 0 {
            return Some(Self::File(bytes.to_vec()));
        }
        Picture::new(width, height, bytes.to_vec()).ok().map(Self::Pixels)
    }
}

fn number(out: &mut Vec<u8>, value: usize) {
    out.extend((value as u64).to_le_bytes());
}

fn take_number(rest: &mut &[u8]) -> Option<usize> {
    let (bytes, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    usize::try_from(u64::from_le_bytes(*bytes)).ok()
}

fn take_floats(bytes: &[u8]) -> Option<Vec<f32>> {
    let (values, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| values.iter().map(|v| f32::from_le_bytes(*v)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_from_its_bytes() {
        let picture = Picture::new(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        for kept in [
            Kept::Values(Decoded { values: vec![1., -2.5], length: None }),
            Kept::Values(Decoded { values: vec![], length: Some(0) }),
            Kept::Sound(vec![0.25; 3]),
            Kept::Pictures(vec![Still::File(vec![9, 8]), Still::Pixels(picture), Still::File(vec![])]),
            Kept::Text("süß".into()),
        ] {
            let bytes = kept.to_bytes();
            assert_eq!(Kept::from_bytes(&bytes), Some(kept));
        }
        assert_eq!(Kept::Sound(vec![1.]).to_bytes(), [1, 0, 0, 128, 63]);
        for damaged in [&[][..], &[7], &[1, 2, 3], &[0, 0], &[2, 0, 0, 0, 0, 0, 0, 0, 0], &[3, 255]] {
            assert_eq!(Kept::from_bytes(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn showings_differ_by_seed_epoch_sample_and_modality_and_evaluation_does_not() {
        let first = |modality, id, showing| Draw { modality, id, showing }.rng().uniform();
        let showing = |seed, epoch| Some(Showing { seed, epoch });
        let one = first("a", "x", showing(1, 2));
        assert_eq!(one, first("a", "x", showing(1, 2)));
        for other in
            [("b", "x", showing(1, 2)), ("a", "y", showing(1, 2)), ("a", "x", showing(0, 2)), ("a", "x", showing(1, 3))]
        {
            assert_ne!(one, first(other.0, other.1, other.2));
        }
        assert_eq!(first("a", "x", None), first("a", "x", None));
    }
}
