//! Sizes of files, functions and lines of comments; no method is known by its name outside its own file.

use std::path::Path;

use crate::{Outcome, files};

/// Longest file, its tests left out.
const FILE: usize = 500;
/// Longest function.
const FUNCTION: usize = 60;
/// Widest line of a comment, in characters.
const COMMENT: usize = 120;

/// Every Rust file keeps the limits.
pub fn check() -> Outcome {
    let sources: Vec<_> = files::with(&["rs"]).into_iter().map(|path| (files::text(&path), path)).collect();
    let methods = files::text(Path::new("docs/methods.md"));
    let methods: Vec<&str> = methods.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    // Cases and measurements are chosen by name.
    let chosen = ["tests", "benches", "crates/aim-golden"];
    let product = sources.iter().filter(|(_, path)| !chosen.iter().any(|folder| path.starts_with(folder)));
    let named = product.filter_map(|(text, path)| named(path, text, &methods));
    let wrong: Vec<String> = sources.iter().flat_map(|(text, path)| problems(path, text)).chain(named).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// The first comparison with the name of a method: its card says what others may ask.
fn named(path: &Path, text: &str, methods: &[&str]) -> Option<String> {
    let product = text.split("#[cfg(test)]").next().unwrap_or_default();
    let compares = |line: &str, name: &str| {
        let quoted = format!("\"{name}\"");
        let forms = [format!("== {quoted}"), format!("!= {quoted}"), format!("{quoted} =>"), format!("{quoted} |")];
        forms.iter().any(|form| line.contains(form))
    };
    let first = |line: &str| methods.iter().find(|name| compares(line, name));
    let (at, name) = product.lines().enumerate().find_map(|(at, line)| Some((at, first(line)?)))?;
    Some(format!("{}:{}: compares with the method `{name}`: ask its card instead", path.display(), at + 1))
}

fn problems(path: &Path, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.iter().position(|line| *line == "#[cfg(test)]").unwrap_or(lines.len());
    let mut wrong = vec![];
    if tests > FILE {
        wrong.push(format!("{}: {tests} lines, more than {FILE}: split the file", path.display()));
    }
    for (at, line) in lines.iter().enumerate() {
        let place = format!("{}:{}", path.display(), at + 1);
        if is_comment(line) && line.chars().count() > COMMENT {
            wrong.push(format!("{place}: a comment of more than {COMMENT} columns: break the line"));
        }
        let length = function(&lines[at..]).unwrap_or(0);
        if length > FUNCTION {
            wrong.push(format!("{place}: a function of {length} lines, more than {FUNCTION}: split it"));
        }
    }
    wrong
}

fn is_comment(line: &str) -> bool {
    // A line of a table or a long address cannot be broken.
    line.trim_start().starts_with("//")
        && !line.contains("http")
        && !line.trim_start_matches(['/', '!', ' ']).starts_with('|')
}

/// Number of lines of the function that begins in the first line, if one does: up to the brace below its first letter,
/// which rustfmt sets.
fn function(lines: &[&str]) -> Option<usize> {
    let first = lines.first()?;
    let mut words = first.split_whitespace().take_while(|word| !word.contains("fn("));
    let begins =
        words.clone().next().is_some_and(|word| word == "fn" || word.starts_with("pub") || QUALIFIERS.contains(&word))
            && words.any(|word| word == "fn");
    if !begins || first.ends_with(';') || first.ends_with('}') {
        return None;
    }
    let indent = first.len() - first.trim_start().len();
    let last = format!("{}}}", " ".repeat(indent));
    Some(1 + lines.iter().position(|line| *line == last)?)
}

/// Words before `fn`.
const QUALIFIERS: [&str; 4] = ["const", "unsafe", "async", "extern"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_ends_at_the_brace_below_it() {
        let text = "    pub fn f(\n        a: u8,\n    ) {\n        if a {\n        }\n    }\n}";
        assert_eq!(function(&text.lines().collect::<Vec<_>>()), Some(6));
        assert_eq!(function(&["fn f() {}", "}"]), None);
        assert_eq!(function(&["let f = |x| x;"]), None);
    }

    #[test]
    fn comparisons_with_the_name_of_a_method_are_found() {
        let told = |text: &str| named(Path::new("a.rs"), text, &["aim", "ogm"]);
        let found = told("f();\nif name == \"aim\" {\n");
        assert!(found.is_some_and(|told| told.contains("a.rs:2") && told.contains("`aim`")));
        assert!(told("match name {\n\"ogm\" => 1,\n").is_some());
        assert_eq!(told("name: \"aim\",\nlet x = \"aimless\" == y;\n#[cfg(test)]\nassert!(x == \"aim\");"), None);
    }

    #[test]
    fn each_limit_is_told_with_its_place() {
        let told = |text: &str| problems(Path::new("a.rs"), text);
        assert_eq!(told(&format!("fn f() {{\n{}}}\n", "    a();\n".repeat(FUNCTION - 2))), [""; 0]);
        assert_eq!(told(&format!("fn f() {{\n{}}}\n", "    a();\n".repeat(FUNCTION - 1))).len(), 1);
        assert_eq!(told(&"a;\n".repeat(FILE)), [""; 0]);
        assert_eq!(told(&"a;\n".repeat(FILE + 1)).len(), 1);
        let tested = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "a;\n".repeat(FILE));
        assert_eq!(told(&tested), [""; 0]);
        let comment = |columns| format!("//{}\n", "a".repeat(columns - 2));
        assert_eq!((told(&comment(COMMENT)).len(), told(&comment(COMMENT + 1)).len()), (0, 1));
    }
}
