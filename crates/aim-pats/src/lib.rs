//! PATS, process-level adaptive thinking mode switching (Wang et al. 2025, arXiv 2505.19250): search control for
//! language models that reason step by step. It trains nothing.
//!
//! For each step several continuations are sampled and a process reward picks the best. How many, the *thinking
//! mode*, follows from the score of the step that was picked: a good one makes the next step cheaper (8, 4, 2), a poor
//! one brings back the widest, a bad one is thrown away once and sampled again.
//!
//! [`Pats`] is the search, over two traits: a [`Policy`] writes steps, a [`ProcessReward`] judges them. Its variants
//! (fixed and random widths, whole solutions, no penalty or an infinite one, other first modes) are settings. Ready
//! are [`LanguageModel`], a Qwen2 or Llama, and [`MathReward`], of the form of Qwen2.5-Math-PRM, both from folders as
//! the Hugging Face Hub has them. Keys and values of a prefix are computed once and held once for all its
//! continuations.
//!
//! [`arithmetic`] is a task that needs no data; the example `pats` trains a small policy for it and compares the
//! variants. [`gsm8k`] reads GSM8K, on which the program runs:
//!
//! ```text
//! cargo run --release -p aim-pats --example pats
//! cargo run --release -p aim-pats -- eval --data test.jsonl --model DIR --reward DIR
//! ```
//!
//! What differs from the authors' code: before the first step the prompt has no blank line, the reward sees no mark
//! behind a last step, and whole blocks of mathematical signs are allowed in place of listed ones.

mod allowed;
pub mod arithmetic;
mod chat;
mod error;
pub mod gsm8k;
pub mod hub;
mod language;
pub mod model;
mod policy;
pub mod random;
mod reward;
mod search;

pub use allowed::allowed;
pub use error::{Error, Result};
pub use language::{LanguageModel, Sampling};
pub use policy::{Continuation, Policy, ProcessReward};
pub use reward::MathReward;
pub use search::{Mode, Outcome, Pats, Penalty, Round, Solution, Switching, Thresholds};
