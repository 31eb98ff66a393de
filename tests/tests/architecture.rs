//! Invariants of the workspace's shape.

use std::process::Command;

/// Crates that a crate of the workspace depends on, directly or not.
fn dependencies(of: &str) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "--package", of, "--edges", "normal", "--prefix", "none"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    String::from_utf8(tree.stdout).unwrap()
}

#[test]
fn methods_see_no_network_optimizer_or_data() {
    let tree = dependencies("aim-balance");
    assert!(tree.contains("aim-core v"));
    for other in ["aim-backbones", "aim-fusion", "aim-optim", "aim-data", "aim-train"] {
        assert!(!tree.contains(other), "aim-balance must not depend on {other}");
    }
}

#[test]
fn operations_know_nothing_of_modalities_and_statistics_nothing_of_tensors() {
    assert!(!dependencies("aim-ops").lines().skip(1).any(|line| line.starts_with("aim-")));
    assert!(!dependencies("aim-stats").contains("candle"));
}
