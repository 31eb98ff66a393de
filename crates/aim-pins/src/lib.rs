//! Nothing: this crate only asks for features of dependencies, see its manifest. It is there so that candle is compiled
//! once, and not anew for each crate, test or optional feature of the workspace that wants other features of what
//! candle depends on.
#![deny(missing_docs)]
