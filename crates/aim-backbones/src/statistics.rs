//! Simple statistics in place of an encoder that learns. Under a linear head they make logistic regression, a reference
//! that whatever is trained should pass.

use aim_config::{at_least, settings};
use aim_core::{Capabilities, Encoder, Error, Input, Pass, Result, capability};
use candle_core::{D, DType, Tensor};

use crate::{Build, EncoderInfo, EncoderSettings};

settings! {
    /// Settings of the encoder `statistics`.
    pub struct StatisticsConfig {
        /// Axis of a sample whose entries are described: 0 for channels, 2 for the bins of a spectrogram `[1, T, F]`.
        pub axis: usize = 0 => at_least(0), "ours";
        /// Words that ids can name; the feature is then the share of each word in the text.
        pub vocabulary: Option<usize> = None => at_least(1).shown("none"), "ours";
    }
}

static INFO: EncoderInfo = EncoderInfo {
    name: "statistics",
    about: "no layers: mean and standard deviation of each entry of `axis` over all else, or shares of words",
    input: "any shape (a vector stays as it is), or [T] ids below `vocabulary` (0 is padding)",
};

impl EncoderSettings for StatisticsConfig {
    fn info(&self) -> &'static EncoderInfo {
        &INFO
    }

    fn build(&self, _build: &mut Build, name: &str, _modality: usize, input: &[usize]) -> Result<Box<dyn Encoder>> {
        Ok(Box::new(Statistics::new(&format!("encoders.{name}"), input, self)?))
    }

    fn capabilities(&self) -> Capabilities {
        own()
    }

    fn feature_width(&self) -> Option<usize> {
        self.vocabulary
    }
}

/// Nothing here has weights or depth.
fn own() -> Capabilities {
    Capabilities::of(&[capability::VIEWS])
}

/// What is told of a sample.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// The values themselves.
    Values,
    /// Mean and standard deviation of the entries of this axis of a batch.
    Moments { axis: usize },
    /// Shares of words.
    Words { vocabulary: usize },
}

/// Statistics of a sample, without parameters. Positions of `[C, T]` and of `[T, F]` that are not valid are left out.
pub struct Statistics {
    told: Told,
    width: usize,
}

impl Statistics {
    /// For samples of shape `input`; `prefix` names it in messages.
    ///
    /// # Errors
    /// If the input has no such axis, or is no vector of ids where there is a vocabulary.
    pub fn new(prefix: &str, input: &[usize], config: &StatisticsConfig) -> Result<Self> {
        let (told, width) = match (config.vocabulary, input) {
            (Some(vocabulary), [_]) => (Told::Words { vocabulary }, vocabulary),
            (Some(_), _) => return Err(Error::shape(prefix, input, "[T] of ids where there is a vocabulary")),
            (None, [values]) => (Told::Values, *values),
            (None, _) => match input.get(config.axis) {
                Some(entries) => (Told::Moments { axis: config.axis + 1 }, 2 * entries),
                None => return Err(Error::shape(prefix, input, format!("an axis {}", config.axis))),
            },
        };
        Ok(Self { told, width })
    }
}

/// Mean and standard deviation of each entry of `axis`, side by side `[B, 2 entries]`.
fn moments(x: &Input, axis: usize) -> Result<Tensor> {
    let values = x.values.transpose(1, axis)?.contiguous()?;
    let (batch, entries) = (values.dim(0)?, values.dim(1)?);
    let values = values.reshape((batch, entries, ()))?;
    let positions = values.dim(2)?;
    // One sequence a sample tells which positions are real; where there are further axes all count.
    let valid = if x.values.rank() == 3 { x.valid_of(positions)? } else { None };
    let weight = match valid {
        Some(valid) => valid.unsqueeze(1)?,
        None => Tensor::ones((batch, 1, positions), values.dtype(), values.device())?,
    };
    let count = weight.sum_keepdim(D::Minus1)?.maximum(1f64)?;
    let over =
        |x: Tensor| -> Result<Tensor> { Ok(x.broadcast_mul(&weight)?.sum_keepdim(D::Minus1)?.broadcast_div(&count)?) };
    let mean = over(values.clone())?;
    let variance = over(values.broadcast_sub(&mean)?.sqr()?)?;
    Ok(Tensor::cat(&[mean, variance.sqrt()?], 1)?.squeeze(2)?)
}

/// Share of each word of a vocabulary among those of a text that are no padding `[B, vocabulary]`.
fn shares(x: &Input, vocabulary: usize) -> Result<Tensor> {
    let ids = x.values.to_dtype(DType::U32)?.to_vec2::<u32>()?;
    let mut shares = vec![0f32; ids.len() * vocabulary];
    for (row, ids) in shares.chunks_mut(vocabulary).zip(&ids) {
        let words = ids.iter().filter(|id| **id > 0).count().max(1) as f32;
        for id in ids.iter().filter(|id| **id > 0) {
            let unknown = || {
                let problem = format!("{id} is none of a vocabulary of {vocabulary}");
                Error::invalid("word ids", problem, "give the encoder the vocabulary of the data")
            };
            *row.get_mut(*id as usize).ok_or_else(unknown)? += 1. / words;
        }
    }
    Ok(Tensor::from_vec(shares, (ids.len(), vocabulary), x.values.device())?)
}

impl Encoder for Statistics {
    fn capabilities(&self) -> Capabilities {
        own()
    }
    fn forward(&self, x: &Input, _pass: &mut Pass<'_>) -> Result<Tensor> {
        match self.told {
            Told::Values => Ok(x.values.clone()),
            Told::Moments { axis } => moments(x, axis),
            Told::Words { vocabulary } => shares(x, vocabulary),
        }
    }
    fn depth(&self) -> usize {
        0
    }
    fn width(&self) -> usize {
        self.width
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn feature(input: &Input, config: &StatisticsConfig) -> Result<Vec<Vec<f32>>> {
        let encoder = Statistics::new("x", &input.values.dims()[1..], config)?;
        let feature = encoder.forward(input, &mut Pass::eval())?;
        assert_eq!(feature.dim(1)?, encoder.width());
        Ok(feature.to_vec2()?)
    }

    #[test]
    fn moments_by_hand() {
        // Two channels of three positions.
        let x = Tensor::new(&[[[1f32, 2., 3.], [0., 4., 8.]]], &Device::Cpu).unwrap();
        let third = (2f32 / 3.).sqrt();
        let channels = StatisticsConfig::default();
        assert_eq!(feature(&x.clone().into(), &channels).unwrap(), [[2., 4., third, 4. * third]]);
        let valid = Tensor::new(&[[1f32, 1., 0.]], &Device::Cpu).unwrap();
        assert_eq!(feature(&Input::padded(x.clone(), valid).unwrap(), &channels).unwrap(), [[1.5, 2., 0.5, 2.]]);
        let positions = StatisticsConfig { axis: 1, ..channels };
        assert_eq!(feature(&x.into(), &positions).unwrap(), [[0.5, 3., 5.5, 0.5, 1., 2.5]]);
    }

    #[test]
    fn shares_of_words_by_hand() {
        let text = Tensor::new(&[[2f32, 1., 2., 2., 0.], [0., 0., 0., 0., 0.]], &Device::Cpu).unwrap();
        let words = |n| StatisticsConfig { vocabulary: Some(n), ..StatisticsConfig::default() };
        assert_eq!(feature(&text.clone().into(), &words(3)).unwrap(), [[0., 0.25, 0.75], [0.; 3]]);
        let error = feature(&text.into(), &words(2)).unwrap_err().to_string();
        assert!(error.contains("2 is none of a vocabulary of 2"), "{error}");
    }

    #[test]
    fn a_vector_stays_as_it_is_and_an_axis_must_be_there() {
        let x = Tensor::new(&[[1f32, -2.]], &Device::Cpu).unwrap();
        assert_eq!(feature(&x.clone().into(), &StatisticsConfig::default()).unwrap(), [[1., -2.]]);
        let square = Tensor::zeros((1, 2, 2), DType::F32, &Device::Cpu).unwrap();
        let error = feature(&square.into(), &StatisticsConfig { axis: 2, vocabulary: None }).unwrap_err();
        assert!(error.to_string().contains("an axis 2"), "{error}");
    }
}
