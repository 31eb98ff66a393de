//! Balanced multimodal learning: when a network learns from several modalities at once, the strong one ends the
//! training before the weak one has learned. This crate brings the methods against that, the networks they train, data,
//! tables and reports, under one name; each part is a crate of its own, too.
//!
//! | module | holds |
//! |---|---|
//! | [`core`] | parameters with roles, gradients as values, passes as views, the traits that compose |
//! | [`config`] | settings declared once, registries |
//! | [`ops`] | training operations with real backward passes |
//! | [`backbones`], [`functional`], [`fusion`] | encoders, encoders of your own from plain candle layers, fusions |
//! | [`balance`] | the methods, AIM among them (a reconstruction) |
//! | [`optim`] | optimizers and schedules |
//! | [`stats`] | intervals, paired tests, calibration |
//! | `data` (feature `data`) | datasets and loaders |
//! | `train`, `report`, `cli` (feature `train`) | training loop, runs, tables, pages, and the program |
//!
//! Two encoders of plain candle layers, trained by AIM on a set that is generated:
//!
//! ```
//! use std::ops::ControlFlow::Continue;
//!
//! use aim_learn::{balance::aim::AimSettings, candle_nn::{Module, linear}, prelude::*};
//!
//! # fn main() -> Result<()> {
//! let data = load(&dataset(Synth { train: 64, validation: 16, test: 16, ..Synth::default() }), None)?;
//! let mut build = Build::new(0, &Device::Cpu);
//! let mut encoders = vec![];
//! for (m, (name, shape)) in data.modalities.iter().zip(data.shapes()).enumerate() {
//!     let width: usize = shape.iter().product();
//!     let builder = Functional::builder(
//!         move |vb| Ok([linear(width, 16, vb.pp("first"))?, linear(16, 16, vb.pp("second"))?]),
//!         |layers, x, ctx| {
//!             let mut h = x.flatten_from(1)?;
//!             for layer in layers {
//!                 h = ctx.block(layer.forward(&h)?.relu()?)?;
//!             }
//!             Ok(h)
//!         },
//!     );
//!     let roles = Roles::new().block(0, "first.*").block(1, "second.*");
//!     encoders.push(Branch::new(name, &shape, builder.roles(roles).build(&mut build, name, m, &shape)?));
//! }
//! let fusion = Box::new(Concat::new(&mut build, &[16, 16], data.classes())?);
//! let net = LateFusion::from_parts(NetParts { build, encoders, fusion, uni_heads: false, classes: data.classes() })?;
//!
//! let method = method(AimSettings::default(), net.spec())?;
//! let mut learner = Learner::new(Box::new(net), method, Adam::default().build(), 0, 1);
//! learner.epoch(&Splits::new(&data, 16, &Device::Cpu), |_, _| Ok(Continue(())))?;
//! # Ok(())
//! # }
//! ```
#![deny(missing_docs)]

pub use aim_backbones as backbones;
pub use aim_balance as balance;
#[cfg(feature = "train")]
pub use aim_cli as cli;
pub use aim_config as config;
pub use aim_core as core;
#[cfg(feature = "data")]
pub use aim_data as data;
pub use aim_functional as functional;
pub use aim_fusion as fusion;
pub use aim_ops as ops;
pub use aim_optim as optim;
#[cfg(feature = "train")]
pub use aim_report as report;
pub use aim_stats as stats;
#[cfg(feature = "train")]
pub use aim_train as train;
pub use candle_core;
pub use candle_nn;

pub mod prelude;
