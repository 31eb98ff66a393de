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
#![deny(missing_docs)]

mod batch;
pub mod capability;
pub mod conformance;
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
mod state;
mod step;
#[cfg(test)]
mod toy;

pub use batch::Batch;
pub use capability::{Capabilities, Capability};
pub use error::{Context, Error, Result};
pub use grads::{Factors, Grads};
pub use input::Input;
pub use method::{Descend, EpochStart, EpochWork, Extra, GradFn, Idle, Infer, Method, Optim, Plain, Samples, Split};
pub use net::{Encoder, Extras, Fusion, Joined, Net, NetSpec, ORDER, Output, PARTS, PREDICTED, SUMMARIES, WEIGHTS};
pub use params::{Backward, Handle, Kind, Param, Params, Part, Role};
pub use pass::{FeatureOp, Kept, Norm, Pass, Pool, Site, View};
pub use prepared::{Alone, Preparation, Prepared};
pub use recipe::{Combine, Fuse, Fused, GradOp, Loss, Objective, PlainFuse, Recipe, Seen, SumLosses};
pub use report::Report;
pub use rng::{Draws, Rng};
pub use state::{State, Stateful, Stateless};
pub use step::{Clock, Step};
