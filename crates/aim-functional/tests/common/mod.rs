//! Small networks of plain candle layers, and a batch for them.
#![allow(dead_code, reason = "each test file uses some of it")]

use aim_backbones::Build;
use aim_core::{Batch, Draws, Encoder, Rng};
use aim_functional::{Functional, FunctionalBuilder, Roles};
use aim_fusion::{Branch, Concat, LateFusion, NetParts};
use candle_core::{DType, Device, Tensor};
use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, Linear, Module, ModuleT};

pub const DRAWS: Draws = Draws { seed: 0, epoch: 0, step: 0 };
pub const CLASSES: usize = 3;
/// Shape of one sound and of one image.
pub const SOUND: [usize; 1] = [5];
pub const IMAGE: [usize; 3] = [1, 8, 8];

pub fn random(shape: &[usize], name: &str) -> Tensor {
    Rng::keyed(0, name).normal_tensor(shape, 1., &Device::Cpu).unwrap()
}

pub fn values(x: &Tensor) -> Vec<f32> {
    x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Six samples of a sound and an image.
pub fn batch() -> Batch {
    let labels = Tensor::new(&[0u32, 1, 2, 2, 1, 0], &Device::Cpu).unwrap();
    Batch::new(vec![random(&[6, 5], "sound"), random(&[6, 1, 8, 8], "image")], labels).unwrap()
}

/// Two linear layers of candle's.
pub fn mlp() -> FunctionalBuilder<(Linear, Linear)> {
    Functional::builder(
        |vb| Ok((candle_nn::linear(5, 6, vb.pp("first"))?, candle_nn::linear(6, 4, vb.pp("second"))?)),
        |(first, second), x, ctx| {
            let h = ctx.block(first.forward(x)?.relu()?)?;
            ctx.block(second.forward(&h)?.relu()?)
        },
    )
    .roles(Roles::new().block(0, "first.*").block(1, "second.*"))
}

pub struct Cnn {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
}

/// Two convolutions with batch norm and max-pooling of candle's.
pub fn cnn() -> FunctionalBuilder<Cnn> {
    cnn_with(|x| x.max_pool2d(2))
}

/// The same with pooling whose gradient is right.
pub fn exact_cnn() -> FunctionalBuilder<Cnn> {
    cnn_with(|x| aim_ops::max_pool2d(x, aim_ops::Pool2d { kernel: 2, stride: 2, padding: 0 }))
}

fn cnn_with(pool: fn(&Tensor) -> candle_core::Result<Tensor>) -> FunctionalBuilder<Cnn> {
    Functional::builder(
        |vb| {
            let config = Conv2dConfig { padding: 1, ..Default::default() };
            Ok(Cnn {
                conv1: candle_nn::conv2d(1, 3, 3, config, vb.pp("conv1"))?,
                bn1: candle_nn::batch_norm(3, 1e-5, vb.pp("bn1"))?,
                conv2: candle_nn::conv2d_no_bias(3, 4, 3, config, vb.pp("conv2"))?,
                bn2: candle_nn::batch_norm(4, 1e-5, vb.pp("bn2"))?,
            })
        },
        move |m, x, ctx| {
            let train = ctx.batch_statistics();
            let h = ctx.block(pool(&m.bn1.forward_t(&m.conv1.forward(x)?, train)?.relu()?)?)?;
            let h = ctx.block(m.bn2.forward_t(&m.conv2.forward(&h)?, train)?.relu()?)?;
            Ok(h.flatten_from(2)?.mean(2)?)
        },
    )
    .roles(Roles::new().block(0, "*1.*").block(1, "*2.*").buffer("*.running_*"))
}

/// A network of encoders for [`batch`] under one head.
pub fn network(mut build: Build, sound: impl Encoder + 'static, image: impl Encoder + 'static) -> LateFusion {
    let fusion = Box::new(Concat::new(&mut build, &[sound.width(), image.width()], CLASSES).unwrap());
    let encoders = vec![Branch::new("sound", &SOUND, sound), Branch::new("image", &IMAGE, image)];
    LateFusion::from_parts(NetParts { build, encoders, fusion, uni_heads: false, classes: CLASSES }).unwrap()
}

/// The network with these two encoders of plain layers.
pub fn of<A: 'static, B: 'static>(sound: FunctionalBuilder<A>, image: FunctionalBuilder<B>) -> LateFusion {
    let mut build = Build::new(3, &Device::Cpu);
    let sound = sound.build(&mut build, "sound", 0, &SOUND).unwrap();
    let image = image.build(&mut build, "image", 1, &IMAGE).unwrap();
    network(build, sound, image)
}
