//! Readers of file formats; each names the file in its errors.

pub(crate) mod csv;
pub(crate) mod idx;
pub(crate) mod npz;
pub(crate) mod tensors;
pub(crate) mod wav;
