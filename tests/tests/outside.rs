//! A program outside the workspace registers one of everything: `tests/outside`, built and tested by itself.

use std::{path::Path, process::Command};

#[test]
fn a_crate_outside_the_workspace_builds_and_passes_its_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("outside");
    // The build folder of the workspace, so that candle is not compiled for a second time.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&folder).env("CARGO_TARGET_DIR", target).args([
        "test",
        "--release",
        "--workspace",
        "--no-fail-fast",
    ]);
    let output = command.output().unwrap();
    let [told, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{errors}\n{told}");
}
