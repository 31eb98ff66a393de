//! Golden steps: a folder with weights, batches and expected results, run through the ordinary methods, fusions and
//! optimizers and compared key by key.
//!
//! ```no_run
//! let verdict = aim_golden::check("tests/golden/aim-mlp-1".as_ref(), &candle_core::Device::Cpu)?;
//! println!("{verdict}");
//! assert!(verdict.passed());
//! # Ok::<(), aim_core::Error>(())
//! ```
#![deny(missing_docs)]

mod case;
mod compare;
mod numeric;
mod quantities;
mod steps;
mod translate;

use std::path::Path;

use aim_backbones::Encoders;
use aim_core::{Error, Result};
use candle_core::Device;

pub use compare::{Failure, Verdict};

/// Runs a case and compares every key of its expected results. Steps of training are taken on `device`.
///
/// # Errors
/// If the case cannot be read, or names a method, fusion or optimizer that does not exist.
pub fn check(dir: &Path, device: &Device) -> Result<Verdict> {
    check_with(dir, device, aim_backbones::builtin())
}

/// Runs a case as [`check`] does, on a network whose encoders are made by other cards of the same names.
///
/// # Errors
/// Those of [`check`], and an encoder of the case that is not among `encoders`.
pub fn check_with(dir: &Path, device: &Device, encoders: &Encoders) -> Result<Verdict> {
    let case = case::Case::load(dir, device)?;
    let (got, unused) = match case.spec.kind.as_str() {
        "training" => steps::run(&case, encoders)?,
        "numeric" => (numeric::run(&case)?, vec![]),
        other => {
            let place = dir.join("case.json").display().to_string();
            return Err(Error::invalid(place, format!("unknown kind `{other}`"), "use training or numeric"));
        }
    };
    Ok(Verdict { unused, ..compare::compare(&case, &got)? })
}
