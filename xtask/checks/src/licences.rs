//! Licences of everything that is linked.

use std::process::Stdio;

use serde_json::Value;
use spdx::{Expression, LicenseReq};

use crate::{Outcome, cargo, files};

/// Licences that a program under MIT or Apache-2.0 may contain. MPL-2.0 binds changes of its own files alone.
const ALLOWED: [&str; 14] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "Unlicense",
    "BSL-1.0",
    "0BSD",
    "MPL-2.0",
    "CDLA-Permissive-2.0",
];

/// Every package of the lock file, with whatever feature, has an allowed licence.
pub fn check() -> Outcome {
    let wrong: Vec<String> = packages()?.iter().filter_map(refused).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn packages() -> Result<Vec<Value>, String> {
    let mut command = cargo("metadata --format-version 1 --all-features --locked");
    let output = command.current_dir(files::root()).stderr(Stdio::inherit()).output().map_err(|e| e.to_string())?;
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))?;
    Ok(metadata["packages"].as_array().cloned().unwrap_or_default())
}

/// What is wrong with a package's licence.
fn refused(package: &Value) -> Option<String> {
    let name = format!("{} {}", package["name"].as_str()?, package["version"].as_str()?);
    let Some(licence) = package["license"].as_str() else { return Some(format!("{name}: names no licence")) };
    // The form of older manifests, `MIT/Apache-2.0`.
    match Expression::parse(&licence.replace('/', " OR ")) {
        Ok(expression) if expression.evaluate(allowed) => None,
        Ok(_) => Some(format!("{name}: {licence} is not among the allowed licences")),
        Err(error) => Some(format!("{name}: {licence}: {error}")),
    }
}

fn allowed(licence: &LicenseReq) -> bool {
    licence.license.id().is_some_and(|id| ALLOWED.contains(&id.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_allowed_alternative_is_enough_and_every_part_is_needed() {
        let told = |licence: &str| refused(&json!({"name": "a", "version": "1.0.0", "license": licence}));
        for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0-only OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0", "MPL-2.0"] {
            assert_eq!(told(good), None, "{good}");
        }
        for bad in ["GPL-3.0-only", "MIT AND AGPL-3.0-only", "no licence"] {
            assert!(told(bad).is_some(), "{bad}");
        }
        assert!(refused(&json!({"name": "a", "version": "1.0.0"})).is_some());
    }
}
