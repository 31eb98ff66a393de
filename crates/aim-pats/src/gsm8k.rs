//! GSM8K (Cobbe et al. 2021): its files, and whether an answer in free text is the right one.

use std::{fs, path::Path};

use serde::Deserialize;

use crate::{Error, Result};

/// A question with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The question.
    pub question: String,
    /// The number that answers it, as the file writes it.
    pub answer: String,
}

#[derive(Deserialize)]
struct Line {
    question: String,
    answer: String,
}

/// What precedes the number in the files' answers.
const MARK: &str = "####";

/// Reads a file of GSM8K: a JSON object a line, with `question` and `answer`, whose number stands behind `####`.
///
/// # Errors
/// If the file cannot be read, or a line is none of GSM8K; the line is named.
pub fn read(path: &Path) -> Result<Vec<Problem>> {
    let remedy = "give a file of GSM8K, such as test.jsonl";
    let text = fs::read_to_string(path).map_err(|e| Error::invalid(path.display(), e, remedy))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let problems = lines.map(|(at, line)| {
        let place = || format!("{}:{}", path.display(), at + 1);
        let line: Line = serde_json::from_str(line).map_err(|e| Error::invalid(place(), e, remedy))?;
        let number = line.answer.rsplit_once(MARK).map(|(_, number)| number.trim());
        let answer = number
            .filter(|number| value(number).is_some())
            .ok_or_else(|| Error::invalid(place(), format!("its answer has no number behind {MARK}"), remedy))?;
        Ok(Problem { answer: answer.to_owned(), question: line.question })
    });
    problems.collect()
}

/// The final answer of a solution in free text: what the last `\boxed{}` holds, else what follows the last `####` or
/// `answer is`, else the last number.
pub fn extract(solution: &str) -> Option<String> {
    if let Some(boxed) = boxed(solution) {
        return Some(boxed.trim().to_owned());
    }
    let solution = &fractions(solution);
    let lower = solution.to_ascii_lowercase();
    for mark in [MARK, "answer is"] {
        let behind = lower.rfind(mark).and_then(|at| solution.get(at + mark.len()..));
        if let Some(number) = behind.and_then(|text| numbers(text).into_iter().next()) {
            return Some(number);
        }
    }
    numbers(solution).pop()
}

/// Whether two answers are the same number, however they are written.
pub fn same(a: &str, b: &str) -> bool {
    value(a).is_some_and(|a| Some(a) == value(b))
}

/// What the last `\boxed{}` with balanced braces holds.
fn boxed(text: &str) -> Option<&str> {
    // Open braces: where the content begins, if it is a box's.
    let (mut open, mut last) = (vec![], None);
    for (at, c) in text.char_indices() {
        match c {
            '{' => open.push(text[..at].ends_with("\\boxed").then_some(at + 1)),
            '}' => last = last.max(open.pop().flatten().map(|begin| (begin, at))),
            _ => {}
        }
    }
    last.map(|(begin, end)| &text[begin..end])
}

/// A number as a reduced fraction: the only one of an answer, or the one behind its last sign of equality.
fn value(answer: &str) -> Option<(i128, i128)> {
    let answer = answer.rsplit_once('=').map_or(answer, |(_, right)| right);
    match &numbers(&fractions(answer))[..] {
        [number] => fraction(number),
        _ => None,
    }
}

/// LaTeX's `\frac{a}{b}` and `\frac ab` as `a/b`, behind a whole number (a mixed number) as one fraction of both.
fn fractions(text: &str) -> String {
    let text = text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("{,}", ",");
    let mut parts = text.split("\\frac");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    // Where the last fraction ended: its denominator is no whole number of the next.
    let mut last = 0;
    for part in parts {
        let both = argument(part).and_then(|(above, rest)| Some((above, argument(rest)?)));
        let Some((above, (below, rest))) = both else {
            plain.push_str(part);
            continue;
        };
        let whole = plain[last..].trim_end().trim_end_matches(|c: char| c.is_ascii_digit() || c == ',');
        let begin = last + whole.len();
        match mixed(&plain[begin..], above, below) {
            Some(above) => plain.replace_range(begin.., &format!("{above}/{below}")),
            None => plain.push_str(&format!("{above}/{below}")),
        }
        // No digit that follows is one of the denominator's.
        plain.push(' ');
        last = plain.len();
        plain.push_str(rest);
    }
    plain
}

/// An argument of a command of LaTeX, a group in braces or one digit, and what follows it.
fn argument(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    match text.strip_prefix('{') {
        Some(group) => group.split_once('}'),
        None => text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.split_at(1)),
    }
}

/// The numerator of a mixed number: 7 of 3 1/2.
fn mixed(whole: &str, above: &str, below: &str) -> Option<i128> {
    let part = |digits: &str| digits.trim().parse::<u32>().ok().map(i128::from);
    let whole = Some(whole.trim_end()).filter(|whole| !whole.ends_with(','))?;
    Some(part(&whole.replace(',', ""))? * part(below)? + part(above)?)
}

/// Every number in a text: a sign that follows no number, digits with or without commas between groups of three, and
/// decimals or a denominator.
fn numbers(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let (mut found, mut at) = (vec![], 0);
    while at < chars.len() {
        let digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
        let begins = digit(at) || chars[at] == '.' && digit(at + 1);
        if !begins {
            at += 1;
            continue;
        }
        // A dollar may stand between sign and number.
        let before = chars[..at].iter().rev().filter(|c| !['$', '\\'].contains(c)).take(2).collect::<Vec<_>>();
        let negative = matches!(before[..], ['-' | '−', ..]) && !before.get(1).is_some_and(|c| c.is_alphanumeric());
        let mut number = String::from(if negative { "-" } else { "" });
        while at < chars.len() {
            let group = (1..4).all(|k| digit(at + k)) && !digit(at + 4);
            match chars[at] {
                c if c.is_ascii_digit() => number.push(c),
                ',' if group => {}
                c @ ('.' | '/') if digit(at + 1) && !number.contains(['.', '/']) => number.push(c),
                _ => break,
            }
            at += 1;
        }
        found.push(number);
    }
    found
}

/// A number that [`numbers`] found, as a reduced fraction; none that is too large to be exact.
fn fraction(number: &str) -> Option<(i128, i128)> {
    if number.len() > 36 {
        return None;
    }
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let (above, below) = match whole.split_once('/') {
        Some((above, below)) => (above.parse().ok()?, below.parse::<i128>().ok()?),
        None => (format!("{whole}{part}").parse::<i128>().ok()?, 10_i128.pow(part.len() as u32)),
    };
    let divisor = divisor(above, below);
    (below != 0).then(|| (above / divisor, below / divisor))
}

fn divisor(a: i128, b: i128) -> i128 {
    if b == 0 { a.abs().max(1) } else { divisor(b, a % b).abs() }
}

#[cfg(test)]
mod tests {
    use rand::Rng as _;

    use super::*;

    #[test]
    fn answers_are_found_in_free_text() {
        for (text, answer) in [
            ("So he has 3 + 4 = \\boxed{7} apples.", Some("7")),
            ("First \\boxed{1}, no: \\boxed{2}", Some("2")),
            ("\\boxed{\\frac{3}{4}}", Some("\\frac{3}{4}")),
            ("\\boxed{18 \\text{ dollars}}", Some("18 \\text{ dollars}")),
            ("It is 5.\n#### 1,234", Some("1234")),
            ("The answer is $12.50.", Some("12.50")),
            ("The answer is -3, as 1 - 4 = -3", Some("-3")),
            ("The final answer is: **42**. Checked 2 times.", Some("42")),
            ("They sell 20 pies at $3 each: $60.", Some("60")),
            ("\\boxed{7", Some("7")),
            ("The answer is 3\\frac12 cups of 8.", Some("7/2")),
            ("\\boxed{4}, or rather \\boxed{7", Some("4")),
            ("\\boxed{\\boxed{4} + \\boxed{7}} {}", Some("7")),
            ("The answer is unknown, 4 or 5", Some("4")),
            ("no number", None),
            ("", None),
        ] {
            assert_eq!(extract(text).as_deref(), answer, "{text}");
        }
    }

    #[test]
    fn numbers_are_the_same_however_they_are_written() {
        for (a, b) in [
            ("18", "18.00"),
            ("$1,234", "1234"),
            ("\\$1{,}234", "1234"),
            ("0.5", "\\frac{1}{2}"),
            ("2/4", ".5"),
            ("\\dfrac{6}{3}", "2"),
            ("18 \\text{ dollars}", "18"),
            ("18\\%", "18"),
            ("x = 5", "5"),
            ("-3", "-3.0"),
            ("−3", "-3"),
            ("-$5", "-5"),
            ("007", "7"),
            ("1,000,000", "1000000"),
            ("10 apples.", "10"),
            ("3\\frac12", "7/2"),
            ("-3 \\tfrac{1}{2}", "-3.5"),
            ("2\\dfrac{1}{2}", "2.5"),
            ("1,234\\frac{1}2", "2469/2"),
            ("\\frac12", "0.5"),
            ("-\\frac 1 {2}", "-0.5"),
            ("\\frac{1{,}000}{2}", "500"),
        ] {
            assert!(same(a, b) && same(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("18", "19"),
            ("18", "-18"),
            ("1,2", "12"),
            ("", ""),
            ("x", "x"),
            ("1/0", "1/0"),
            ("3 or 4", "4"),
            ("2\\frac{1}{2}", "21/2"),
            ("\\frac12", "12"),
            ("\\frac123", "1/23"),
            ("2.5\\frac12", "5.5"),
            ("5, \\frac12", "5.5"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn what_stands_in_the_last_box_is_found_behind_any_text() {
        let words =
            ["\\boxed{", "}", "####", "answer is", "-", "$", "1", ",", "234", ".", "/", "0", "\\frac{", "−", "é", "="];
        let mut rng = crate::random::generator(1);
        for _ in 0..20_000 {
            let text: String = (0..rng.random_range(0..40)).map(|_| words[rng.random_range(0..words.len())]).collect();
            // None of them is too strange.
            assert_eq!(extract(&text).is_none(), numbers(&text).is_empty() && boxed(&text).is_none(), "{text}");
            assert_eq!(extract(&format!("{text}\\boxed{{7}}")).as_deref(), Some("7"), "{text}");
        }
    }

    #[test]
    fn differences_and_ranges_are_no_signs() {
        assert_eq!(
            numbers("5-3 is 2, (-4) and x-1, 1. 2,345,678.9 12,34"),
            ["5", "3", "2", "-4", "1", "1", "2345678.9", "12", "34"]
        );
    }

    #[test]
    fn files_are_read_and_faults_told_with_their_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.jsonl");
        let line = r#"{"question": "How many?", "answer": "2+2=<<2+2=4>>4\n#### 1,004"}"#;
        fs::write(&path, format!("{line}\n\n")).unwrap();
        assert_eq!(read(&path).unwrap(), [Problem { question: "How many?".into(), answer: "1,004".into() }]);
        for (bad, told) in [
            (r#"{"question": "How many?", "answer": "4"}"#, "no number behind ####"),
            (r#"{"question": "How many?"}"#, "missing field `answer`"),
            ("How many?", "expected value"),
        ] {
            fs::write(&path, format!("{line}\n{bad}")).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("test.jsonl:2: ") && error.contains(told), "{error}");
        }
        assert!(read(&folder.path().join("absent")).is_err());
    }
}
