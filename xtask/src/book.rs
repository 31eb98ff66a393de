//! Every command line in the documentation is one that the program understands.

use aim_cli::{Application, clap, command_line};
use aim_tests::book::blocks;

/// Words of a shell's line, up to a comment or where its output goes. Quotes hold words together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (vec![], None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (None, '#' | '>') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            (None, '"' | '\'') => (quote, word) = (Some(c), word.or_else(|| Some(String::new()))),
            (Some(q), c) if q == c => quote = None,
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The program that a line starts, with its arguments, if it is one of ours.
fn ours(line: &str) -> Option<(clap::Command, Vec<String>)> {
    let words = words(line);
    let starts = |with: &[&str]| words.iter().zip(with).filter(|(word, with)| word == with).count() == with.len();
    let skip = |n: usize| words[n..].to_vec();
    let program = |application: &Application| command_line(application).unwrap();
    if starts(&["cargo", "xtask"]) {
        return Some((program(&crate::application()), skip(2)));
    }
    if starts(&["aim-learn"]) {
        return Some((program(&Application::named("aim-learn")), skip(1)));
    }
    let dashes = words.iter().position(|word| word == "--")?;
    let xtask = words[..dashes].windows(2).any(|pair| pair == ["-p", "xtask"]);
    (xtask && starts(&["cargo", "run"])).then(|| (program(&crate::application()), skip(dashes + 1)))
}

/// What the program has to say against a line of its own.
fn refused(line: &str) -> Option<String> {
    let (program, arguments) = ours(line)?;
    let name = program.get_name().to_owned();
    program.try_get_matches_from([name].into_iter().chain(arguments)).err().map(|error| error.to_string())
}

#[test]
fn every_command_line_in_the_documentation_is_understood() {
    let mut tried = 0;
    for block in blocks("sh") {
        for line in block.text.lines() {
            tried += usize::from(ours(line).is_some());
            assert_eq!(refused(line), None, "{}: {line}", block.place);
        }
    }
    assert!(tried > 50, "{tried}");
}

#[test]
fn lines_that_the_program_does_not_know_are_refused() {
    for line in [
        "cargo xtask reproduse",
        "cargo xtask reproduce a b=1 --quik  # a comment",
        "aim-learn check",
        "cargo run --release -p xtask --features media -- data verify mine.yaml",
    ] {
        assert!(refused(line).is_some(), "{line}");
    }
    assert_eq!(refused("cargo xtask check --fix > log"), None);
    assert!(ours("cargo test --release -p xtask").is_none());
    assert_eq!(words("a 'b c=\"d\"' e # f"), ["a", "b c=\"d\"", "e"]);
}
