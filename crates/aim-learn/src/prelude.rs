//! The names that a program of one's own begins with.
//!
//! ```
//! use aim_learn::prelude::*;
//! ```

pub use aim_backbones::{Build, EncoderSettings};
pub use aim_balance::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, joint::Joint, method};
#[cfg(feature = "train")]
pub use aim_cli::{Application, start};
/// Declarations of settings refer to the crate by this name.
pub use aim_config;
pub use aim_config::{Settings, choice, settings};
pub use aim_core::{
    Batch, Capabilities, Combine, Encoder, FeatureOp, Fusion, GradOp, Grads, Idle, Loss, Method, Net, NetSpec,
    Objective, Pass, Report, Result, Role, Seen, Stateless, Step, capability, conformance,
};
#[cfg(feature = "data")]
pub use aim_data::{Dataset, DatasetSettings, Loader, Source, Splits, Synth, dataset, load};
pub use aim_functional::{Functional, Roles};
pub use aim_fusion::{Branch, Concat, FusionSettings, LateFusion, NetParts};
pub use aim_optim::{Adam, AdamW, OptimizerSettings, ScheduleSettings, Sgd};
#[cfg(feature = "train")]
pub use aim_train::{Learner, Registries};
pub use candle_core::{DType, Device, Tensor};
