//! The vocabulary of balanced multimodal learning: parameters with roles, gradients as values, forward passes as views
//! of one network, and the small traits that methods, networks and optimizers are composed from.
//!
//! Nothing in this crate knows a concrete network, fusion, optimizer, dataset or method.
//!
//! * A [`Net`] is a pure function of the weights that a [`Pass`] shows; [`NetSpec`] says what it is, and its
//!   [`Capabilities`] what it can give beyond fused logits. [`conformance`] tries a network of anyone's against the
//!   laws that methods rely on.
//! * A method implements the least powerful trait that holds it: [`Objective`], [`FeatureOp`], [`GradOp`], [`Combine`],
//!   [`GradFn`], [`Method`].
//! * [`Params`] have a [`Role`] each, [`Grads`] are values, and every draw comes from an [`Rng`] with a key.
//! * An [`Error`] names a place, a problem and a remedy.
//!
//! ```
//! use aim_core::{Grads, Kind, Params, Part, Role};
//! use candle_core::{Device, Tensor};
//!
//! let mut params = Params::default();
//! let role = Role { part: Part::Head { modality: None }, kind: Kind::Linear };
//! params.add("head.weight", role, &Tensor::new(&[3f32, 4.], &Device::Cpu)?)?;
//! let weight = params.get("head.weight").map(|param| param.var.as_tensor().clone()).expect("it was added");
//! let loss = (weight.sqr()? / 2.)?.sum_all()?;
//! // The gradient of |w|^2 / 2 is w itself, of length 5: a value, which methods weigh and change by roles.
//! let grads = Grads::of(&loss, &params)?;
//! assert!((grads.norm()? - 5.).abs() < 1e-6);
//! # Ok::<(), aim_core::Error>(())
//! ```
#![deny(missing_docs)]

mod batch;
pub mod capability;
pub mod conformance;
mod criterion;
mod error;
mod grads;
mod input;
mod method;
mod net;
mod params;
mod pass;
mod prepared;
mod recipe;
mod report;
mod rng;
mod staged;
mod state;
mod step;
#[cfg(test)]
mod toy;

pub use batch::Batch;
pub use capability::{Capabilities, Capability};
pub use criterion::Criterion;
pub use error::{Context, Error, Result};
pub use grads::{Factors, Grads};
pub use input::Input;
pub use method::{
    Descend, EpochStart, EpochWork, Extra, GradFn, Idle, Infer, Method, Optim, Plain, Plan, Samples, Split, Turn,
};
pub use net::{
    ALIGNED, CLASSIFIERS, Encoder, Extras, Fusion, Joined, Net, NetSpec, ORDER, Output, PARTS, PREDICTED, STAGES,
    SUMMARIES, WEIGHTS,
};
pub use params::{Backward, Handle, Kind, Param, Params, Part, Role};
pub use pass::{FeatureOp, Kept, Norm, Pass, Pool, Site, View};
pub use prepared::{Alone, Preparation, Prepared};
pub use recipe::{Combine, Fuse, Fused, GradOp, Loss, Objective, PlainFuse, Recipe, Seen, SumLosses};
pub use report::Report;
pub use rng::{Draws, Rng, elements};
pub use staged::{Flow, Inner, Staged, through};
pub use state::{State, Stateful, Stateless};
pub use step::{Clock, Step};
