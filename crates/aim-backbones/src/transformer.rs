//! Transformer over sequences (Devlin et al. 2019) with the names of Hugging Face's BERT. Its layers form blocks of
//! depth of equal size; the embeddings belong to the first block. Dropout on attention's weights is left out.

use aim_config::{above, at_least, below, by_type, choice, settings, whole};
use aim_core::{
    Capabilities, Encoder, Error, Flow, Handle, Input, Kind, Part, Pass, Pool, Result, Role, Site, Staged, capability,
    through,
};
use candle_core::{DType, Tensor};

use crate::{
    Build, EncoderInfo, EncoderSettings, Freeze, LayerNorm, Linear, LowRank, Tensors, Weights,
    attention::{INIT, Layer, Shape, Style, dense, dropout, layers},
    config::{check_frozen, check_low_rank, given, token_capabilities, with_lora, with_weights},
    names::{Layout as Names, rename},
};

choice! {
    /// How the vectors of a sequence lie in a sample.
    pub enum Layout {
        /// A row a step: `[T, C]`.
        TimeFirst = "time-first",
        /// A row a channel, as `cnn` and `sequence` read it: `[C, T]`.
        ChannelsFirst = "channels-first",
    }
}

choice! {
    /// Whose tables of positions and types words have.
    pub enum Family {
        /// BERT's, MiniLM's: 512 positions, 2 types.
        Bert = "bert",
        /// RoBERTa's: 512 positions behind 2 that stand for padding, 1 type.
        Roberta = "roberta",
        /// DistilBERT's: 512 positions, no types.
        DistilBert = "distilbert",
    }
}

impl Family {
    /// Rows of the table of positions before the first token's, and number of types.
    fn sizes(self) -> (usize, usize) {
        match self {
            Self::Bert => (0, 2),
            Self::Roberta => (2, 1),
            Self::DistilBert => (0, 0),
        }
    }

    /// The id of padding in the vocabulary.
    fn padding(self) -> f32 {
        match self {
            Self::Bert | Self::DistilBert => 0.,
            Self::Roberta => 1.,
        }
    }
}

choice! {
    /// What of the last layer is a sequence's feature.
    pub enum SequenceFeature {
        /// The first token.
        First = "first",
        /// The mean of the tokens that are no padding (Reimers & Gurevych 2019).
        Mean = "mean",
    }
}

settings! {
    /// Settings of the encoder `transformer`; the defaults are BERT-Mini's.
    pub struct TransformerConfig {
        /// Words that ids can name; without it the input is a sequence of vectors.
        pub vocabulary: Option<usize> = None => at_least(1), "ours";
        /// Tables of words' positions and types: BERT's and MiniLM's | RoBERTa's | DistilBERT's.
        pub family: Family = Family::Bert => by_type(), "paper";
        /// How vectors lie in a sample; to be said where there is no vocabulary, because either way would train.
        pub layout: Option<Layout> = None => by_type().shown("none"), "ours";
        /// Width of a token.
        pub width: usize = 256 => at_least(1), "paper (Mini)";
        /// Number of layers.
        pub layers: usize = 4 => whole(1, 1000), "paper (Mini)";
        /// Attention heads of a layer.
        pub heads: usize = 4 => whole(1, 1000), "paper (Mini)";
        /// Blocks of depth that the layers form.
        pub blocks: usize = 4 => whole(1, 1000), "ours";
        /// Probability that dropout zeroes a value, behind the embeddings, attention and the linear maps.
        pub dropout: f64 = 0.1 => below(0., 1.), "paper";
        /// Feature: the first token | the mean of all that are no padding. What methods read between blocks is the
        /// first.
        pub feature: SequenceFeature = SequenceFeature::First => by_type(), "paper";
        /// Constant beside the variance in norms.
        pub eps: f64 = 1e-12 => above(0.), "released (Hugging Face)";
        /// Low-rank additions to its layers.
        pub lora: Option<LowRank> = None => by_type().shown("none"), "ours";
        /// Public weights that it starts from.
        pub weights: Option<Weights> = None => by_type().shown("none"), "ours";
        /// Blocks that are not trained.
        pub freeze: Option<Freeze> = None => by_type().shown("none"), "ours";
    }
}

static INFO: EncoderInfo = EncoderInfo {
    name: "transformer",
    about: "transformer over a sequence with the names of Hugging Face's BERT; its layers form 4 blocks",
    input: "[T, C] or [C, T] vectors by `layout` (zeros are padding), or [T] ids below `vocabulary` (0 is padding, \
            RoBERTa's is 1)",
};

impl EncoderSettings for TransformerConfig {
    fn info(&self) -> &'static EncoderInfo {
        &INFO
    }

    fn build(&self, build: &mut Build, name: &str, modality: usize, input: &[usize]) -> Result<Box<dyn Encoder>> {
        let prefix = format!("encoders.{name}");
        let made = build.with_additions(&prefix, |build| Transformer::new(build, &prefix, modality, input, self))?;
        Ok(Box::new(made))
    }

    fn capabilities(&self) -> Capabilities {
        given(offers(), self.low_rank())
    }

    fn check(&self, place: &str) -> Result<()> {
        self.shape().check(place)?;
        check_frozen(self.freeze.as_ref(), self.blocks, place)?;
        check_low_rank(self.lora.as_ref(), self.blocks, true, place)
    }

    fn translate(&self, tensors: Tensors, _: &[usize]) -> Result<Tensors> {
        // The first BERT's norms have the names of its paper.
        let modern = |name: String| {
            let end = name.strip_suffix(".gamma").map(|norm| format!("{norm}.weight"));
            end.or_else(|| name.strip_suffix(".beta").map(|norm| format!("{norm}.bias"))).unwrap_or(name)
        };
        Ok(rename(tensors, &[DISTILBERT]).into_iter().map(|(name, tensor)| (modern(name), tensor)).collect())
    }

    fn feature_width(&self) -> Option<usize> {
        Some(self.width)
    }

    with_lora!(TransformerConfig);
    with_weights!();
}

/// DistilBERT's layers.
const DISTILBERT: Names = Names {
    layers: "transformer.layer",
    inner: &[
        ("attention.q_lin", "attention.self.query"),
        ("attention.k_lin", "attention.self.key"),
        ("attention.v_lin", "attention.self.value"),
        ("attention.out_lin", "attention.output.dense"),
        ("sa_layer_norm", "attention.output.LayerNorm"),
        ("ffn.lin1", "intermediate.dense"),
        ("ffn.lin2", "output.dense"),
        ("output_layer_norm", "output.LayerNorm"),
    ],
    outer: &[],
};

fn offers() -> Capabilities {
    token_capabilities().with(&[capability::UNPOOLED])
}

impl TransformerConfig {
    fn shape(&self) -> Shape {
        let Self { width, layers, heads, blocks, dropout, eps, .. } = *self;
        Shape { width, heads, layers, blocks, dropout, eps }
    }
}

/// How the input becomes tokens.
enum Tokens {
    /// Ids of words, the first of which stands for the text; the family's padding counts where no valid positions are
    /// told. Or words that are embedded already, `[B, T, width]`, of which none is padding.
    Words { table: Handle, types: Option<Handle> },
    /// Vectors behind a class token; a vector of zeros is padding where no valid positions are told.
    Vectors { class: Handle, projection: Linear, layout: Layout },
}

/// The encoder: the feature is the first token behind the last layer, or the mean of those that are no padding. Nobody
/// attends to padding. Unpooled, the feature is all words or vectors without the class token, zeros for padding; the
/// first word stands for the text and always counts.
pub struct Transformer {
    modality: usize,
    /// Words or vectors of a sample.
    length: usize,
    unpooled: bool,
    tokens: Tokens,
    position: Handle,
    norm: LayerNorm,
    blocks: Vec<Vec<Layer>>,
    config: TransformerConfig,
}

/// Positions in the checkpoints' table.
const POSITIONS: usize = 512;

/// Word ids of numbers, which must be whole and those of so many words; looked at where that stops no device.
fn ids(x: &Tensor, words: usize) -> Result<Tensor> {
    let ids = x.to_dtype(DType::U32)?;
    if !x.device().is_cpu() {
        return Ok(ids);
    }
    if ids.to_dtype(x.dtype())?.ne(x)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()? > 0. {
        let remedy = "give whole numbers from 0 to vocabulary - 1, or leave the encoder's vocabulary out for vectors";
        return Err(Error::invalid("word ids", "some are negative or no whole numbers", remedy));
    }
    let largest = ids.flatten_all()?.max(0)?.to_scalar::<u32>()?;
    if largest as usize >= words {
        let problem = format!("{largest} is none of a vocabulary of {words}");
        let remedy = "raise the encoder's `vocabulary`, or lower `at_most` of the data's text";
        return Err(Error::invalid("word ids", problem, remedy));
    }
    Ok(ids)
}

impl Transformer {
    /// `input` is `[T, C]` or `[C, T]`, or `[T]` where there is a vocabulary.
    ///
    /// # Errors
    /// If the input has another shape, or nothing says which axis of vectors is time.
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
        let (tokens, length, positions) = match (config.vocabulary, input) {
            (Some(words), [length @ 1..=POSITIONS]) => {
                let table = embed(build, "word_embeddings.weight", &[words, width])?;
                let (offset, types) = config.family.sizes();
                let mut types_of = |types| embed(build, "token_type_embeddings.weight", &[types, width]);
                let types = (types > 0).then(|| types_of(types)).transpose()?;
                (Tokens::Words { table, types }, *length, offset + POSITIONS)
            }
            (None, [a, b]) if a * b > 0 => {
                let (length, channels, layout) = match config.layout {
                    Some(layout @ Layout::TimeFirst) => (a, b, layout),
                    Some(layout @ Layout::ChannelsFirst) => (b, a, layout),
                    None => {
                        let problem = format!("samples of shape [{a}, {b}] may be {a} steps or {a} channels");
                        let remedy = "say layout: time-first for [T, C], or channels-first for [C, T]";
                        return Err(Error::invalid(prefix, problem, remedy));
                    }
                };
                let class = embed(build, "cls_token", &[1, 1, width])?;
                let projection = dense(build, &format!("{prefix}.embeddings.projection"), part, (*channels, width))?;
                (Tokens::Vectors { class, projection, layout }, *length, length + 1)
            }
            (Some(_), _) => return Err(Error::shape(prefix, input, format!("[T] of ids, at most {POSITIONS}"))),
            (None, _) => return Err(Error::shape(prefix, input, "[T, C], or [T] of ids and a vocabulary")),
        };
        let position = embed(build, "position_embeddings.weight", &[positions, width])?;
        let norm = build.layer_norm(&format!("{prefix}.embeddings.LayerNorm"), part, width)?.eps(config.eps);
        let blocks = config.shape().build(build, prefix, modality, Style::Bert)?;
        Ok(Self { modality, length, unpooled: false, tokens, position, norm, blocks, config: config.clone() })
    }

    /// Tokens `[B, tokens, width]` with their positions, and which of them may be attended to `[B, tokens]`.
    fn embed(&self, input: &Input, pass: &Pass<'_>) -> Result<(Tensor, Tensor)> {
        let turned = match &self.tokens {
            Tokens::Vectors { layout: Layout::ChannelsFirst, .. } => Some(input.values.transpose(1, 2)?.contiguous()?),
            _ => None,
        };
        let x = turned.as_ref().unwrap_or(&input.values);
        let told = input.valid_of(x.dim(1)?)?.map(|valid| valid.ne(0f32)).transpose()?;
        let (tokens, seen) = match &self.tokens {
            Tokens::Words { table, types } => {
                let embedded = x.rank() == 3;
                let words = if embedded {
                    x.clone()
                } else {
                    let table = pass.weight(table);
                    aim_ops::embedding(&ids(x, table.dim(0)?)?, &table)?
                };
                let typed = |types: &Handle| words.broadcast_add(&pass.weight(types).narrow(0, 0, 1)?);
                let padding = || match embedded {
                    true => Tensor::ones((x.dim(0)?, x.dim(1)?), DType::U8, x.device()),
                    false => x.ne(self.config.family.padding()),
                };
                let seen = told.map_or_else(padding, Ok)?;
                (types.as_ref().map_or(Ok(words.clone()), typed)?, seen)
            }
            Tokens::Vectors { class, projection, .. } => {
                let vectors = projection.forward(x, pass)?;
                let (batch, _, width) = vectors.dims3()?;
                let class = pass.weight(class).broadcast_as((batch, 1, width))?;
                let seen = told.map_or_else(|| x.detach().abs()?.sum(2)?.ne(0f32), Ok)?;
                let first = Tensor::ones((batch, 1), DType::U8, x.device())?;
                (Tensor::cat(&[class, vectors], 1)?, Tensor::cat(&[first, seen], 1)?)
            }
        };
        let count = tokens.dim(1)?;
        let offset = if self.config.vocabulary.is_some() { self.config.family.sizes().0 } else { 0 };
        let tokens = tokens.broadcast_add(&pass.weight(&self.position).narrow(0, offset, count)?)?;
        let tokens = dropout(self.norm.forward(&tokens, pass)?, self.config.dropout, &self.position.name, pass)?;
        let first = Tensor::from_iter((0..count).map(|i| u8::from(i == 0)), x.device())?;
        Ok((tokens, seen.broadcast_maximum(&first)?))
    }

    /// Words or vectors, zeros for padding, `[B, length * width]`.
    fn side_by_side(&self, flow: &Flow) -> Result<Tensor> {
        let mut h = flow.values.clone();
        if let Some(seen) = &flow.seen {
            h = h.broadcast_mul(&seen.to_dtype(h.dtype())?.unsqueeze(2)?)?;
        }
        // The class token, where there is one, is none of them.
        Ok(h.narrow(1, h.dim(1)? - self.length, self.length)?.contiguous()?.reshape(((), self.width()))?)
    }
}

/// The mean of the tokens `[B, tokens, width]` that may be attended to, `[B, tokens]`.
fn mean(tokens: &Tensor, seen: &Tensor) -> Result<Tensor> {
    let seen = seen.to_dtype(tokens.dtype())?.unsqueeze(1)?;
    Ok(seen.broadcast_div(&seen.sum_keepdim(2)?)?.matmul(tokens)?.squeeze(1)?)
}

impl Encoder for Transformer {
    fn capabilities(&self) -> Capabilities {
        offers()
    }
    fn learnable(&self, input: &[usize]) -> Vec<usize> {
        match &self.tokens {
            Tokens::Words { .. } => [input, &[self.config.width]].concat(),
            Tokens::Vectors { .. } => input.to_vec(),
        }
    }
    fn forward(&self, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor> {
        through(self, x, pass)
    }
    fn staged(&self) -> Option<&dyn Staged> {
        Some(self)
    }
    fn depth(&self) -> usize {
        self.blocks.len()
    }
    fn width(&self) -> usize {
        if self.unpooled { self.length * self.config.width } else { self.config.width }
    }
    fn unpool(&mut self) -> Option<usize> {
        self.unpooled = true;
        Some(self.length)
    }
}

impl Staged for Transformer {
    fn begin(&self, x: &Input, pass: &mut Pass<'_>) -> Result<Flow> {
        let (h, seen) = self.embed(x, pass)?;
        Ok(Flow { seen: Some(seen), ..Flow::new(h, Pool::Token { frames: 1 }) })
    }
    fn block(&self, depth: usize, flow: Flow, pass: &mut Pass<'_>) -> Result<Flow> {
        let mut flow = layers(&self.blocks[depth], flow, pass)?;
        flow.values = pass.visit(Site::Stage { modality: self.modality, depth }, flow.values, flow.pool)?;
        Ok(flow)
    }
    fn finish(&self, flow: Flow, _: &mut Pass<'_>) -> Result<Tensor> {
        if self.unpooled {
            return self.side_by_side(&flow);
        }
        match (self.config.feature, &flow.seen) {
            (SequenceFeature::Mean, Some(seen)) => mean(&flow.values, seen),
            _ => flow.pool.apply(&flow.values),
        }
    }
    fn channels(&self, _: usize) -> usize {
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
        let layout = Some(Layout::TimeFirst);
        TransformerConfig {
            vocabulary,
            layout,
            width: 6,
            layers: 2,
            heads: 2,
            blocks: 2,
            dropout: 0.,
            ..TransformerConfig::default()
        }
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
    fn embedded_words_are_words() {
        let (encoder, params) = encoder(&[3], Some(5));
        let ids = Tensor::new(&[[3f32, 1., 4.], [2., 4., 1.]], &Device::Cpu).unwrap();
        let table = params.get(&format!("{NAME}.embeddings.word_embeddings.weight")).unwrap().var.as_tensor();
        let rows = table.index_select(&ids.to_dtype(DType::U32).unwrap().flatten_all().unwrap(), 0).unwrap();
        assert_eq!(encoder.learnable(&[3]), [3, 6]);
        let embedded = candle_core::Var::from_tensor(&rows.reshape((2, 3, 6)).unwrap()).unwrap();
        let feature = |x: Tensor| encoder.forward(&x.into(), &mut Pass::eval()).unwrap();
        let learnt = feature(embedded.as_tensor().clone());
        assert_eq!(values(&learnt), values(&feature(ids)));
        let gradient = learnt.sum_all().unwrap().backward().unwrap().get(&embedded).unwrap().clone();
        assert!(values(&gradient).iter().any(|g| *g != 0.), "it can be learnt");
    }

    #[test]
    fn padding_changes_nothing() {
        let (short, _) = encoder(&[2], Some(5));
        let (long, _) = encoder(&[4], Some(5));
        let feature = |encoder: &Transformer, ids: &[f32]| {
            let x = Tensor::new(ids, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
            values(&encoder.forward(&x.into(), &mut Pass::eval()).unwrap())
        };
        for (a, b) in feature(&short, &[3., 4.]).iter().zip(feature(&long, &[3., 4., 0., 0.])) {
            assert!((a - b).abs() < 1e-6, "{a} and {b}");
        }
        assert!(feature(&long, &[0.; 4]).iter().all(|x| x.is_finite()));
    }

    #[test]
    fn without_a_mask_the_padding_of_the_family_is_left_out() {
        let valid = || Tensor::new(&[[1f32, 1., 0., 0.]], &Device::Cpu).unwrap();
        for (family, padding) in [(Family::Bert, 0f32), (Family::DistilBert, 0.), (Family::Roberta, 1.)] {
            let config = TransformerConfig { family, ..config(Some(5)) };
            let mut build = Build::new(0, &Device::Cpu);
            let encoder = Transformer::new(&mut build, NAME, 0, &[4], &config).unwrap();
            enlarge(&build.finish());
            let feature = |input: Input| values(&encoder.forward(&input, &mut Pass::eval()).unwrap());
            let ids = |last: f32| Tensor::new(&[[3f32, 2., last, last]], &Device::Cpu).unwrap();
            let told = |last| feature(Input::padded(ids(last), valid()).unwrap());
            assert_eq!(feature(ids(padding).into()), told(padding), "{family:?}");
            assert_ne!(feature(ids(1. - padding).into()), told(1. - padding), "{family:?}");
        }
    }

    #[test]
    fn positions_that_are_not_valid_change_nothing_whatever_stands_there() {
        let valid = || Tensor::new(&[[1f32, 1., 0., 0.]], &Device::Cpu).unwrap();
        let of = |values: Tensor, valid| Input::padded(values, valid).unwrap();
        let same = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        // Words: the second real one is the id 0, which without a mask would be padding.
        let ids = |ids: &[f32]| Tensor::new(ids, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let feature = |length: usize, input: Input| {
            values(&encoder(&[length], Some(5)).0.forward(&input, &mut Pass::eval()).unwrap())
        };
        let both = feature(2, of(ids(&[3., 0.]), Tensor::ones((1, 2), DType::U8, &Device::Cpu).unwrap()));
        assert!(same(&both, &feature(4, of(ids(&[3., 0., 4., 1.]), valid()))));
        assert!(!same(&both, &feature(2, ids(&[3., 0.]).into())), "without a mask the word 0 is left out");
        // Vectors: the second real one is zeros. The table of positions is as long as the input, so its first rows are
        // copied.
        let vectors = |rows: &[[f32; 3]]| Tensor::from_vec(rows.concat(), (1, rows.len(), 3), &Device::Cpu).unwrap();
        let (short, few) = encoder(&[2, 3], None);
        let (long, many) = encoder(&[4, 3], None);
        let positions =
            |params: &Params| params.get(&format!("{NAME}.embeddings.position_embeddings.weight")).unwrap().var.clone();
        positions(&few).set(&positions(&many).narrow(0, 0, 3).unwrap().contiguous().unwrap()).unwrap();
        let ones = Tensor::ones((1, 2), DType::F32, &Device::Cpu).unwrap();
        let real = [[1., -1., 2.], [0., 0., 0.]];
        let want = values(&short.forward(&of(vectors(&real), ones), &mut Pass::eval()).unwrap());
        let padded = vectors(&[real[0], real[1], [5., 5., 5.], [0., 0., 0.]]);
        assert!(same(&want, &values(&long.forward(&of(padded.clone(), valid()), &mut Pass::eval()).unwrap())));
        assert!(!same(&want, &values(&long.forward(&padded.into(), &mut Pass::eval()).unwrap())));
        let wrong = of(vectors(&real), valid());
        assert!(short.forward(&wrong, &mut Pass::eval()).unwrap_err().to_string().contains("valid positions"));
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
    fn channels_first_are_read_as_the_same_steps() {
        let (time_first, _) = encoder(&[3, 2], None);
        let mut build = Build::new(0, &Device::Cpu);
        let turned = TransformerConfig { layout: Some(Layout::ChannelsFirst), ..config(None) };
        let channels_first = Transformer::new(&mut build, NAME, 0, &[2, 3], &turned).unwrap();
        enlarge(&build.finish());
        let x = Tensor::new(&[[[1f32, -2.], [0.5, 3.], [0., 0.]]], &Device::Cpu).unwrap();
        let across = x.transpose(1, 2).unwrap().contiguous().unwrap();
        let feature =
            |encoder: &Transformer, x: Tensor| values(&encoder.forward(&x.into(), &mut Pass::eval()).unwrap());
        assert_eq!(feature(&time_first, x), feature(&channels_first, across));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let build = |input: &[usize], words| {
            let error = Transformer::new(&mut Build::new(0, &Device::Cpu), NAME, 0, input, &config(words)).err();
            error.unwrap().to_string()
        };
        assert!(build(&[4], None).contains("vocabulary"));
        let untold = TransformerConfig { layout: None, ..config(None) };
        let error = Transformer::new(&mut Build::new(0, &Device::Cpu), NAME, 0, &[6, 100], &untold).err().unwrap();
        assert!(error.to_string().contains("[6, 100] may be 6 steps or 6 channels; say layout"), "{error}");
        assert!(build(&[4, 3], Some(5)).contains("of ids") && build(&[513], Some(5)).contains("512"));
        let (encoder, _) = encoder(&[2], Some(5));
        let unknown = Tensor::new(&[[3f32, 5.]], &Device::Cpu).unwrap();
        assert!(
            encoder
                .forward(&unknown.into(), &mut Pass::eval())
                .unwrap_err()
                .to_string()
                .contains("5 is none of a vocabulary of 5")
        );
        let section = crate::encoder(config(Some(0))).section();
        let refused = crate::builtin().read(&section, "model.encoders.text").err().unwrap().to_string();
        assert!(refused.contains("vocabulary"), "{refused}");
    }
}
