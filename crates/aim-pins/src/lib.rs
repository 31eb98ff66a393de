//! Nothing: this crate only asks for features of dependencies, see its manifest.
#![deny(missing_docs)]
