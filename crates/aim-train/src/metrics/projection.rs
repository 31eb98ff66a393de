//! Features in two dimensions, to look at.

use std::collections::BTreeMap;

use aim_core::Result;
use candle_core::{D, Tensor};
use serde::{Deserialize, Serialize};

/// Test samples' features on their first two principal components: each modality's by its name, and under [`ALL`] those
/// of all modalities side by side. Points stand in the order of the split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Projection(pub BTreeMap<String, Vec<[f32; 2]>>);

/// Name of the projection of all features; no modality is called like this.
pub const ALL: &str = "(all)";

impl Projection {
    /// Of pooled features, one tensor a modality.
    ///
    /// # Errors
    /// If the features are no matrices.
    pub fn of(names: &[String], features: &[Tensor]) -> Result<Self> {
        let named = names.iter().cloned().zip(features.iter().cloned());
        let all = (features.len() > 1).then(|| Tensor::cat(features, D::Minus1)).transpose()?;
        let views = named.chain(all.map(|all| (ALL.to_owned(), all)));
        Ok(Self(views.map(|(name, x)| Ok((name, points(&x)?))).collect::<Result<_>>()?))
    }
}

fn points(features: &Tensor) -> Result<Vec<[f32; 2]>> {
    let rows = aim_data::principal(features, 2)?.to_vec2::<f32>()?;
    // Four decimals of the picture's size are more than it shows.
    let size = rows.iter().flatten().fold(f32::MIN_POSITIVE, |size, v| size.max(v.abs()));
    let round = |v: f32| (v / size * 1e4).round() / 1e4;
    Ok(rows.iter().map(|row| [round(row[0]), round(row.get(1).copied().unwrap_or_default())]).collect())
}
