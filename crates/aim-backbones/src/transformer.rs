//! Transformer over sequences (Devlin et al. 2019) with the names of Hugging Face's BERT. Its layers form blocks of depth of
//! equal size; the embeddings belong to the first block. Dropout on attention's weights is left out.

use aim_core::{Encoder, Error, Handle, Kind, Part, Pass, Pool, Result, Role, Site};
use candle_core::{DType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Build, LayerNorm, Linear, LowRank,
    attention::{INIT, Layer, Shape, Style, dense, dropout},
};

/// Settings of a transformer; the defaults are BERT-Mini's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerConfig {
    /// Words that ids can name; without it the input is a sequence of vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<usize>,
    /// Width of a token.
    pub width: usize,
    /// Number of layers.
    pub layers: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Blocks of depth that the layers form.
    pub blocks: usize,
    /// Probability that dropout zeroes a value, behind the embeddings, attention and the linear maps.
    pub dropout: f64,
    /// Low-rank additions to its layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<LowRank>,
}

impl Default for TransformerConfig {
    fn default() -> Self {
        Self { vocabulary: None, width: 256, layers: 4, heads: 4, blocks: 4, dropout: 0.1, lora: None }
    }
}

impl TransformerConfig {
    /// Checks the values; `place` names the section in messages.
    pub(crate) fn check(&self, place: &str) -> Result<()> {
        let empty =
            (self.vocabulary == Some(0)).then_some(("has a vocabulary without words", "leave it out for vectors"));
        let problem = empty.or_else(|| self.shape().problem());
        problem.map_or(Ok(()), |(problem, remedy)| Err(Error::invalid(place, problem, remedy)))
    }

    fn shape(&self) -> Shape {
        let Self { width, layers, heads, blocks, dropout, .. } = *self;
        Shape { width, heads, layers, blocks, dropout }
    }
}

/// How the input becomes tokens.
enum Tokens {
    /// Ids of words, the first of which stands for the text; 0 is padding.
    Words { table: Handle, types: Handle },
    /// Vectors behind a class token; a vector of zeros is padding.
    Vectors { class: Handle, projection: Linear },
}

/// The encoder: the feature is the first token behind the last layer. Nobody attends to padding.
pub struct Transformer {
    modality: usize,
    tokens: Tokens,
    position: Handle,
    norm: LayerNorm,
    blocks: Vec<Vec<Layer>>,
    config: TransformerConfig,
}

/// Positions in the checkpoints' table.
const POSITIONS: usize = 512;

/// Word ids of numbers, which must be whole; looked at where that stops no device.
fn ids(x: &Tensor) -> Result<Tensor> {
    let ids = x.to_dtype(DType::U32)?;
    if x.device().is_cpu() && ids.to_dtype(x.dtype())?.ne(x)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()? > 0.
    {
        let remedy = "give whole numbers from 0 to vocabulary - 1, or leave the encoder's vocabulary out for vectors";
        return Err(Error::invalid("word ids", "some are negative or no whole numbers", remedy));
    }
    Ok(ids)
}

impl Transformer {
    /// `input` is `[T, C]`, or `[T]` where there is a vocabulary.
    ///
    /// # Errors
    /// If the input has another shape.
    pub fn new(
        build: &mut Build,
        prefix: &str,
        modality: usize,
        input: &[usize],
        config: &TransformerConfig,
    ) -> Result<Self> {
        let (width, part) = (config.width, Part::Encoder { modality, depth: 0 });
        let role = Role { part, kind: Kind::Embedding };
        let embed = |build: &mut Build, name: &str, shape: &[usize]| {
            build.param(&format!("{prefix}.embeddings.{name}"), role, shape, INIT, (width, width))
        };
        let (tokens, positions) = match (config.vocabulary, input) {
            (Some(words), [1..=POSITIONS]) => {
                let table = embed(build, "word_embeddings.weight", &[words, width])?;
                let types = embed(build, "token_type_embeddings.weight", &[2, width])?;
                (Tokens::Words { table, types }, POSITIONS)
            }
            (None, [length, channels]) if length * channels > 0 => {
                let class = embed(build, "cls_token", &[1, 1, width])?;
                let projection = dense(build, &format!("{prefix}.embeddings.projection"), part, (*channels, width))?;
                (Tokens::Vectors { class, projection }, length + 1)
            }
            (Some(_), _) => return Err(Error::shape(prefix, input, format!("[T] of ids, at most {POSITIONS}"))),
            (None, _) => return Err(Error::shape(prefix, input, "[T, C], or [T] of ids and a vocabulary")),
        };
        let position = embed(build, "position_embeddings.weight", &[positions, width])?;
        let norm = build.layer_norm(&format!("{prefix}.embeddings.LayerNorm"), part, width)?;
        let blocks = config.shape().build(build, prefix, modality, Style::Bert)?;
        Ok(Self { modality, tokens, position, norm, blocks, config: config.clone() })
    }

    /// Tokens `[B, tokens, width]` with their positions, and which of them may be attended to `[B, 1, 1, tokens]`.
    fn embed(&self, x: &Tensor, pass: &Pass<'_>) -> Result<(Tensor, Tensor)> {
        let (tokens, seen) = match &self.tokens {
            Tokens::Words { table, types } => {
                let words = aim_ops::embedding(&ids(x)?, &pass.weight(table))?;
                (words.broadcast_add(&pass.weight(types).narrow(0, 0, 1)?)?, x.ne(0f32)?)
            }
            Tokens::Vectors { class, projection } => {
                let vectors = projection.forward(x, pass)?;
                let (batch, _, width) = vectors.dims3()?;
                let class = pass.weight(class).broadcast_as((batch, 1, width))?;
                let seen = x.detach().abs()?.sum(2)?.ne(0f32)?;
                let first = Tensor::ones((batch, 1), DType::U8, x.device())?;
                (Tensor::cat(&[class, vectors], 1)?, Tensor::cat(&[first, seen], 1)?)
            }
        };
        let count = tokens.dim(1)?;
        let tokens = tokens.broadcast_add(&pass.weight(&self.position).narrow(0, 0, count)?)?;
        let tokens = dropout(self.norm.forward(&tokens, pass)?, self.config.dropout, &self.position.name, pass)?;
        let first = Tensor::from_iter((0..count).map(|i| u8::from(i == 0)), x.device())?;
        Ok((tokens, seen.broadcast_maximum(&first)?.reshape(((), 1, 1, count))?))
    }
}

impl Encoder for Transformer {
    fn forward(&self, x: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let (mut h, seen) = self.embed(x, pass)?;
        let pool = Pool::Token { frames: 1 };
        for (depth, layers) in self.blocks.iter().enumerate() {
            for layer in layers {
                h = layer.forward(&h, Some(&seen), pass)?;
            }
            h = pass.visit(Site::Stage { modality: self.modality, depth }, h, pool)?;
        }
        pool.apply(&h)
    }
    fn depth(&self) -> usize {
        self.blocks.len()
    }
    fn width(&self) -> usize {
        self.config.width
    }
}

#[cfg(test)]
mod tests {
    use aim_core::Params;
    use candle_core::Device;

    use super::*;
    use crate::reference::{NAME, Reference, Rows, added, check, enlarge, random, values};

    fn config(vocabulary: Option<usize>) -> TransformerConfig {
        TransformerConfig { vocabulary, width: 6, layers: 2, heads: 2, blocks: 2, dropout: 0., lora: None }
    }

    fn encoder(input: &[usize], vocabulary: Option<usize>) -> (Transformer, Params) {
        let mut build = Build::new(0, &Device::Cpu);
        let encoder = Transformer::new(&mut build, NAME, 0, input, &config(vocabulary)).unwrap();
        let params = build.finish();
        enlarge(&params);
        (encoder, params)
    }

    fn rows(table: &[f64]) -> Rows {
        table.chunks(6).map(<[f64]>::to_vec).collect()
    }

    /// The first token behind embeddings, norm and layers.
    fn feature(reference: &Reference, tokens: &Rows, seen: &[bool]) -> Vec<f64> {
        let positions = rows(reference.weight("embeddings.position_embeddings.weight"));
        let tokens = reference.layer_norm("embeddings.LayerNorm", &added(tokens, &positions));
        reference.layers(tokens, seen).swap_remove(0)
    }

    #[test]
    fn vectors_become_the_features_of_plain_loops() {
        let (encoder, params) = encoder(&[4, 3], None);
        let padding = Tensor::new(&[[[1f32], [1.], [1.], [1.]], [[1.], [1.], [0.], [0.]]], &Device::Cpu).unwrap();
        let x = random(&[2, 4, 3], "batch").broadcast_mul(&padding).unwrap();
        check(&encoder, &params, (config(None).shape(), Style::Bert), &x, |reference, sample| {
            let vectors: Rows = sample.chunks(3).map(<[f64]>::to_vec).collect();
            let mut tokens = vec![reference.weight("embeddings.cls_token").to_vec()];
            tokens.extend(reference.linear("embeddings.projection", &vectors));
            let is_seen = |v: &Vec<f64>| v.iter().any(|x| *x != 0.);
            let seen: Vec<bool> = std::iter::once(true).chain(vectors.iter().map(is_seen)).collect();
            feature(reference, &tokens, &seen)
        });
    }

    #[test]
    fn words_become_the_features_of_plain_loops() {
        let (encoder, params) = encoder(&[4], Some(5));
        let x = Tensor::new(&[[3f32, 1., 4., 2.], [2., 4., 0., 0.]], &Device::Cpu).unwrap();
        check(&encoder, &params, (config(Some(5)).shape(), Style::Bert), &x, |reference, ids| {
            let table = rows(reference.weight("embeddings.word_embeddings.weight"));
            let kind = rows(reference.weight("embeddings.token_type_embeddings.weight"));
            let words = ids.iter().map(|id| table[*id as usize].clone()).collect();
            let seen: Vec<bool> = ids.iter().map(|id| *id != 0.).collect();
            feature(reference, &added(&words, &vec![kind[0].clone(); ids.len()]), &seen)
        });
    }

    #[test]
    fn padding_changes_nothing() {
        let (short, _) = encoder(&[2], Some(5));
        let (long, _) = encoder(&[4], Some(5));
        let feature = |encoder: &Transformer, ids: &[f32]| {
            let x = Tensor::new(ids, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
            values(&encoder.forward(&x, &mut Pass::eval()).unwrap())
        };
        for (a, b) in feature(&short, &[3., 4.]).iter().zip(feature(&long, &[3., 4., 0., 0.])) {
            assert!((a - b).abs() < 1e-6, "{a} and {b}");
        }
        assert!(feature(&long, &[0.; 4]).iter().all(|x| x.is_finite()));
    }

    #[test]
    fn names_are_those_of_the_checkpoints() {
        let (_, params) = encoder(&[4], Some(5));
        let mut want = vec![];
        for name in ["word_embeddings", "token_type_embeddings", "position_embeddings", "LayerNorm"] {
            want.push(format!("{NAME}.embeddings.{name}.weight"));
        }
        want.push(format!("{NAME}.embeddings.LayerNorm.bias"));
        for layer in 0..2 {
            for name in ["self.query", "self.key", "self.value", "output.dense", "output.LayerNorm"] {
                want.extend(["weight", "bias"].map(|k| format!("{NAME}.encoder.layer.{layer}.attention.{name}.{k}")));
            }
            for name in ["intermediate.dense", "output.dense", "output.LayerNorm"] {
                want.extend(["weight", "bias"].map(|k| format!("{NAME}.encoder.layer.{layer}.{name}.{k}")));
            }
        }
        want.sort();
        assert_eq!(params.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>(), want);
        let depth = |name: &str| params.get(&format!("{NAME}.{name}")).unwrap().role.part;
        assert_eq!(depth("encoder.layer.1.output.dense.bias"), Part::Encoder { modality: 0, depth: 1 });
        assert_eq!(depth("embeddings.word_embeddings.weight"), Part::Encoder { modality: 0, depth: 0 });
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let build = |input: &[usize], words| {
            let error = Transformer::new(&mut Build::new(0, &Device::Cpu), NAME, 0, input, &config(words)).err();
            error.unwrap().to_string()
        };
        assert!(build(&[4], None).contains("vocabulary"));
        assert!(build(&[4, 3], Some(5)).contains("of ids") && build(&[513], Some(5)).contains("512"));
        let (encoder, _) = encoder(&[2], Some(5));
        let unknown = Tensor::new(&[[3f32, 5.]], &Device::Cpu).unwrap();
        assert!(encoder.forward(&unknown, &mut Pass::eval()).unwrap_err().to_string().contains("out of range"));
        assert!(config(Some(0)).check("model.encoders.text").unwrap_err().to_string().contains("vocabulary"));
    }
}
