//! Placeholder until the loaders arrive.
