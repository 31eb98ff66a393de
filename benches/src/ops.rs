//! Single operations, forward and backward, with the least work that they need.

use aim_core::{Result, Rng};
use aim_ops::{Act, Conv1d, Conv2d, Pool2d, Reduction, update};
use candle_core::{Device, Tensor, Var};

/// What an operation costs at least.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Multiplications and additions of the plain algorithm; one that needs fewer can exceed the machine's limit.
    Flops(f64),
    /// Bytes, if each operand and result moves once; what stays in a cache can exceed the limit of the memory.
    Bytes(f64),
}

type Run = Box<dyn Fn() -> candle_core::Result<()>>;

/// An operation on random data.
pub struct Case {
    /// Operation and shapes.
    pub name: String,
    /// Its work.
    pub work: Work,
    run: Run,
}

impl Case {
    /// Does it once.
    ///
    /// # Errors
    /// If a tensor operation fails.
    pub fn run(&self) -> Result<()> {
        Ok((self.run)()?)
    }
}

/// Every operation that is measured.
///
/// # Errors
/// If the data cannot be made.
pub fn cases() -> Result<Vec<Case>> {
    let mut cases = Cases::default();
    convolutions(&mut cases)?;
    products(&mut cases)?;
    pointwise(&mut cases)?;
    updates(&mut cases)?;
    Ok(cases.0)
}

#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    /// `f` on inputs of the given shapes, with the gradients of all of them.
    fn add<F>(&mut self, name: impl Into<String>, work: Work, shapes: &[&[usize]], f: F) -> Result<()>
    where
        F: Fn(&[Tensor]) -> candle_core::Result<Tensor> + 'static,
    {
        let vars = shapes.iter().map(|s| random(s)).collect::<Result<Vec<_>>>()?;
        let inputs: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let run = move || aim_ops::backward(&f(&inputs)?).map(drop);
        self.0.push(Case { name: name.into(), work, run: Box::new(run) });
        Ok(())
    }
}

fn random(shape: &[usize]) -> Result<Var> {
    Ok(Var::from_tensor(&Rng::keyed(0, "operand").uniform_tensor(shape, 1., &Device::Cpu)?)?)
}

/// A product of `[m, k]` and `[k, n]` and `backward` more of its size.
fn products_of(m: usize, n: usize, k: usize, backward: usize) -> Work {
    Work::Flops((2 * (1 + backward) * m * n * k) as f64)
}

/// `times` moves of a tensor of f32.
fn moves(times: usize, shape: &[usize]) -> Work {
    Work::Bytes((times * size_of::<f32>() * shape.iter().product::<usize>()) as f64)
}

/// Batch, channels, filters, height, width, kernel, stride.
const CONVOLUTIONS: [[usize; 7]; 9] = [
    [8, 64, 64, 56, 56, 3, 1],
    [8, 128, 128, 28, 28, 3, 1],
    [8, 256, 256, 14, 14, 3, 1],
    [8, 512, 512, 7, 7, 3, 1],
    [8, 64, 128, 56, 56, 3, 2],
    [8, 64, 128, 56, 56, 1, 2],
    [64, 6, 16, 26, 52, 3, 2],
    [64, 16, 32, 13, 26, 3, 2],
    [64, 32, 64, 7, 13, 3, 2],
];

fn convolutions(cases: &mut Cases) -> Result<()> {
    for [b, i, o, h, w, k, stride] in CONVOLUTIONS {
        let p = Conv2d { stride, padding: k / 2, ..Conv2d::default() };
        let work = products_of(o, b * h.div_ceil(stride) * w.div_ceil(stride), i * k * k, 2);
        let name = format!("conv2d {i}->{o} {k}x{k}/{stride} at {b}x{h}x{w}");
        cases.add(name, work, &[&[b, i, h, w], &[o, i, k, k]], move |t| aim_ops::conv2d(&t[0], &t[1], None, p))?;
    }
    let image = random(&[8, 3, 224, 224])?.as_detached_tensor();
    let p = Conv2d { stride: 2, padding: 3, ..Conv2d::default() };
    let work = products_of(64, 8 * 112 * 112, 3 * 49, 1);
    cases.add("conv2d 3->64 7x7/2 at 8x224x224, no input gradient", work, &[&[64, 3, 7, 7]], move |t| {
        aim_ops::conv2d(&image, &t[0], None, p)
    })?;
    let image = random(&[8, 3, 224, 224])?.as_detached_tensor();
    let p = Conv2d { stride: 16, ..Conv2d::default() };
    let work = products_of(192, 8 * 196, 3 * 256, 1);
    cases.add("conv2d 3->192 16x16/16 at 8x224x224, no input gradient", work, &[&[192, 3, 16, 16]], move |t| {
        aim_ops::conv2d(&image, &t[0], None, p)
    })?;
    let p = Conv1d { stride: 2, padding: 2, ..Conv1d::default() };
    cases.add(
        "conv1d 16->32 5/2 at 64x128",
        products_of(32, 64 * 64, 80, 2),
        &[&[64, 16, 128], &[32, 16, 5]],
        move |t| aim_ops::conv1d(&t[0], &t[1], None, p),
    )
}

/// Rows, inputs, outputs.
const LINEAR: [[usize; 3]; 5] =
    [[64, 256, 256], [1576, 192, 192], [1576, 192, 768], [1576, 768, 192], [2048, 2048, 2048]];

fn products(cases: &mut Cases) -> Result<()> {
    for [rows, i, o] in LINEAR {
        let shapes: [&[usize]; 3] = [&[rows, i], &[o, i], &[o]];
        cases.add(format!("linear {rows}x{i}->{o}"), products_of(rows, o, i, 2), &shapes, |t| {
            aim_ops::linear(&t[0], &t[1], Some(&t[2]))
        })?;
    }
    let (batch, heads, tokens, width) = (8, 3, 197, 64);
    let shape: &[usize] = &[batch, heads, tokens, width];
    // Two products forward; backward two for each of them, and the scores once more.
    let work = Work::Flops((14 * batch * heads * tokens * tokens * width) as f64);
    cases.add("attention 8x3x197x64", work, &[shape; 3], |t| aim_ops::attention(&t[0], &t[1], &t[2], None, 0.125))
}

fn pointwise(cases: &mut Cases) -> Result<()> {
    normalisations(cases)?;
    pools(cases)?;
    let image: &[usize] = &[8, 64, 56, 56];
    cases.add("relu 8x64x56x56", moves(5, image), &[image], |t| aim_ops::relu(&t[0]))?;
    let hidden: &[usize] = &[1576, 768];
    cases.add("gelu 1576x768", moves(5, hidden), &[hidden], |t| aim_ops::gelu(&t[0]))?;
    cases.add("dropout 1576x768", moves(4, hidden), &[hidden], |t| aim_ops::dropout(&t[0], 0.1, 0))?;
    let scores: &[usize] = &[512, 51];
    let labels = Tensor::from_iter((0..512u32).map(|i| i % 51), &Device::Cpu)?;
    cases.add("cross-entropy 512x51", moves(3, scores), &[scores], move |t| {
        aim_ops::cross_entropy(&t[0], &labels, 0., Reduction::Mean)
    })?;
    cases.add("log-softmax 512x51", moves(5, scores), &[scores], |t| aim_ops::log_softmax(&t[0]))?;
    let ids = Tensor::from_iter((0..4096u32).map(|i| i * 7 % 8000), &Device::Cpu)?;
    cases.add("embedding 8000x192, 4096 ids", moves(4, &[4096, 192]), &[&[8000, 192]], move |t| {
        aim_ops::embedding(&ids, &t[0])
    })
}

fn normalisations(cases: &mut Cases) -> Result<()> {
    let (image, channels): (&[usize], &[usize]) = (&[8, 64, 56, 56], &[64]);
    cases.add("batch norm 8x64x56x56", moves(5, image), &[image, channels, channels], |t| {
        Ok(aim_ops::batch_norm_train(&t[0], &t[1], &t[2], 1e-5, Act::None, None)?.0)
    })?;
    cases.add("batch norm + relu 8x64x56x56", moves(5, image), &[image, channels, channels], |t| {
        Ok(aim_ops::batch_norm_train(&t[0], &t[1], &t[2], 1e-5, Act::Relu, None)?.0)
    })?;
    cases.add(
        "batch norm + residual + relu 8x64x56x56",
        moves(8, image),
        &[image, channels, channels, image],
        |t| Ok(aim_ops::batch_norm_train(&t[0], &t[1], &t[2], 1e-5, Act::Relu, Some(&t[3]))?.0),
    )?;
    let (tokens, width): (&[usize], &[usize]) = (&[1576, 192], &[192]);
    cases.add("layer norm 1576x192", moves(5, tokens), &[tokens, width, width], |t| {
        aim_ops::layer_norm(&t[0], &t[1], &t[2], 1e-5)
    })
}

fn pools(cases: &mut Cases) -> Result<()> {
    let p = Pool2d { kernel: 3, stride: 2, padding: 1 };
    let image: &[usize] = &[8, 64, 112, 112];
    cases.add("max pool 3/2 at 8x64x112x112", moves(3, image), &[image], move |t| aim_ops::max_pool2d(&t[0], p))?;
    cases.add("average pool 3/2 at 8x64x112x112", moves(2, image), &[image], move |t| aim_ops::avg_pool2d(&t[0], p))?;
    let image: &[usize] = &[8, 512, 7, 7];
    cases.add("global average 8x512x7x7", moves(2, image), &[image], |t| aim_ops::global_avg_pool(&t[0]))
}

/// About as many values as a ResNet-18 has.
const PARAMETERS: &[usize] = &[11_000_000];

fn updates(cases: &mut Cases) -> Result<()> {
    let [weights, gradient, m, v] =
        [random(PARAMETERS)?, random(PARAMETERS)?, random(PARAMETERS)?, random(PARAMETERS)?];
    let (w, g, buffer) = (weights.clone(), gradient.clone(), m.clone());
    let sgd = update::Sgd { lr: 1e-3, momentum: 0.9, dampening: 0., weight_decay: 1e-4, nesterov: false };
    let run: Run = Box::new(move || update::sgd(&w, &g, Some(&buffer), false, sgd));
    cases.0.push(Case { name: "sgd, 11 M parameters".into(), work: moves(5, PARAMETERS), run });
    let adam = update::Adam { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0., decoupled: false };
    let run: Run =
        Box::new(move || update::adam(&weights, &gradient, update::Moments { m: &m, v: &v, v_max: None }, 10, adam));
    cases.0.push(Case { name: "adam, 11 M parameters".into(), work: moves(7, PARAMETERS), run });
    Ok(())
}
