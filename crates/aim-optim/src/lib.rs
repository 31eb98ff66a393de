//! Optimizers with PyTorch's semantics and learning-rate schedules. A parameter without a gradient is left alone
//! entirely: no decay, no moments, no step count.
//!
//! One of your own implements [`OptimizerSettings`] (or a [`Rule`] for single parameters, which [`Optimizer`] applies)
//! or [`ScheduleSettings`], and joins a registry by [`optimizer_card`] or [`schedule_card`].
//!
//! ```
//! use aim_core::Clock;
//! use aim_optim::{Adam, Cosine, OptimizerSettings, Scheduler, schedule};
//!
//! let mut adam = Adam { lr: 0.01, ..Adam::default() }.build();
//! let cosine = Scheduler::new(&schedule(Cosine::default()), adam.lr(), 10);
//! cosine.before_update(Clock { epoch: 5, epochs: 10, ..Clock::default() }, adam.as_mut());
//! assert!((adam.lr() - 0.005).abs() < 1e-12); // half way down
//! ```
#![deny(missing_docs)]

mod adjusted;
mod clipped;
mod config;
mod rules;
mod schedule;
mod slots;

pub use adjusted::Adjusted;
pub use clipped::{Clip, Clipped};
pub use config::{
    OptimizerCard, OptimizerInfo, OptimizerSettings, OptimizerSpec, Optimizers, builtin_optimizers, optimizer,
    optimizer_card,
};
pub use rules::{AdaGrad, Adam, AdamW, Lion, RmsProp, Sgd};
pub use schedule::{
    ByEpoch, ByUpdate, Constant, Cosine, LinearWarmup, MultiStep, OneCycle, Plateau, Schedule, ScheduleCard,
    ScheduleInfo, ScheduleSettings, ScheduleSpec, Scheduler, Schedules, Step, WarmupCosine, builtin_schedules,
    schedule, schedule_card,
};
pub use slots::{Optimizer, Rule, Slot};
