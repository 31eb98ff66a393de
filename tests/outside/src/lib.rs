//! A program outside the workspace that adds one of everything: no crate of the workspace knows of it, and none had to
//! be changed for it.
#![deny(missing_docs)]

use aim_cli::Application;
use aim_core::Result;

/// Declares the modules of entries, and the application that has each of them: `module => registry, entry;`.
macro_rules! with {
    ($($module:ident => $($registry:ident).+, $entry:expr;)+) => {
        $(pub mod $module;)+

        /// What the workspace brings, and our own entries.
        ///
        /// # Errors
        /// If a name is taken.
        pub fn application() -> Result<Application> {
            let mut application = Application::default();
            $(application.$($registry).+.add($entry)?;)+
            Ok(application)
        }
    };
}

// One line an entry; a capability of our own needs none.
with! {
    method => registries.methods, aim_balance::card::<method::EvenVotes>();
    encoder => registries.encoders, aim_backbones::card::<encoder::PlainConv>();
    fusion => registries.fusions, aim_fusion::card::<fusion::Voted>();
    optimizer => registries.optimizers, aim_optim::optimizer_card::<optimizer::SignDescent>();
    schedule => registries.schedules, aim_optim::schedule_card::<schedule::Halving>();
    dataset => registries.datasets, aim_data::card::<dataset::Pulses>();
    metric => registries.metrics, metric::LEAST_RECALL;
    section => sections, section::WORST_CLASS;
}
