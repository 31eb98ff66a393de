//! Every public golden case, through the ordinary methods, fusions and optimizers.
//!
//! The folder is named by `AIM_GOLDEN`; without it the test says that it is skipped.
#![allow(
    clippy::unwrap_used,
    clippy::explicit_write,
    reason = "helpers of tests; the macro for stderr would be captured"
)]

use std::{io::Write, path::PathBuf};

#[test]
fn golden_cases() {
    let Some(root) = std::env::var_os("AIM_GOLDEN").map(PathBuf::from) else {
        // Past the capture of test output, which swallows what passing tests print.
        writeln!(std::io::stderr(), "skipped: AIM_GOLDEN is not set").unwrap();
        return;
    };
    let mut failed = Vec::new();
    let mut passed = 0;
    for case in std::fs::read_dir(&root).unwrap() {
        let dir = case.unwrap().path();
        if !dir.join("case.json").exists() {
            continue;
        }
        match aim_golden::check(&dir, &candle_core::Device::Cpu) {
            Ok(verdict) if verdict.passed() => passed += 1,
            Ok(verdict) => failed.push(format!("{}:\n{verdict}", dir.display())),
            Err(e) => failed.push(format!("{}: {e}", dir.display())),
        }
    }
    assert!(failed.is_empty() && passed > 0, "{passed} passed\n{}", failed.join("\n"));
}
