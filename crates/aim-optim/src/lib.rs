//! Optimizers with PyTorch's semantics and learning-rate schedules. A parameter without a gradient is left alone entirely:
//! no decay, no moments, no step count.
#![deny(missing_docs)]

mod config;
mod rules;
mod schedule;
mod slots;

pub use config::{CARDS, Card, OptimConfig};
pub use rules::{AdaGrad, Adam, AdamW, RmsProp, Sgd};
pub use schedule::{SCHEDULES, ScheduleConfig, Scheduler};
pub use slots::{Optimizer, Rule, Slot};
