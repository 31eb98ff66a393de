//! Readers of file formats; each names the file in its errors.

pub(crate) mod tensors;
