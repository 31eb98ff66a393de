//! AIM (reconstruction): Adaptive Intra-Network Modulation (Shen, Chen & Zhang 2025, arXiv 2508.19769).
//!
//! The paper's equations are not public in full. What stands here is a **reconstruction**: it keeps every property
//! known from the abstracts of versions 1 to 3 and fills the rest with the simplest rule that showed the claimed
//! effect; each filled-in choice is a setting with an ablation.
//!
//! Depth-adaptive prototypes `P_d^m` (one a class, modality and depth) measure how well modality m is optimized at
//! depth d:
//! ```text
//! q = softmax_k( tau cos(z - mean_k P, P_k - mean_k P) ),  z = pooled output of block d
//! s_d^m   = mean_i q_i[y_i]
//! rho_d^m = s_d^m / mean over j != m of s_d^j              moving average over steps
//! lam     = max(lambda_min, tanh(alpha max(rho - 1, 0)))   how far the well-optimized part is taken away
//! keep    = min(max(x, k_min), k_max)                      size of the auxiliary block
//!           x = k_0 | k_0 rho^-gamma | k_0 (1 - s) | k_0 v^-gamma
//! ```
//! v is the pace: a moving average of s over one ten times slower, relative to the others' as rho is.
//! In the auxiliary block the `keep` share of units with the lowest saliency `mean |dL_p/dW * W|` (they do least for
//! performance: under-optimized) stays trainable, the others are scaled by `1 - lam` and get no gradient from it:
//! `W' = W U + (1 - lam) stopgrad(W) (1 - U)`. Auxiliary passes replace the features of degraded modalities:
//! `L = CE(plain) + beta * sum CE(auxiliary)`.
//!
//! Scope `each` (default) follows version 3: every modality is decoupled, with blocks of one size, `k_0`; there is an
//! auxiliary pass for each modality, which stays plain while all others are reduced. Scope `dominant` follows versions
//! 1 and 2: only modalities that lead at some depth, in one joint pass, with blocks that shrink with rho. Where no lam
//! exceeds 1e-3 or beta is 0 the step is joint training bit for bit. Inference uses the encoders alone.

mod averages;
mod blocks;
mod measure;
mod method;
mod passes;
mod prototypes;
mod settings;

pub use method::Aim;
pub use settings::{
    ABOUT, AimSettings, Criterion, Depths, Granularity, Passes, Prototypes, Reliance, Rule, Scope, Size, Strength,
};
