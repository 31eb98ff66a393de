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
    if !arguments.contains(&"--max-tokens") {
        command.args(["--max-tokens", "4"]);
    }
    command.args(arguments).output().unwrap()
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
    let record: serde_json::Value = serde_json::from_str(fs::read_to_string(&out).unwrap().trim()).unwrap();
    assert_eq!((&record["question"], &record["expected"]), (&"What is 1 + 1?".into(), &"2".into()));
    assert!(record["tokens"].as_u64().unwrap() > 0 && record["widths"][0] == 8, "{record}");

    // Settings are refused before a file is read or emptied.
    fs::remove_file(folder.path().join("test.jsonl")).unwrap();
    for (setting, told) in [("--width", "a width of 0 samples nothing"), ("--max-tokens", "at least 1 token")] {
        let output = eval(folder.path(), &[setting, "0", "--out", out.to_str().unwrap()]);
        assert!(!output.status.success());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(told), "{error}");
    }
    assert!(fs::metadata(out).unwrap().len() > 0);
}

#[test]
fn a_question_beyond_the_context_is_wrong_and_the_next_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let long = serde_json::json!({"question": "Why? ".repeat(300), "answer": "#### 2"});
    let short = serde_json::json!({"question": "What is 1 + 1?", "answer": "#### 2"});
    fs::write(folder.path().join("test.jsonl"), format!("{long}\n{short}\n")).unwrap();
    let out = folder.path().join("out.jsonl");
    let output = eval(folder.path(), &["--out", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("1 of 2: wrong\n2 of 2: "), "{text}");
    let records: Vec<serde_json::Value> =
        fs::read_to_string(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(text.contains("1 ended by a full context"), "{text}");
    let of = |key: &str| records.iter().map(|record| record[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("full"), [true, false]);
    assert_eq!((&records[0]["finished"], &records[0]["tokens"]), (&false.into(), &0.into()));
    assert!(records[1]["tokens"].as_u64().unwrap() > 0, "{}", records[1]);
}
