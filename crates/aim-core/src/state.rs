//! State that must survive a restart.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// Named tensors that hold all mutable state of a method or optimizer.
#[derive(Clone, Debug, Default)]
pub struct State(pub BTreeMap<String, Tensor>);

impl State {
    /// Stores numbers exactly (as f64).
    ///
    /// # Errors
    /// If the tensor cannot be made.
    pub fn put(&mut self, name: impl Into<String>, values: &[f64]) -> Result<()> {
        self.0.insert(name.into(), Tensor::new(values, &Device::Cpu)?);
        Ok(())
    }

    /// The tensor of that name.
    ///
    /// # Errors
    /// If it is missing.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.0.get(name).ok_or_else(|| {
            Error::invalid(
                format!("state `{name}`"),
                "is missing",
                "resume with the method and optimizer that saved it",
            )
        })
    }

    /// The numbers stored under that name.
    ///
    /// # Errors
    /// If they are missing.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        Ok(self.tensor(name)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
    }

    /// The first number stored under that name.
    ///
    /// # Errors
    /// If it is missing.
    pub fn number(&self, name: &str) -> Result<f64> {
        self.numbers(name)?.first().copied().ok_or_else(|| Error::shape(name, &[0], "at least one number"))
    }

    /// Adds another state under `prefix.`.
    pub fn nest(&mut self, prefix: &str, other: State) {
        self.0.extend(other.0.into_iter().map(|(k, v)| (format!("{prefix}.{k}"), v)));
    }

    /// The part that [`nest`](Self::nest) put under `prefix.`.
    #[must_use]
    pub fn part(&self, prefix: &str) -> State {
        let strip = |k: &String| k.strip_prefix(prefix)?.strip_prefix('.').map(str::to_owned);
        State(self.0.iter().filter_map(|(k, v)| Some((strip(k)?, v.clone()))).collect())
    }
}

/// Something whose mutable state can be saved and restored exactly.
pub trait Stateful {
    /// Everything that a restart would lose.
    ///
    /// # Errors
    /// If a tensor cannot be copied.
    fn state(&self) -> Result<State>;
    /// Puts a saved state back.
    ///
    /// # Errors
    /// If something is missing or has another shape.
    fn load(&mut self, state: &State) -> Result<()>;
}

/// States that a type has no mutable state; said explicitly, so that none is forgotten.
pub trait Stateless {}

impl<T: Stateless> Stateful for T {
    fn state(&self) -> Result<State> {
        Ok(State::default())
    }
    fn load(&mut self, _: &State) -> Result<()> {
        Ok(())
    }
}
