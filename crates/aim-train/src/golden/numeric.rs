//! Cases without a network: functions of supplied tensors.

use std::collections::BTreeMap;

use aim_core::Result;
use candle_core::{DType, Device, Tensor};

use super::case::Case;

pub(super) fn run(case: &Case) -> Result<BTreeMap<String, Tensor>> {
    match case.spec.method.as_str() {
        "shapley" => shapley(case),
        other => Err(case.invalid(format!("no numeric function `{other}`"))),
    }
}

fn shapley(_: &Case) -> Result<BTreeMap<String, Tensor>> {
    todo!()
}
