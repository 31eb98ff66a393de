//! One file a set.

pub(crate) mod avmnist;
pub(crate) mod bundle;
pub(crate) mod geotec;
pub(crate) mod grid;
pub(crate) mod lis;
pub(crate) mod mfeat;
pub(crate) mod mosi;
pub(crate) mod synth;
