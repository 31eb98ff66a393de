//! Gradients that pass candle by.
//!
//! candle's backward pass adds each gradient to a tensor of fresh zeros, on one thread: four more moves through memory
//! for each activation and each weight. So every result of an operation of this crate has a *token* behind it, an empty
//! tensor, and operations are nodes between tokens. candle sorts and visits these; their gradients are empty and cost
//! nothing. The real ones are handed from node to node here, and added only where a tensor has several consumers.
//! Operations of candle itself see ordinary tensors with ordinary gradients.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use candle_core::{DType, Device, Result, Tensor, TensorId, backprop::GradStore};

use crate::cpu;

/// The token of each living result.
static TOKENS: Mutex<Option<HashMap<TensorId, Tensor>>> = Mutex::new(None);

type Gradients = HashMap<TensorId, Tensor>;

/// What a call of [`backward`] collects.
struct Collection {
    /// The graph that it goes through: while a thread waits for others it may do work of somebody else's.
    graph: HashSet<TensorId>,
    /// Gradients of variables.
    gradients: Gradients,
}

thread_local! {
    /// Gradients of results whose operation was not visited yet, by token. A backward pass stays on its thread.
    static HANDED: RefCell<Gradients> = RefCell::default();
    static COLLECTION: RefCell<Option<Collection>> = const { RefCell::new(None) };
}

fn tokens() -> MutexGuard<'static, Option<HashMap<TensorId, Tensor>>> {
    TOKENS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The gradient of a token as candle sees it: a tensor without elements or, on a device, which has none such, of one.
pub(crate) fn nothing(token: &Tensor) -> Result<Tensor> {
    match token.device() {
        Device::Cpu => Tensor::zeros(0, DType::F32, &Device::Cpu),
        // Nobody reads the element.
        _ => Ok(token.detach()),
    }
}

/// The token of an operation's result; `None` for all other tensors.
pub(crate) fn token_of(t: &Tensor) -> Option<Tensor> {
    tokens().as_ref()?.get(&t.id()).cloned()
}

/// Whether a result's token is known.
#[cfg(test)]
pub(crate) fn known(result: TensorId) -> bool {
    tokens().as_ref().is_some_and(|tokens| tokens.contains_key(&result))
}

/// Number of gradients that wait on this thread.
#[cfg(test)]
pub(crate) fn waiting() -> usize {
    HANDED.with_borrow(Gradients::len)
}

/// Notes the token of a result.
pub(crate) fn register(result: &Tensor, token: &Tensor) {
    tokens().get_or_insert_default().insert(result.id(), token.clone());
}

/// Forgets the token of a result that is gone.
pub(crate) fn forget(result: TensorId) {
    // Dropped when the lock is free again: what the token held may be results with tokens of their own.
    let _token = tokens().as_mut().and_then(|tokens| tokens.remove(&result));
}

/// The sum of two gradients, the first of which may be missing.
fn sum(others: Option<Tensor>, gradient: Tensor) -> Result<Tensor> {
    match others {
        Some(others) if others.device().is_cpu() => cpu::add(&others, &gradient),
        Some(others) => others + gradient,
        None => Ok(gradient),
    }
}

/// Hands a gradient to the operation behind `token`.
pub(crate) fn hand(token: TensorId, gradient: Tensor) -> Result<()> {
    let sum = sum(take(token), gradient)?;
    HANDED.with_borrow_mut(|handed| handed.insert(token, sum));
    Ok(())
}

/// What was handed to the operation behind `token`.
pub(crate) fn take(token: TensorId) -> Option<Tensor> {
    HANDED.with_borrow_mut(|handed| handed.remove(&token))
}

/// Forgets what was handed over in a backward pass that failed.
pub(crate) fn clear() {
    HANDED.take();
}

/// Collects the gradient that the operation behind `token` has for a variable; gives it back if nobody collects.
pub(crate) fn collect(token: TensorId, variable: TensorId, gradient: Tensor) -> Result<Option<Tensor>> {
    let collecting = |c: &mut Option<Collection>| c.take_if(|c| c.graph.contains(&token));
    let Some(mut collection) = COLLECTION.with_borrow_mut(collecting) else { return Ok(Some(gradient)) };
    let sum = sum(collection.gradients.remove(&variable), gradient)?;
    collection.gradients.insert(variable, sum);
    COLLECTION.set(Some(collection));
    Ok(None)
}

/// As [`Tensor::backward`], with the same gradients, without the zeros that candle adds the gradients of variables to.
///
/// # Errors
/// Those of the backward pass.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let graph = loss.sorted_nodes().into_iter().map(Tensor::id).collect();
    let outer = COLLECTION.replace(Some(Collection { graph, gradients: Gradients::new() }));
    let handed = HANDED.take();
    let store = loss.backward();
    // What is left was handed to results of constants, or the pass failed.
    HANDED.set(handed);
    let collection = COLLECTION.replace(outer);
    let mut store = store?;
    for (id, gradient) in collection.into_iter().flat_map(|c| c.gradients) {
        let sum = sum(store.get_id(id).map(Tensor::contiguous).transpose()?, gradient)?;
        store.insert_id(id, sum);
    }
    Ok(store)
}
