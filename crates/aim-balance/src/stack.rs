//! What a method section becomes, and how several become one.

use aim_core::{Combine, Descend, Error, Fuse, GradFn, GradOp, Method, Objective, Recipe, Result};

use crate::joint::FusedLoss;

/// Parts of a recipe; what is missing is joint training's.
#[derive(Default)]
pub struct Parts {
    /// How features become logits.
    pub fuse: Option<Box<dyn Fuse>>,
    /// Which losses.
    pub objective: Option<Box<dyn Objective>>,
    /// How the losses' gradients become one.
    pub combine: Option<Box<dyn Combine>>,
    /// Operations on the gradient.
    pub ops: Vec<Box<dyn GradOp>>,
}

/// What a method is made as, by the power it needs.
pub enum Built {
    /// Parts of a recipe: methods that are different parts stack.
    Parts(Parts),
    /// A gradient function: it can be wrapped.
    Grads(Box<dyn GradFn>),
    /// A method that owns its step.
    Method(Box<dyn Method>),
}

impl Built {
    /// An objective.
    pub fn objective(objective: impl Objective + 'static) -> Self {
        Self::Parts(Parts { objective: Some(Box::new(objective)), ..Parts::default() })
    }

    /// An operation on the gradient.
    pub fn op(op: impl GradOp + 'static) -> Self {
        Self::Parts(Parts { ops: vec![Box::new(op)], ..Parts::default() })
    }

    /// Another way from features to logits.
    pub fn fuse(fuse: impl Fuse + 'static) -> Self {
        Self::Parts(Parts { fuse: Some(Box::new(fuse)), ..Parts::default() })
    }

    /// A gradient function.
    pub fn grads(grads: impl GradFn + 'static) -> Self {
        Self::Grads(Box::new(grads))
    }

    /// The same with an objective.
    #[must_use]
    pub fn with_objective(self, objective: impl Objective + 'static) -> Self {
        match self {
            Self::Parts(parts) => Self::Parts(Parts { objective: Some(Box::new(objective)), ..parts }),
            other => other,
        }
    }

    /// Two methods as one.
    pub(crate) fn join(self, other: Self) -> Result<Self, String> {
        let (Self::Parts(a), Self::Parts(b)) = (self, other) else {
            return Err("at least one of them computes the whole gradient".into());
        };
        let one = |what: &str| format!("both decide {what}");
        Ok(Self::Parts(Parts {
            fuse: either(a.fuse, b.fuse).ok_or_else(|| one("how features become logits"))?,
            objective: either(a.objective, b.objective).ok_or_else(|| one("the losses"))?,
            combine: either(a.combine, b.combine).ok_or_else(|| one("how gradients are combined"))?,
            ops: a.ops.into_iter().chain(b.ops).collect(),
        }))
    }

    /// As a gradient function.
    ///
    /// # Errors
    /// If the method owns its step.
    pub fn gradient(self) -> Result<Box<dyn GradFn>> {
        match self {
            Self::Parts(parts) => Ok(Box::new(recipe(parts))),
            Self::Grads(grads) => Ok(grads),
            Self::Method(_) => Err(Error::invalid(
                "method.inner",
                "owns its step, so that no gradient of it can be wrapped",
                "wrap a method with one gradient a step",
            )),
        }
    }

    /// As a method.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn method(self) -> Result<Box<dyn Method>> {
        match self {
            Self::Method(method) => Ok(method),
            other => Ok(Box::new(Descend(other.gradient()?))),
        }
    }
}

/// Joins methods, each with its name.
pub(crate) fn stack(methods: impl Iterator<Item = Result<(&'static str, Built)>>) -> Result<Built> {
    let mut whole: Option<(&str, Built)> = None;
    for next in methods {
        let (name, next) = next?;
        let joined = match whole {
            None => next,
            Some((before, built)) => built.join(next).map_err(|problem| {
                let remedy = "stack methods that change different parts of a step";
                Error::invalid(format!("method: [{before}, {name}]"), problem, remedy)
            })?,
        };
        whole = Some((name, joined));
    }
    whole
        .map(|(_, built)| built)
        .ok_or_else(|| Error::invalid("method", "names no method", "name one, such as `joint`"))
}

/// The one that is there, `None` if both are.
fn either<T>(a: Option<T>, b: Option<T>) -> Option<Option<T>> {
    match (a, b) {
        (Some(_), Some(_)) => None,
        (a, b) => Some(a.or(b)),
    }
}

fn recipe(parts: Parts) -> Recipe {
    let mut recipe = Recipe::of(FusedLoss);
    recipe.fuse = parts.fuse.unwrap_or(recipe.fuse);
    recipe.objective = parts.objective.unwrap_or(recipe.objective);
    recipe.combine = parts.combine.unwrap_or(recipe.combine);
    recipe.ops = parts.ops;
    recipe
}
