//! Encoders from plain candle layers: any model that a constructor makes from a `candle_nn::VarBuilder`.
//!
//! candle's layers hold plain tensors, while balancing methods show a network other weights than its own: masked
//! copies, moved weights, teachers, low-rank additions. So a [`Functional`] keeps the constructor and calls it in
//! every pass, over the weights that the pass shows. The layers need not know, and a construction costs a few
//! reference counts.
//!
//! ```
//! use aim_backbones::Build;
//! use aim_core::{Batch, Encoder, Net, Pass, Rng, conformance};
//! use aim_functional::{Functional, Roles};
//! use aim_fusion::{Branch, Concat, LateFusion, NetParts};
//! use candle_core::{Device, Tensor};
//! use candle_nn::{Module, ModuleT, batch_norm, conv2d, linear};
//!
//! let mut build = Build::new(0, &Device::Cpu);
//!
//! // Sound, 40 numbers: two linear layers, each of them a block.
//! let sound = Functional::builder(
//!     |vb| Ok((linear(40, 32, vb.pp("first"))?, linear(32, 16, vb.pp("second"))?)),
//!     |(first, second), x, ctx| {
//!         let h = ctx.block(first.forward(x)?.relu()?)?;
//!         let h = ctx.dropout(&h, 0.2, "dropout")?;
//!         ctx.block(second.forward(&h)?.relu()?)
//!     },
//! );
//! let roles = Roles::new().block(0, "first.*").block(1, "second.*");
//! let sound = sound.roles(roles).build(&mut build, "sound", 0, &[40])?;
//!
//! // Images, [1, 8, 8]: a convolution and batch norm, one block as a whole.
//! let image = Functional::builder(
//!     |vb| Ok((conv2d(1, 16, 3, Default::default(), vb.pp("conv"))?, batch_norm(16, 1e-5, vb.pp("bn"))?)),
//!     |(conv, bn), x, ctx| {
//!         let h = bn.forward_t(&conv.forward(x)?, ctx.batch_statistics())?.relu()?;
//!         Ok(h.flatten_from(2)?.mean(2)?)
//!     },
//! );
//! let image = image.build(&mut build, "image", 1, &[1, 8, 8])?;
//!
//! // A network of both under one head for 3 classes, which any method can train.
//! let fusion = Box::new(Concat::new(&mut build, &[sound.width(), image.width()], 3)?);
//! let encoders = vec![Branch::new("sound", &[40], sound), Branch::new("image", &[1, 8, 8], image)];
//! let net = LateFusion::from_parts(NetParts { build, encoders, fusion, uni_heads: false, classes: 3 })?;
//!
//! // Does it keep the laws that methods rely on?
//! let mut rng = Rng::keyed(0, "batch");
//! let mut input = |shape: &[usize]| rng.normal_tensor(shape, 1., &Device::Cpu);
//! let labels = Tensor::new(&[0u32, 1, 2, 0], &Device::Cpu)?;
//! let batch = Batch::new(vec![input(&[4, 40])?, input(&[4, 1, 8, 8])?], labels)?;
//! conformance::check(&net, &batch)?;
//! assert_eq!((&net as &dyn Net).forward(&batch, &mut Pass::eval())?.logits.dims(), [4, 3]);
//! assert!(net.params().get("encoders.sound.first.weight").is_some());
//! # Ok::<(), aim_core::Error>(())
//! ```
//!
//! Where candle's own parts fall short in training, [`aim_core::conformance`] names the parameter:
//!
//! * `candle_nn::Dropout` draws from a generator that no seed reaches: use [`Context::dropout`].
//! * `candle_nn::LayerNorm` (with a bias, on contiguous input), `RmsNorm`, `ops::softmax_last_dim` and rotary
//!   embeddings have no backward pass, so that nothing before them learns: use `aim_ops::layer_norm` and
//!   `aim_ops::softmax`.
//! * `Tensor::max_pool2d` of candle 0.11 divides gradients by the area of its window: use `aim_ops::max_pool2d`.
//! * Batch norms are to be told [`Context::batch_statistics`], not [`Context::train`]: some training passes use the
//!   running ones.
#![deny(missing_docs)]

mod builder;
mod context;
mod encoder;
mod glob;
mod init;
mod recorder;
mod roles;

pub use builder::FunctionalBuilder;
pub use context::Context;
pub use encoder::Functional;
pub use roles::Roles;
