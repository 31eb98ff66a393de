//! Cases without a network: functions of supplied tensors.

use std::collections::BTreeMap;

use aim_core::Result;
use aim_stats::shapley;
use candle_core::{DType, Device, Tensor};

use super::case::Case;
use crate::metrics::statistics;

pub(super) fn run(case: &Case) -> Result<BTreeMap<String, Tensor>> {
    match case.spec.method.as_str() {
        "shapley" => shapley(case),
        other => Err(case.invalid(format!("there is no numeric function `{other}`"))),
    }
}

/// A batch tensor as f64 values.
fn values(case: &Case, key: &str) -> Result<Vec<f64>> {
    Ok(case.batch(key)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

fn shapley(case: &Case) -> Result<BTreeMap<String, Tensor>> {
    let phi = shapley::shapley_values(&values(case, "value")?).map_err(statistics)?;
    let mut got = BTreeMap::from([("shapley".to_owned(), Tensor::new(&phi[..], &Device::Cpu)?)]);
    for (suffix, share) in [("", shapley::share(&phi)), ("_clamped", shapley::share_clamped(&phi))] {
        let share = share.map_err(statistics)?;
        got.insert(format!("edm{suffix}"), Tensor::new(shapley::edm(&share).map_err(statistics)?, &Device::Cpu)?);
        got.insert(format!("share{suffix}"), Tensor::new(&share[..], &Device::Cpu)?);
    }
    Ok(got)
}
