//! 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3): a quarter of the multiplications.
//!
//! Tiles of the input are transformed for a group of them at a time, so that the transformed values stay in the cache;
//! then each block of output channels transforms its weights, multiplies at the 36 points and transforms back. The
//! error is about ten times the direct way's: at most 2e-5 of the largest output for values in
//! [-1, 1) and up to 512 channels (a test says so).

use std::{array::from_fn, ops::Range};

use super::{
    gemm::{self, Size, Source, Way, cut},
    kernel::{self, Isa, KC},
    matrix::{Destination, Matrix, matmul_into},
    par,
    planes::{Frame, Planes, Windows},
    scratch,
    shared::{Shared, filled},
    tiles::{self, POINTS, REACH, SIDE, Transform},
    transpose::transpose,
    vectors::{self, MOST, Vector, Work},
};

/// A convolution with kernels of 3x3, stride 1 and no groups.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Winograd {
    pub(crate) batch: usize,
    /// Channels of the input and of the output.
    pub(crate) channels: [usize; 2],
    pub(crate) image: [usize; 2],
    pub(crate) padding: [usize; 2],
}

/// Weights for (output, input) channels: the first element of a kernel is at `output * steps[0] + input * steps[1]`.
#[derive(Clone, Copy)]
pub(crate) struct Kernels<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) steps: [usize; 2],
    /// Whether to turn kernels by half a turn.
    pub(crate) turned: bool,
}

/// Transformed tiles times channels that are worked on at once: 36 values each of them fit the last cache.
const GROUP: usize = 1 << 15;

/// Most output channels of a task.
const ROWS: usize = 24;

/// Distance between the values for two points that `n` of each lie between: never a multiple of a cache's ways, or the
/// values of one tile for all points would fight for the same places there.
fn apart(n: usize) -> usize {
    n.next_multiple_of(16) + 16
}

/// Where a tile's outputs belong in the first channel, and how much of it is inside the image.
struct Place {
    first: usize,
    rows: usize,
    cols: usize,
}

impl Winograd {
    /// Whether this takes less time than multiplying directly, counted in multiplications: the transforms of a tile of
    /// a channel take as long as `TILE` of a vector's, those of a kernel as long as `KERNEL`, memory included. AMX, by
    /// which the products here are not done, halves the direct way's.
    pub(crate) fn pays(&self) -> bool {
        const TILE: usize = 200;
        const KERNEL: usize = 100;
        let (isa, [inputs, outputs], [height, width]) = (kernel::isa(), self.channels, self.output());
        let direct = 9 * self.batch * height * width * inputs * outputs;
        let products = POINTS * self.tiles() * inputs * outputs;
        let transforms = KERNEL * inputs * outputs + TILE * self.tiles() * (inputs + outputs);
        products + isa.lanes * transforms < if Way::new(isa, 9 * inputs, outputs).amx { direct / 2 } else { direct }
    }

    fn output(&self) -> [usize; 2] {
        from_fn(|i| self.image[i] + 2 * self.padding[i] - 2)
    }

    /// The convolution that gives the gradient of the input from that of the output, with turned kernels.
    pub(crate) fn adjoint(&self) -> Self {
        let [inputs, outputs] = self.channels;
        Self { channels: [outputs, inputs], image: self.output(), padding: self.padding.map(|p| 2 - p), ..*self }
    }

    /// Tiles in each direction.
    fn grid(&self) -> [usize; 2] {
        self.output().map(|n| n.div_ceil(SIDE))
    }

    fn tiles(&self) -> usize {
        self.batch * self.grid()[0] * self.grid()[1]
    }

    /// The inputs' tiles of every channel, as the windows of a convolution of stride 4.
    fn planes<'a>(&self, x: &'a [f32]) -> Planes<'a> {
        let before = self.padding.map(|p| p as isize);
        Planes::new(x, Frame { image: self.image, before, size: self.grid().map(|n| n * SIDE + 2) }, SIDE)
    }

    /// Tiles of `side` squared values, `SIDE` apart.
    fn windows<'a>(&self, planes: &'a Planes<'_>, channels: usize, side: usize) -> Windows<'a> {
        let taps: Vec<[usize; 2]> = (0..side * side).map(|i| [i / side, i % side]).collect();
        Windows::new(planes, 0..channels, channels, &taps, self.grid(), SIDE)
    }

    fn place(&self, tile: usize) -> Place {
        let ([height, width], [down, across]) = (self.output(), self.grid());
        let (b, r, c) = (tile / (down * across), tile / across % down * SIDE, tile % across * SIDE);
        let first = b * self.channels[1] * height * width + r * width + c;
        Place { first, rows: SIDE.min(height - r), cols: SIDE.min(width - c) }
    }

    /// The output `[B, O, H', W']`.
    pub(crate) fn forward(&self, x: &[f32], kernels: Kernels<'_>, bias: Option<&[f32]>) -> Vec<f32> {
        self.forward_with(kernel::isa(), x, kernels, bias)
    }

    /// As [`forward`](Self::forward), by the kernels of one instruction set.
    pub(crate) fn forward_with(&self, isa: &Isa, x: &[f32], kernels: Kernels<'_>, bias: Option<&[f32]>) -> Vec<f32> {
        let [inputs, outputs] = self.channels;
        let planes = self.planes(x);
        let windows = self.windows(&planes, inputs, REACH);
        let groups = cut(self.tiles(), (self.tiles() * inputs).div_ceil(GROUP), 2 * isa.lanes);
        let most = groups.clone().map(|g| padded(isa, g.len())).max().unwrap_or(0);
        let fill = |out: Shared<'_>| {
            scratch::with([POINTS * apart(inputs * most)], |[points]| {
                for group in groups.clone() {
                    let stride = padded(isa, group.len());
                    let step = apart(inputs * stride);
                    let points = &mut points[..POINTS * step];
                    let index = |c, t| gemm::packed(isa, [inputs, stride], [c, t]);
                    let out_points = (Shared::new(points), step);
                    transform(isa, &windows, inputs, &group, tiles::Input, index, out_points);
                    let parts = outputs.div_ceil(ROWS).next_multiple_of(par::threads());
                    let tasks: Vec<_> = cut(outputs, parts, 1).collect();
                    let places: Vec<Place> = group.map(|t| self.place(t)).collect();
                    par::each(tasks.len(), |i| {
                        let task = Task { isa, inputs, rows: tasks[i].clone(), stride };
                        task.run(points, kernels, |sums| {
                            let (conv, task, places) = (self, &task, places.as_slice());
                            vectors::work(isa.lanes, Store { conv, task, places, sums, bias, out });
                        });
                    });
                }
            });
        };
        let [height, width] = self.output();
        // SAFETY: the tiles of all groups and channels are the whole output.
        unsafe { filled(self.batch * outputs * height * width, fill) }
    }

    /// The gradient of the weights `[O, C, 3, 3]` from that of the output:
    /// `G' (sum over tiles (A dy A') * (B' d B)) G`.
    pub(crate) fn weight_gradient(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let ([inputs, outputs], isa) = (self.channels, kernel::isa());
        let planes = self.planes(x);
        let frame = Frame { image: self.output(), before: [0, 0], size: self.grid().map(|n| n * SIDE) };
        let dy_planes = Planes::new(dy, frame, SIDE);
        let (left, right) = (self.windows(&dy_planes, outputs, SIDE), self.windows(&planes, inputs, REACH));
        let groups = cut(self.tiles(), (self.tiles() * (inputs + outputs)).div_ceil(2 * GROUP), MOST);
        let most = groups.clone().map(|g| padded(isa, g.len())).max().unwrap_or(0);
        let lengths = [POINTS * apart(outputs * most), POINTS * apart(inputs * most), POINTS * apart(outputs * inputs)];
        scratch::with(lengths, |[a, b, sums]| {
            for group in groups {
                let stride = padded(isa, group.len());
                let index = |c, t| c * stride + t;
                transform(
                    isa,
                    &left,
                    outputs,
                    &group,
                    tiles::OutputGradient,
                    index,
                    (Shared::new(a), apart(outputs * stride)),
                );
                let b_points = (Shared::new(b), apart(inputs * stride));
                transform(isa, &right, inputs, &group, tiles::Input, index, b_points);
                let size = Size { m: outputs, n: inputs, k: group.len() };
                let (a, b, first, sums) = (&*a, &*b, group.start == 0, Shared::new(sums));
                par::each(POINTS, |p| {
                    let a = Matrix::rows(&a[p * apart(outputs * stride)..], stride);
                    let b = Matrix::rows(&b[p * apart(inputs * stride)..], stride).t();
                    // SAFETY: points do not overlap.
                    let sums = unsafe { sums.part(p * apart(outputs * inputs), outputs * inputs) };
                    matmul_into(size, a, b, 1., !first, &mut Destination::rows(sums, inputs));
                });
            }
            kernels_from_points(sums, self.channels)
        })
    }
}

/// Transforms the products `[point, channel, tile]` of some channels back and puts the outputs where they belong.
struct Store<'a> {
    conv: &'a Winograd,
    task: &'a Task<'a>,
    places: &'a [Place],
    sums: &'a [f32],
    bias: Option<&'a [f32]>,
    out: Shared<'a>,
}

impl Work for Store<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { conv, task, places, sums, bias, out } = self;
        let [height, width] = conv.output();
        let (rows, stride) = (&task.rows, task.stride);
        let step = apart(rows.len() * stride);
        // Written whole for every few tiles; cleared once.
        let (mut y, mut pixels) = ([[0f32; MOST]; SIDE * SIDE], [[0f32; SIDE * SIDE]; MOST]);
        for (r, channel) in rows.clone().enumerate() {
            let bias = V::splat(bias.map_or(0., |b| b[channel]));
            for (i, places) in places.chunks(V::LANES).enumerate() {
                let from = &sums[r * stride + i * V::LANES..];
                let mut points = [[V::ZERO; REACH]; REACH];
                for (p, point) in points.as_flattened_mut().iter_mut().enumerate() {
                    *point = V::load(&from[p * step..]);
                }
                for (values, v) in y.iter_mut().zip(tiles::Output.both(points).as_flattened()) {
                    (*v + bias).store(values);
                }
                let (from, to) = (y.as_flattened(), pixels.as_flattened_mut());
                transpose(from, [1, MOST], [V::LANES, SIDE * SIDE], to, SIDE * SIDE);
                for (place, pixels) in places.iter().zip(&pixels) {
                    for (row, pixels) in pixels.chunks_exact(SIDE).take(place.rows).enumerate() {
                        let at = place.first + channel * height * width + row * width;
                        // SAFETY: tiles do not overlap, and a channel is one task's.
                        let to = unsafe { out.part(at, place.cols) };
                        match to.first_chunk_mut::<SIDE>() {
                            Some(to) => to.copy_from_slice(pixels),
                            None => to.copy_from_slice(&pixels[..place.cols]),
                        }
                    }
                }
            }
        }
    }
}

/// Columns that tiles take: whole vectors.
fn padded(isa: &Isa, tiles: usize) -> usize {
    tiles.next_multiple_of(vectors::width(isa.lanes))
}

/// Transforms a group of tiles of some channels by `f`; the values for the first point are put where `index` says for
/// (channel, tile), those of the other points `step` further each.
fn transform<const I: usize>(
    isa: &Isa,
    windows: &Windows<'_>,
    channels: usize,
    group: &Range<usize>,
    f: impl Transform<I, REACH> + Send,
    index: impl Fn(usize, usize) -> usize + Sync + Send,
    (out, step): (Shared<'_>, usize),
) {
    let stride = padded(isa, group.len());
    par::runs(channels, POINTS * stride, |run| {
        scratch::with([I * I * stride + 2 * gemm::SLACK], |[tiles]| {
            for c in run {
                windows.fill(c * I * I..(c + 1) * I * I, group.clone(), tiles, stride);
                let index = |t| index(c, t);
                vectors::work(isa.lanes, Channel { tiles, stride, f, index, out, step });
            }
        });
    });
}

/// Transforms one channel's tiles.
struct Channel<'a, const I: usize, F, X> {
    tiles: &'a [f32],
    stride: usize,
    f: F,
    index: X,
    out: Shared<'a>,
    step: usize,
}

impl<const I: usize, F: Transform<I, REACH>, X: Fn(usize) -> usize> Work for Channel<'_, I, F, X> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { tiles, stride, f, index, out, step } = self;
        for t in (0..stride).step_by(V::LANES) {
            let mut tile = [[V::ZERO; I]; I];
            for (i, v) in tile.as_flattened_mut().iter_mut().enumerate() {
                *v = V::load(&tiles[i * stride + t..]);
            }
            let at = index(t);
            for (p, point) in f.both(tile).as_flattened().iter().enumerate() {
                // SAFETY: the elements of points, channels and tiles do not overlap.
                point.store(unsafe { out.part(p * step + at, V::LANES) });
            }
        }
    }
}

/// Some output channels of a group of tiles.
struct Task<'a> {
    isa: &'a Isa,
    inputs: usize,
    rows: Range<usize>,
    stride: usize,
}

impl Task<'_> {
    /// Computes the products `[point, channel, tile]` and hands them to `store`.
    fn run(&self, points: &[f32], kernels: Kernels<'_>, store: impl FnOnce(&[f32])) {
        let Self { isa, inputs, ref rows, stride } = *self;
        let width = inputs.next_multiple_of(vectors::width(isa.lanes));
        let (left_step, step) = (apart(rows.len() * width), apart(rows.len() * stride));
        scratch::with([POINTS * left_step, POINTS * step], |[weights, sums]| {
            let sums = &mut sums[..POINTS * step];
            vectors::work(isa.lanes, TransformKernels { task: self, kernels, out: weights, width });
            for p in 0..POINTS {
                let right = &points[p * apart(inputs * stride)..][..inputs * stride];
                let sums = &mut sums[p * step..][..rows.len() * stride];
                for ks in gemm::steps(0..inputs, KC) {
                    let left = (&weights[p * left_step + ks.start..], width);
                    gemm::multiply(isa, ks.len(), left, &right[ks.start * stride..], sums, stride, ks.start > 0);
                }
            }
            store(sums);
        });
    }
}

/// The kernels of these channels at every point: `[point, output, input]`, rows `width` apart.
struct TransformKernels<'a> {
    task: &'a Task<'a>,
    kernels: Kernels<'a>,
    out: &'a mut [f32],
    width: usize,
}

impl Work for TransformKernels<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { task, kernels, out, width } = self;
        let Task { inputs, ref rows, .. } = *task;
        let mut values = [[0f32; MOST]; 9];
        for (r, output) in rows.clone().enumerate() {
            for c in (0..inputs).step_by(V::LANES) {
                for lane in 0..V::LANES.min(inputs - c) {
                    let from = output * kernels.steps[0] + (c + lane) * kernels.steps[1];
                    let kernel = &kernels.values[from..][..9];
                    if kernels.turned {
                        values.iter_mut().zip(kernel.iter().rev()).for_each(|(to, v)| to[lane] = *v);
                    } else {
                        values.iter_mut().zip(kernel).for_each(|(to, v)| to[lane] = *v);
                    }
                }
                let mut taps = [[V::ZERO; 3]; 3];
                for (tap, values) in taps.as_flattened_mut().iter_mut().zip(&values) {
                    *tap = V::load(values);
                }
                for (p, point) in tiles::Kernel.both(taps).as_flattened().iter().enumerate() {
                    point.store(&mut out[p * apart(rows.len() * width) + r * width + c..]);
                }
            }
        }
    }
}

/// Transforms gradients `[point, output, input]` to those of kernels `[output, input, 3, 3]`.
fn kernels_from_points(points: &[f32], [inputs, outputs]: [usize; 2]) -> Vec<f32> {
    let fill = |out: Shared<'_>| {
        par::runs(outputs, POINTS * inputs, |run| {
            // SAFETY: runs do not overlap.
            let kernels = unsafe { out.part(run.start * inputs * 9, run.len() * inputs * 9) };
            let (points, step) = (&points[run.start * inputs..], apart(outputs * inputs));
            vectors::work(kernel::isa().lanes, TransformBack { points, step, kernels });
        });
    };
    // SAFETY: every kernel is written.
    unsafe { filled(outputs * inputs * 9, fill) }
}

/// Transforms what the points, `step` apart, say of consecutive kernels.
struct TransformBack<'a> {
    points: &'a [f32],
    step: usize,
    kernels: &'a mut [f32],
}

impl Work for TransformBack<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let mut taps = [[0f32; MOST]; 9];
        for (i, kernels) in self.kernels.chunks_mut(9 * V::LANES).enumerate() {
            let mut points = [[V::ZERO; REACH]; REACH];
            for (p, point) in points.as_flattened_mut().iter_mut().enumerate() {
                let from = &self.points[p * self.step + i * V::LANES..];
                *point = match from.first_chunk::<MOST>() {
                    Some(from) => V::load(from),
                    None => {
                        let mut rest = [0f32; MOST];
                        rest[..from.len()].copy_from_slice(from);
                        V::load(&rest)
                    }
                };
            }
            for (values, tap) in taps.iter_mut().zip(tiles::KernelGradient.both(points).as_flattened()) {
                tap.store(values);
            }
            for (lane, kernel) in kernels.chunks_exact_mut(9).enumerate() {
                kernel.iter_mut().zip(&taps).for_each(|(to, tap)| *to = tap[lane]);
            }
        }
    }
}
