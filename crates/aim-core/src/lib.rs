//! The vocabulary of balanced multimodal learning: parameters with roles, gradients as values, forward passes as views of
//! one network, and the small traits that methods, networks and optimizers are composed from.
//!
//! Nothing in this crate knows a concrete network, fusion, optimizer, dataset or method.
#![deny(missing_docs)]

mod batch;
mod error;
mod grads;
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

pub use batch::Batch;
pub use error::{Context, Error, Result, plain_words};
pub use grads::{Factors, Grads};
pub use method::{Descend, EpochStart, EpochWork, Extra, GradFn, Idle, Infer, Method, Optim, Plain, Samples, Split};
pub use net::{
    Encoder, Extras, Fusion, Joined, Net, NetSpec, ORDER, Offers, Output, PARTS, PREDICTED, SUMMARIES, WEIGHTS,
};
pub use params::{Handle, Kind, Param, Params, Part, Role};
pub use pass::{FeatureOp, Kept, Norm, Pass, Pool, Site, View};
pub use prepared::{Alone, Preparation, Prepared};
pub use recipe::{Combine, Fuse, Fused, GradOp, Loss, Objective, PlainFuse, Recipe, Seen, SumLosses};
pub use report::Report;
pub use rng::{Draws, Rng};
pub use state::{State, Stateful, Stateless};
pub use step::{Clock, Step};
