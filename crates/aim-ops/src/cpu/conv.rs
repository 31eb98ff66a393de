//! Convolution as three matrix products over windows that are gathered on the fly.
//!
//! Forward: weights times windows of the input. Gradient of the input: turned weights times windows of the output's
//! gradient, once for each remainder of the pixel's position modulo the stride. Gradient of the weights: windows times
//! the output's gradient. No matrix of windows is ever stored. Where it pays, kernels of 3x3 take Winograd's way
//! instead.

use super::{
    gemm::{Block, Product, Size, product},
    matrix::Matrix,
    par,
    planes::{Frame, Pixels, Planes, Windows},
    reduce::sum,
    shared::{Shared, filled},
    simd::kernel,
    winograd::{Kernels, Winograd},
};

/// One spatial dimension of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Axis {
    pub(crate) input: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) dilation: usize,
}

/// The taps that reach the pixels `phase, phase + stride, ...` and where, in the output, the first of these pixels
/// finds them.
struct Phase {
    first: usize,
    count: usize,
    taps: Vec<(usize, isize)>,
}

impl Axis {
    pub(crate) fn output(self) -> usize {
        (self.input + 2 * self.padding - self.reach()) / self.stride + 1
    }

    /// Length of the input that one window covers.
    fn reach(self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// Length of the padded input that all windows cover.
    fn covered(self) -> usize {
        (self.output() - 1) * self.stride + self.reach()
    }

    fn phases(self) -> Vec<Phase> {
        let phase = |first: usize| {
            let reached = |tap: usize| {
                let distance = (first + self.padding) as isize - (tap * self.dilation) as isize;
                let stride = self.stride as isize;
                (distance % stride == 0).then_some((tap, distance / stride))
            };
            let count = (self.input - first).div_ceil(self.stride);
            Phase { first, count, taps: (0..self.kernel).filter_map(reached).collect() }
        };
        (0..self.stride.min(self.input)).map(phase).collect()
    }

    /// How many elements before the output's first, and how many in all, the phases read.
    fn frame(self) -> (isize, usize) {
        let phases = self.phases();
        let reads = || phases.iter().flat_map(|p| p.taps.iter().map(move |t| (t.1, t.1 + p.count as isize)));
        let first = reads().map(|r| r.0).min().unwrap_or(0);
        let end = reads().map(|r| r.1).max().unwrap_or(0);
        (-first, (end - first) as usize)
    }
}

/// The shapes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) batch: usize,
    /// Channels of the input and of the output.
    pub(crate) channels: [usize; 2],
    pub(crate) groups: usize,
    pub(crate) axes: [Axis; 2],
}

impl Shape {
    pub(super) fn output(&self) -> [usize; 2] {
        self.axes.map(Axis::output)
    }

    fn image(&self) -> [usize; 2] {
        self.axes.map(|a| a.input)
    }

    pub(super) fn taps(&self) -> usize {
        self.axes[0].kernel * self.axes[1].kernel
    }

    /// Input and output channels of a group.
    pub(super) fn group(&self) -> [usize; 2] {
        self.channels.map(|c| c / self.groups)
    }

    /// The same convolution by Winograd's algorithm, if there is such and it is faster.
    fn winograd(&self) -> Option<Winograd> {
        let fits = |a: Axis| a.kernel == 3 && a.stride == 1 && a.dilation == 1 && a.padding <= 2;
        let [image, padding] = [self.image(), self.axes.map(|a| a.padding)];
        let w = Winograd { batch: self.batch, channels: self.channels, image, padding };
        (self.groups == 1 && self.axes.into_iter().all(fits) && w.pays()).then_some(w)
    }

    /// The padded input.
    fn planes<'a>(&self, x: &'a [f32]) -> Planes<'a> {
        let before = self.axes.map(|a| a.padding as isize);
        Planes::new(x, Frame { image: self.image(), before, size: self.axes.map(Axis::covered) }, self.axes[1].stride)
    }

    /// The windows of the padded input that one group sees.
    fn windows<'a>(&self, planes: &'a Planes<'_>, group: usize) -> Windows<'a> {
        let [h, w] = self.axes;
        let taps = (0..h.kernel).flat_map(|u| (0..w.kernel).map(move |v| [u * h.dilation, v * w.dilation]));
        let [inputs, _] = self.group();
        let channels = group * inputs..(group + 1) * inputs;
        Windows::new(planes, channels, self.channels[0], &taps.collect::<Vec<_>>(), self.output(), h.stride)
    }
}

/// Where the elements of a product belong: in `[B, channels, height, width]`, row `r` in channel `first + r`, columns
/// on a grid of pixels.
struct Target<'a> {
    out: Shared<'a>,
    channels: usize,
    first: usize,
    size: [usize; 2],
    /// Number of pixels of the grid in each direction, and its corner and step.
    grid: [usize; 2],
    corner: [usize; 2],
    step: [usize; 2],
}

kernel! {
    /// Puts a block of a product where it belongs, and adds the bias of each row's channel.
    fn store(target: &Target<'_>, block: &Block<'_>, bias: Option<&[f32]>) {
        let plane = target.size[0] * target.size[1];
        let dense = target.step == [1, 1] && target.grid == target.size;
        let [height, width] = if dense { [1, plane] } else { target.grid };
        let first = block.cols.start;
        let first = (first / (height * width), first / width % height, first % width);
        for (r, values) in block.rows() {
            let bias = bias.map_or(0., |b| b[target.first + r]);
            let ((mut b, mut y, mut x), mut rest) = (first, values);
            while !rest.is_empty() {
                let (run, others) = rest.split_at((width - x).min(rest.len()));
                let from = (b * target.channels + target.first + r) * plane;
                let pixel = (y * target.step[0] + target.corner[0]) * target.size[1] + x * target.step[1] + target.corner[1];
                // SAFETY: no two elements of a product share a pixel, and rows of the grid do not interleave.
                let to = unsafe { target.out.part(from + pixel, (run.len() - 1) * target.step[1] + 1) };
                if target.step[1] == 1 {
                    to.iter_mut().zip(run).for_each(|(y, v)| *y = v + bias);
                } else {
                    to.iter_mut().step_by(target.step[1]).zip(run).for_each(|(y, v)| *y = v + bias);
                }
                (rest, x, y) = (others, 0, y + 1);
                if y == height {
                    (b, y) = (b + 1, 0);
                }
            }
        }
    }
}

/// The output `[B, O, H', W']`, and the padded input if one was made.
pub(super) fn forward(s: &Shape, x: &[f32], w: &[f32], bias: Option<&[f32]>) -> (Vec<f32>, Option<Planes<'static>>) {
    let (size, [inputs, outputs]) = (s.output(), s.group());
    let (plane, k) = (size[0] * size[1], inputs * s.taps());
    if let Some(fast) = s.winograd() {
        return (fast.forward(x, Kernels { values: w, steps: [k, 9], turned: false }, bias), None);
    }
    let planes = s.planes(x);
    let fill = |out: Shared<'_>| {
        for g in 0..s.groups {
            let weights = Matrix::rows(&w[g * outputs * k..][..outputs * k], k);
            let first = g * outputs;
            let target = Target { out, channels: s.channels[1], first, size, grid: size, corner: [0, 0], step: [1, 1] };
            let size = Size { m: outputs, n: s.batch * plane, k };
            product(size, &weights, &s.windows(&planes, g), |block| store(&target, &block, bias));
        }
    };
    // SAFETY: the blocks of the groups' products are the whole output.
    let y = unsafe { filled(s.batch * s.channels[1] * plane, fill) };
    (y, planes.made())
}

/// The weights of one group for some taps, as seen from the input: `[C, O * taps]`.
fn turned(s: &Shape, w: &[f32], group: usize, taps: &[usize]) -> Vec<f32> {
    let ([inputs, outputs], all) = (s.group(), s.taps());
    let width = outputs * taps.len();
    let w = &w[group * outputs * inputs * all..];
    let fill = |out: Shared<'_>| {
        par::runs(inputs, width, |run| {
            for c in run {
                // SAFETY: rows do not overlap.
                let row = unsafe { out.part(c * width, width) };
                for (o, to) in row.chunks_exact_mut(taps.len()).enumerate() {
                    let from = &w[(o * inputs + c) * all..][..all];
                    to.iter_mut().zip(taps).for_each(|(to, &tap)| *to = from[tap]);
                }
            }
        });
    };
    // SAFETY: every row is written.
    unsafe { filled(inputs * width, fill) }
}

/// The gradient of the input from that of the output.
pub(super) fn input_gradient(s: &Shape, w: &[f32], dy: &[f32]) -> Vec<f32> {
    let [inputs, outputs] = s.group();
    if let Some(fast) = s.winograd() {
        return fast.adjoint().forward(dy, Kernels { values: w, steps: [9, inputs * 9], turned: true }, None);
    }
    let frames = s.axes.map(Axis::frame);
    let frame = Frame { image: s.output(), before: frames.map(|f| f.0), size: frames.map(|f| f.1) };
    let planes = Planes::new(dy, frame, 1);
    let size = s.image();
    // Pixels that no window touches keep this zero.
    let mut dx = vec![0f32; s.batch * s.channels[0] * size[0] * size[1]];
    let out = Shared::new(&mut dx);
    let step = s.axes.map(|a| a.stride);
    let columns = s.axes[1].phases();
    for (y, x) in s.axes[0].phases().iter().flat_map(|y| columns.iter().map(move |x| (y, x))) {
        let pairs = || y.taps.iter().flat_map(|u| x.taps.iter().map(move |v| (u, v)));
        let taps: Vec<usize> = pairs().map(|(u, v)| u.0 * s.axes[1].kernel + v.0).collect();
        let at: Vec<[usize; 2]> =
            pairs().map(|(u, v)| [(u.1 + frames[0].0) as usize, (v.1 + frames[1].0) as usize]).collect();
        if taps.is_empty() {
            continue;
        }
        let grid = [y.count, x.count];
        for g in 0..s.groups {
            let weights = turned(s, w, g, &taps);
            let windows = Windows::new(&planes, g * outputs..(g + 1) * outputs, s.channels[1], &at, grid, 1);
            let target = Target {
                out,
                channels: s.channels[0],
                first: g * inputs,
                size,
                grid,
                corner: [y.first, x.first],
                step,
            };
            let k = outputs * taps.len();
            let size = Size { m: inputs, n: s.batch * grid[0] * grid[1], k };
            product(size, &Matrix::rows(&weights, k), &windows, |block| store(&target, &block, None));
        }
    }
    dx
}

/// The gradient of the weights `[O, C / groups, kh, kw]` from that of the output; `padded` is the padded input if it
/// was kept.
pub(super) fn weight_gradient(s: &Shape, x: &[f32], padded: Option<&Planes<'static>>, dy: &[f32]) -> Vec<f32> {
    let ([inputs, outputs], [height, width]) = (s.group(), s.output());
    let (plane, k) = (height * width, inputs * s.taps());
    if let Some(fast) = s.winograd() {
        return fast.weight_gradient(x, dy);
    }
    let made;
    let planes = match padded {
        Some(kept) => kept,
        None => {
            made = s.planes(x);
            &made
        }
    };
    let fill = |out: Shared<'_>| {
        for g in 0..s.groups {
            let pixels = Pixels { values: dy, first: g * outputs, channels: s.channels[1], plane };
            let size = Size { m: k, n: outputs, k: s.batch * plane };
            let to = (out, g * outputs, k);
            Product::new(size, &s.windows(planes, g), &pixels).run(|block| store_columns(&block, to));
        }
    };
    // SAFETY: the blocks of the groups' products are the whole gradient.
    unsafe { filled(s.channels[1] * k, fill) }
}

kernel! {
    /// Puts a block's columns into rows of `k` elements, from row `first` on.
    fn store_columns(block: &Block<'_>, to: (Shared<'_>, usize, usize)) {
        let (out, first, k) = to;
        block.columns(|o, column| {
            // SAFETY: blocks do not overlap.
            unsafe { out.part((first + o) * k + block.rows.start, column.len()) }.copy_from_slice(column);
        });
    }
}

/// The gradient of the bias: the sum of the output's over samples and pixels.
pub(super) fn bias_gradient(s: &Shape, dy: &[f32]) -> Vec<f32> {
    let [height, width] = s.output();
    let (plane, channels) = (height * width, s.channels[1]);
    let channel = |o| (0..s.batch).map(|b| sum(&dy[(b * channels + o) * plane..][..plane])).sum();
    (0..channels).map(channel).collect()
}
