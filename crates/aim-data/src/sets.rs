//! One file a set.

pub(crate) mod bundle;
