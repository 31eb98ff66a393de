//! The program on a small file with tiny random models.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn eval(folder: &Path, arguments: &[&str]) -> Output {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut command = Command::new(env!("CARGO_BIN_EXE_aim-pats"));
    command.arg("eval").arg("--data").arg(folder.join("test.jsonl"));
    command.arg("--model").arg(golden.join("qwen2")).arg("--reward").arg(golden.join("reward"));
    command.args(["--max-tokens", "4"]).args(arguments).output().unwrap()
}

#[test]
fn questions_are_solved_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let line = r#"{"question": "What is 1 + 1?", "answer": "1 + 1 = 2\n#### 2"}"#;
    fs::write(folder.path().join("test.jsonl"), format!("{line}\n{line}\n")).unwrap();
    let out = folder.path().join("out.jsonl");
    let output = eval(folder.path(), &["--limit", "1", "--out", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("1 of 1: ") && text.contains(" of 1 right (") && text.contains("iterations 8/4/2"),
        "{text}"
    );
    let record: serde_json::Value = serde_json::from_str(fs::read_to_string(out).unwrap().trim()).unwrap();
    assert_eq!((&record["question"], &record["expected"]), (&"What is 1 + 1?".into(), &"2".into()));
    assert!(record["tokens"].as_u64().unwrap() > 0 && record["widths"][0] == 8, "{record}");

    let output = eval(folder.path(), &["--width", "0"]);
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("a width of 0 samples nothing"), "{error}");
}
