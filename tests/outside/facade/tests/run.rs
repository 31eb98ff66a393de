//! The example of an own network needs no crate but the one.

use std::process::Command;

#[test]
fn the_example_of_an_own_network_runs_with_one_dependency() {
    let output = Command::new(env!("CARGO_BIN_EXE_own_network")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("epoch ") && line.contains("loss ")).count(), 12, "{text}");
}
