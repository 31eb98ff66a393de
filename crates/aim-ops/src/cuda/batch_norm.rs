//! Batch normalisation whose channels are split over blocks: two launches forward, two back. Noise by a tensor's
//! spread, which is summed in the same way.

use candle_core::{Result, Tensor};

use super::launch::{
    Arg::{self, Bits, Float, In, Int, Maybe, MaybeOut, Out},
    Buffer, Grid, launch,
};

/// Most elements of a channel for one block, and most blocks for one channel. The emulator's few elements are split as
/// well.
const STRETCH: usize = if cfg!(test) { 24 } else { 4096 };
const MOST_PARTS: usize = 256;

/// A batch normalisation of `x [batch, channels, plane]`, besides its operands.
#[derive(Clone, Copy)]
pub(super) struct Split {
    batch: usize,
    channels: usize,
    plane: usize,
    /// Blocks for each channel.
    parts: usize,
    eps: f64,
    rectify: usize,
}

impl Split {
    /// `None` where lengths do not fit the kernels' 32 bits.
    pub(super) fn new([batch, channels, plane]: [usize; 3], eps: f64, rectify: usize) -> Option<Self> {
        u32::try_from(batch * plane).ok()?;
        let parts = (batch * plane).div_ceil(STRETCH).min(MOST_PARTS);
        Some(Self { batch, channels, plane, parts, eps, rectify })
    }

    fn grid(self) -> Grid {
        Grid::Blocks(self.channels * self.parts)
    }

    fn lengths(self) -> [Arg<'static>; 4] {
        [self.parts, self.batch, self.channels, self.plane].map(Int)
    }

    /// Two numbers for each block.
    fn pairs(self, near: &Tensor) -> Result<Buffer> {
        Buffer::new(near, 2 * self.channels * self.parts, near.dtype())
    }

    /// Mean and sum of squared deviations of each stretch.
    pub(super) fn moments(self, x: &Tensor) -> Result<Tensor> {
        let mut moments = self.pairs(x)?;
        let args = [In(x), Out(&mut moments)].into_iter().chain(self.lengths());
        launch(x.device(), "batch_moments_parts", self.grid(), args)?;
        moments.tensor()
    }

    /// The result. With `moments`, `mean` and `var` are written; without, they are read.
    pub(super) fn value(
        self,
        [x, gamma, beta]: [&Tensor; 3],
        moments: Option<&Tensor>,
        [mean, var]: [Arg<'_>; 2],
        residual: Option<&Tensor>,
    ) -> Result<Buffer> {
        let mut y = Buffer::like(x)?;
        let operands = [In(x), Maybe(moments), mean, var, In(gamma), In(beta), Maybe(residual), Out(&mut y)];
        let settings = [Float(self.eps), Int(self.rectify)];
        launch(
            x.device(),
            "batch_norm_parts",
            self.grid(),
            operands.into_iter().chain(settings).chain(self.lengths()),
        )?;
        Ok(y)
    }

    /// Gradients of `x`, gamma, beta and, if asked for, the residual; `own` says that the moments are the batch's.
    pub(super) fn gradients(
        self,
        [x, gamma, y, dy]: [&Tensor; 4],
        [mean, var]: [&Tensor; 2],
        own: bool,
        with_residual: bool,
    ) -> Result<([Tensor; 3], Option<Tensor>)> {
        let mut shares = self.pairs(x)?;
        let operands = [In(x), In(y), In(dy), In(mean), In(var), Out(&mut shares), Float(self.eps), Int(self.rectify)];
        let args = operands.into_iter().chain(self.lengths());
        launch(x.device(), "batch_norm_params_parts", self.grid(), args)?;
        let (shares, mut of_x) = (shares.tensor()?, Buffer::like(x)?);
        let (mut of_gamma, mut of_beta) = (Buffer::like(gamma)?, Buffer::like(gamma)?);
        let mut of_residual = with_residual.then(|| Buffer::like(x)).transpose()?;
        let operands = [In(x), In(y), In(dy), In(mean), In(var), In(gamma), In(&shares)];
        let results = [Out(&mut of_gamma), Out(&mut of_beta), Out(&mut of_x), MaybeOut(of_residual.as_mut())];
        let settings = [Float(self.eps), Int(self.rectify), Int(own.into())];
        let args = operands.into_iter().chain(results).chain(settings).chain(self.lengths());
        launch(x.device(), "batch_norm_back_parts", self.grid(), args)?;
        Ok(([of_x.tensor()?, of_gamma.tensor()?, of_beta.tensor()?], of_residual.map(Buffer::tensor).transpose()?))
    }
}

/// See [`crate::noisy_by_spread`]; `None` for an `x` that is too long for the kernels.
pub(crate) fn noisy_by_spread(x: &Tensor, scale: f32, floor: f32, key: u64) -> Result<Option<Tensor>> {
    let (x, n) = (&x.contiguous()?, x.elem_count());
    let Some(split) = Split::new([1, 1, n], 0., 0) else { return Ok(None) };
    let (moments, mut y) = (split.moments(x)?, Buffer::like(x)?);
    let settings = [Float(scale.into()), Float(floor.into()), Bits(key), Int(split.parts), Int(n)];
    launch(x.device(), "noisy_parts", split.grid(), [In(x), In(&moments), Out(&mut y)].into_iter().chain(settings))?;
    y.tensor().map(Some)
}
