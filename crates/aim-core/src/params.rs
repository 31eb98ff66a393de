//! Trainable parameters with roles, and the buffers beside them.

use std::{collections::BTreeMap, sync::Arc};

use candle_core::{Tensor, Var, backprop::GradStore};

use crate::{Error, Result};

/// The part of the network that a parameter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Block `depth` of a modality's encoder, counted from the input.
    Encoder {
        /// Index of the modality in the network's order.
        modality: usize,
        /// Index of the block.
        depth: usize,
    },
    /// What joins the features before the head (FiLM, gates).
    Fusion,
    /// The part of a fusion that lets all features scale one modality's.
    Gate {
        /// Index of the modality whose feature is scaled.
        modality: usize,
    },
    /// The classifier; `modality` where one modality alone feeds it (sum, separate heads).
    Head {
        /// The modality that feeds this head, if it is one alone.
        modality: Option<usize>,
    },
    /// A further classifier of a modality, which joins the head while training goes on.
    Added {
        /// The modality that feeds it.
        modality: usize,
    },
    /// An additional head that reads one modality's features for a method's own loss.
    UniHead {
        /// Index of the modality.
        modality: usize,
    },
    /// A low-rank or similar addition to a modality's encoder.
    Adapter {
        /// Index of the modality.
        modality: usize,
        /// Index of the block.
        depth: usize,
    },
}

/// What a parameter does in its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Weight of a convolution `[out, in/groups, ...]`.
    Conv,
    /// Weight of a linear layer `[out, in]`.
    Linear,
    /// Scale or shift of a normalisation layer.
    Norm,
    /// Bias of a convolution or linear layer.
    Bias,
    /// Lookup table, class token or position embedding.
    Embedding,
}

/// What methods select parameters by, instead of by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// Where the parameter is.
    pub part: Part,
    /// What it does.
    pub kind: Kind,
}

impl Role {
    /// The modality whose encoder (adapters included) holds the parameter.
    pub fn encoder(&self) -> Option<usize> {
        match self.part {
            Part::Encoder { modality, .. } | Part::Adapter { modality, .. } => Some(modality),
            _ => None,
        }
    }

    /// Whether this is the weight of a layer with output units: a convolution or a linear layer.
    pub fn is_weight(&self) -> bool {
        matches!(self.kind, Kind::Conv | Kind::Linear)
    }
}

/// A trainable parameter.
#[derive(Clone, Debug)]
pub struct Param {
    /// What it is.
    pub role: Role,
    /// Its current value.
    pub var: Var,
}

/// What a layer holds of a parameter or buffer: its name and where its value lives. The layer asks
/// [`Pass::weight`](crate::Pass::weight) for the tensor, so that a view can put another one in its place.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Name of the parameter.
    pub name: Arc<str>,
    /// Its value.
    pub var: Var,
    /// Whether the value stays as it is: the pass shows it without its history, so that no gradient is worked out.
    pub frozen: bool,
}

/// A backward pass: the gradients of a scalar loss.
pub type Backward = fn(&Tensor) -> candle_core::Result<GradStore>;

/// All trainable parameters and all buffers of a network, in the order of their names, and how its layers are
/// differentiated.
#[derive(Clone, Debug)]
pub struct Params {
    params: BTreeMap<Arc<str>, Param>,
    buffers: BTreeMap<Arc<str>, Var>,
    backward: Backward,
}

impl Default for Params {
    fn default() -> Self {
        Self::differentiated_by(Tensor::backward)
    }
}

impl Params {
    /// No parameters yet, of layers whose gradients `backward` takes; by default candle's own does.
    pub fn differentiated_by(backward: Backward) -> Self {
        Self { params: BTreeMap::new(), buffers: BTreeMap::new(), backward }
    }

    /// The backward pass that the network's layers need.
    pub fn backward(&self) -> Backward {
        self.backward
    }

    /// Adds a parameter and hands out its handle.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn add(&mut self, name: &str, role: Role, value: &Tensor) -> Result<Handle> {
        let handle = self.handle(name, value)?;
        self.params.insert(handle.name.clone(), Param { role, var: handle.var.clone() });
        Ok(handle)
    }

    /// Adds a buffer (running statistics): saved and loaded, never trained.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn add_buffer(&mut self, name: &str, value: &Tensor) -> Result<Handle> {
        let handle = self.handle(name, value)?;
        self.buffers.insert(handle.name.clone(), handle.var.clone());
        Ok(handle)
    }

    /// Adds a weight that is never trained: a buffer that costs no gradient.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn add_frozen(&mut self, name: &str, value: &Tensor) -> Result<Handle> {
        Ok(Handle { frozen: true, ..self.add_buffer(name, value)? })
    }

    fn handle(&self, name: &str, value: &Tensor) -> Result<Handle> {
        if self.params.contains_key(name) || self.buffers.contains_key(name) {
            return Err(Error::invalid(
                format!("parameter `{name}`"),
                "exists already",
                "give each layer its own name",
            ));
        }
        Ok(Handle { name: name.into(), var: Var::from_tensor(value)?, frozen: false })
    }

    /// The trainable parameters, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Param)> {
        self.params.iter()
    }

    /// The buffers, in the order of their names.
    pub fn buffers(&self) -> impl Iterator<Item = (&Arc<str>, &Var)> {
        self.buffers.iter()
    }

    /// The buffer of that name.
    pub fn buffer(&self, name: &str) -> Option<&Var> {
        self.buffers.get(name)
    }

    /// The parameter of that name.
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.params.get(name)
    }

    /// The bias beside a weight: the bias of the layer whose weight is called `weight`.
    pub fn bias_of(&self, weight: &str) -> Option<(&Arc<str>, &Param)> {
        let bias = format!("{}.bias", weight.strip_suffix(".weight")?);
        self.params.get_key_value(bias.as_str()).filter(|(_, p)| p.role.kind == Kind::Bias)
    }

    /// Every value, parameters and buffers, under its name.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        let params = self.params.iter().map(|(k, p)| (k, &p.var));
        params.chain(self.buffers.iter()).map(|(k, v)| (k.to_string(), v.as_tensor().clone())).collect()
    }

    /// Copies of every value that later training does not change.
    ///
    /// # Errors
    /// If the device cannot hold the copy.
    pub fn snapshot(&self) -> Result<BTreeMap<String, Tensor>> {
        self.tensors().into_iter().map(|(k, t)| Ok((k, t.copy()?))).collect()
    }

    /// Sets every parameter and buffer from `tensors`; nothing is changed unless all fit.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn load(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let vars: Vec<_> = self.params.iter().map(|(k, p)| (k, &p.var)).chain(self.buffers.iter()).collect();
        for (name, var) in &vars {
            let value = tensors.get(name.as_ref()).ok_or_else(|| {
                Error::invalid(format!("parameter `{name}`"), "is missing", "load weights of the same architecture")
            })?;
            if value.dims() != var.dims() {
                return Err(Error::shape(name.as_ref(), value.dims(), format!("{:?}", var.dims())));
            }
        }
        for (name, var) in vars {
            var.set(&tensors[name.as_ref()].to_dtype(var.dtype())?.to_device(var.device())?)?;
        }
        Ok(())
    }

    /// Number of trainable values.
    pub fn count(&self) -> usize {
        self.params.values().map(|p| p.var.elem_count()).sum()
    }
}
