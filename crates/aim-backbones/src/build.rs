//! Where parameters come from: names, roles and initial values, each keyed by (seed, name).

use aim_config::{at_least, by_type, choice, free, settings};
use aim_core::{Context, Error, Handle, Kind, Params, Part, Result, Rng, Role, elements};
use candle_core::{DType, Device, Tensor};

use crate::layers::{Adapter, BatchNorm, Conv, Conv1d, LayerNorm, Linear};

/// How a weight starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Uniform in [-b, b) with b = 1 / sqrt(fan in): PyTorch's default for linear and convolution layers.
    Uniform,
    /// Normal with variance 2 / fan out (He et al. 2015): torchvision's choice for ResNet.
    HeFanOut,
    /// Normal with this standard deviation.
    Normal(f64),
    /// Every value the same.
    Constant(f64),
}

/// Collects the parameters of a network while its layers are made.
///
/// ```
/// use aim_backbones::Build;
/// use aim_core::Part;
/// let mut build = Build::new(0, &candle_core::Device::Cpu);
/// build.linear("head", Part::Head { modality: None }, 8, 3, true)?;
/// assert_eq!(build.finish().count(), 8 * 3 + 3);
/// # Ok::<(), aim_core::Error>(())
/// ```
pub struct Build {
    seed: u64,
    device: Device,
    params: Params,
    low_rank: Option<LowRank>,
    /// Number of layers that have a low-rank addition.
    additions: usize,
    frozen: Vec<usize>,
    /// Whether the next layer maps to queries or values.
    projection: bool,
}

settings! {
    /// Low-rank additions to an encoder's linear and convolution layers (LoRA, Hu et al. 2022): `W + scale B A`.
    pub struct LowRank {
        /// Rank of the addition.
        pub rank: usize = 0 => at_least(1).required(), "ours";
        /// Factor on it (alpha / rank).
        pub scale: f64 = 1. => free(), "ours";
        /// Layers that have one.
        pub targets: Targets = Targets::All => by_type(), "ours";
        /// First block whose layers have one.
        pub first_block: usize = 0 => at_least(0), "ours";
    }
}

settings! {
    /// Blocks of an encoder that are not trained: their weights cost no gradient and no optimizer state, and their
    /// norms use running statistics. Low-rank additions to them are trained.
    pub struct Freeze {
        /// The blocks, counted from the input.
        pub depth: Vec<usize> = Vec::new() => at_least(0).required(), "ours";
    }
}

choice! {
    /// Layers that have a low-rank addition.
    pub enum Targets {
        /// All linear maps and convolutions.
        All = "all",
        /// The maps of attention to queries and values (Hu et al. 2022).
        Attention = "attention",
    }
}

impl Targets {
    pub(crate) fn are_all(self) -> bool {
        self == Self::All
    }
}

impl LowRank {
    /// Additions of that rank to all layers.
    pub fn of(rank: usize) -> Self {
        Self { rank, scale: 1., targets: Targets::All, first_block: 0 }
    }

    fn reaches(&self, depth: usize, projection: bool) -> bool {
        depth >= self.first_block && (projection || self.targets.are_all())
    }
}

impl Build {
    /// An empty network whose initial values depend on `seed` and each parameter's name alone.
    pub fn new(seed: u64, device: &Device) -> Self {
        let params = Params::differentiated_by(aim_ops::backward);
        Self { seed, device: device.clone(), params, low_rank: None, additions: 0, frozen: vec![], projection: false }
    }

    /// Gives the encoder layers made from now on low-rank additions, or none.
    pub fn set_low_rank(&mut self, low_rank: Option<&LowRank>) {
        self.low_rank = low_rank.cloned();
    }

    /// The encoder that `make` gives; `place` names it in messages.
    ///
    /// # Errors
    /// Those of `make`, and low-rank additions that were [asked for](Self::set_low_rank) and reach no layer of it.
    pub fn with_additions<T>(&mut self, place: &str, make: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = self.additions;
        let made = make(self)?;
        if self.low_rank.is_some() && self.additions == before {
            let remedy = "leave `lora` out, or choose `targets` and a `first_block` that it has layers of";
            return Err(Error::invalid(place, "has no layer that a low-rank addition reaches", remedy));
        }
        Ok(made)
    }

    /// Makes the weights of these blocks of encoders frozen ones from now on, or none.
    pub fn set_frozen(&mut self, freeze: Option<&Freeze>) {
        self.frozen = freeze.map_or_else(Vec::new, |freeze| freeze.depth.clone());
    }

    /// `A [rank k, in k]` and `B [out k, rank k]` (zeros) for an encoder layer with kernels of side k, as in loralib;
    /// `None` where [`set_low_rank`](Self::set_low_rank) does not reach it.
    ///
    /// # Errors
    /// If the names `<name>.lora_a` and `.lora_b` are taken.
    pub fn adapter(&mut self, name: &str, part: Part, io: (usize, usize), kernel: usize) -> Result<Option<Adapter>> {
        let (Part::Encoder { modality, depth }, Some(low_rank)) = (part, &self.low_rank) else { return Ok(None) };
        let LowRank { rank, scale, .. } = *low_rank;
        if !low_rank.reaches(depth, self.projection) {
            return Ok(None);
        }
        let role = Role { part: Part::Adapter { modality, depth }, kind: Kind::Linear };
        let (rank, input, output) = (rank * kernel, io.0 * kernel, io.1 * kernel);
        let a = self.param(&format!("{name}.lora_a"), role, &[rank, input], Init::Uniform, (input, rank))?;
        let b = self.param(&format!("{name}.lora_b"), role, &[output, rank], Init::Constant(0.), (rank, output))?;
        self.additions += 1;
        Ok(Some(Adapter { a, b, scale }))
    }

    /// The parameters made so far.
    pub fn finish(self) -> Params {
        self.params
    }

    /// The generator of a parameter's initial values.
    pub fn rng(&self, name: &str) -> Rng {
        Rng::keyed(self.seed, name)
    }

    /// The device that holds the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A parameter with these initial values; a frozen weight in a block that is [frozen](Self::set_frozen).
    ///
    /// # Errors
    /// If the name is taken.
    pub fn add(&mut self, name: &str, role: Role, value: &Tensor) -> Result<Handle> {
        match role.part {
            Part::Encoder { depth, .. } if self.frozen.contains(&depth) => self.params.add_frozen(name, value),
            _ => self.params.add(name, role, value),
        }
    }

    /// A parameter of any shape; `fan` is (in, out).
    ///
    /// # Errors
    /// If the name is taken.
    pub fn param(
        &mut self,
        name: &str,
        role: Role,
        shape: &[usize],
        init: Init,
        fan: (usize, usize),
    ) -> Result<Handle> {
        elements(shape).at(|| name.to_owned())?;
        let mut rng = self.rng(name);
        let value = match init {
            Init::Uniform => rng.uniform_tensor(shape, 1. / (fan.0.max(1) as f64).sqrt(), &self.device)?,
            Init::HeFanOut => rng.normal_tensor(shape, (2. / fan.1.max(1) as f64).sqrt(), &self.device)?,
            Init::Normal(std) => rng.normal_tensor(shape, std, &self.device)?,
            Init::Constant(c) => Tensor::full(c as f32, shape, &self.device)?,
        };
        self.add(name, role, &value)
    }

    /// A buffer: saved and loaded, never trained.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn buffer(&mut self, name: &str, value: &Tensor) -> Result<Handle> {
        self.params.add_buffer(name, &value.to_device(&self.device)?)
    }

    /// A linear layer `[out, in]`.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn linear(&mut self, name: &str, part: Part, input: usize, output: usize, bias: bool) -> Result<Linear> {
        self.linear_from(name, part, (input, output), Init::Uniform, bias.then_some(Init::Uniform))
    }

    /// A linear layer `[out, in]` whose weight, and bias if it has one, start in a given way.
    pub(crate) fn linear_from(
        &mut self,
        name: &str,
        part: Part,
        io: (usize, usize),
        weight: Init,
        bias: Option<Init>,
    ) -> Result<Linear> {
        let role = Role { part, kind: Kind::Linear };
        let weight = self.param(&format!("{name}.weight"), role, &[io.1, io.0], weight, io)?;
        let bias = bias.map(|init| self.bias(name, part, io, init)).transpose()?;
        Ok(Linear { weight, bias, adapter: self.adapter(name, part, io, 1)? })
    }

    /// The result of `layer`, whose layers count as maps of attention to queries or values.
    pub fn projection<T>(&mut self, layer: impl FnOnce(&mut Self) -> T) -> T {
        self.projection = true;
        let made = layer(self);
        self.projection = false;
        made
    }

    /// A linear layer `[out, in]` with bias that starts at 0.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn zero_linear(&mut self, name: &str, part: Part, input: usize, output: usize) -> Result<Linear> {
        self.linear_from(name, part, (input, output), Init::Constant(0.), Some(Init::Constant(0.)))
    }

    /// A linear layer `[out, in]` whose weight starts with variance 2 / (in + out) (Glorot & Bengio 2010), and whose
    /// bias at 0.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn glorot_linear(&mut self, name: &str, part: Part, input: usize, output: usize) -> Result<Linear> {
        let spread = (2. / (input + output).max(1) as f64).sqrt();
        self.linear_from(name, part, (input, output), Init::Normal(spread), Some(Init::Constant(0.)))
    }

    pub(crate) fn bias(&mut self, name: &str, part: Part, io: (usize, usize), init: Init) -> Result<Handle> {
        self.param(&format!("{name}.bias"), Role { part, kind: Kind::Bias }, &[io.1], init, io)
    }

    /// A square 2-D convolution `[out, in, k, k]` without bias.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn conv2d(&mut self, name: &str, part: Part, io: (usize, usize), size: ConvSize, init: Init) -> Result<Conv> {
        let area = size.kernel * size.kernel;
        let shape = [io.1, io.0, size.kernel, size.kernel];
        let role = Role { part, kind: Kind::Conv };
        let weight = self.param(&format!("{name}.weight"), role, &shape, init, (io.0 * area, io.1 * area))?;
        let adapter = self.adapter(name, part, io, size.kernel)?;
        Ok(Conv { weight, adapter, bias: None, stride: size.stride, padding: size.padding })
    }

    /// A square 2-D convolution with a bias that starts at 0.
    pub(crate) fn conv2d_bias(
        &mut self,
        name: &str,
        part: Part,
        io: (usize, usize),
        size: ConvSize,
        init: Init,
    ) -> Result<Conv> {
        let bias = Some(self.bias(name, part, io, Init::Constant(0.))?);
        Ok(Conv { bias, ..self.conv2d(name, part, io, size, init)? })
    }

    /// A 1-D convolution `[out, in, k]` without bias; its low-rank addition is `A [rank, in k]` and `B [out, rank]`.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn conv1d(&mut self, name: &str, part: Part, io: (usize, usize), size: ConvSize) -> Result<Conv1d> {
        let shape = [io.1, io.0, size.kernel];
        let role = Role { part, kind: Kind::Conv };
        let fan = (io.0 * size.kernel, io.1 * size.kernel);
        let weight = self.param(&format!("{name}.weight"), role, &shape, Init::Uniform, fan)?;
        // It is a linear layer over windows of `in k` values. Sides of k in both A and B, as in two dimensions, would
        // make k times as many.
        let adapter = self.adapter(name, part, (fan.0, io.1), 1)?;
        Ok(Conv1d { weight, adapter, stride: size.stride, padding: size.padding })
    }

    /// Batch normalisation over `width` channels with running statistics.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn batch_norm(&mut self, name: &str, part: Part, width: usize) -> Result<BatchNorm> {
        let (weight, bias) = self.scale_and_shift(name, part, width)?;
        let zeros = Tensor::zeros(width, DType::F32, &self.device)?;
        let running_mean = self.params.add_buffer(&format!("{name}.running_mean"), &zeros)?;
        let running_var = self.params.add_buffer(&format!("{name}.running_var"), &zeros.ones_like()?)?;
        Ok(BatchNorm { weight, bias, running_mean, running_var })
    }

    /// Normalisation over a last dimension of `width`.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn layer_norm(&mut self, name: &str, part: Part, width: usize) -> Result<LayerNorm> {
        let (weight, bias) = self.scale_and_shift(name, part, width)?;
        Ok(LayerNorm { weight, bias, eps: 1e-12 })
    }

    /// A norm's weight of ones and bias of zeros.
    fn scale_and_shift(&mut self, name: &str, part: Part, width: usize) -> Result<(Handle, Handle)> {
        let role = Role { part, kind: Kind::Norm };
        let mut vector =
            |kind, value| self.param(&format!("{name}.{kind}"), role, &[width], Init::Constant(value), (1, 1));
        Ok((vector("weight", 1.)?, vector("bias", 0.)?))
    }
}

/// Kernel, stride and padding of a convolution, the same in every dimension.
#[derive(Clone, Copy, Debug)]
pub struct ConvSize {
    /// Side of the kernel.
    pub kernel: usize,
    /// Step between positions.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
}
