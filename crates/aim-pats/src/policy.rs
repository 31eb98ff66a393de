//! What the search asks: a policy that writes steps and a reward that judges them.

use crate::Result;

/// What a policy proposes as the next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continuation {
    /// The step, without the blank line that ends it.
    pub text: String,
    /// Whether it did not end with a blank line: the solution ends here, or the policy came to its longest step.
    pub last: bool,
    /// Tokens that were generated for it, those of its end included.
    pub tokens: usize,
}

/// A language model that reasons step by step.
pub trait Policy {
    /// `n` continuations of `steps`, each up to a blank line or the end. The same `key` gives the same continuations.
    ///
    /// # Errors
    /// If the model fails; [`Error::Full`](crate::Error::Full) if the steps so far fill its context.
    fn sample(&mut self, question: &str, steps: &[String], n: usize, key: u64) -> Result<Vec<Continuation>>;
}

/// A model that judges single steps (process reward model).
pub trait ProcessReward {
    /// For each candidate the probability that it is a right next step after `steps`, in [0, 1].
    ///
    /// # Errors
    /// If the model fails; [`Error::Full`](crate::Error::Full) if a text fills its context.
    fn score(&mut self, question: &str, steps: &[String], candidates: &[String]) -> Result<Vec<f64>>;
}
