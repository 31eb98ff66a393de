//! Every command line in the documentation is one that the program understands. What they do is tried by
//! `tests/book.rs`.

use aim_cli::{Application, command_line};
use aim_tests::book::{commands, ours, words};

/// What the program has to say against a line of its own.
fn refused(line: &str) -> Option<String> {
    let (name, arguments) = ours(line)?;
    let application = if name == "xtask" { crate::application() } else { Application::named(name) };
    let program = command_line(&application).unwrap();
    let name = program.get_name().to_owned();
    program.try_get_matches_from([name].into_iter().chain(arguments)).err().map(|error| error.to_string())
}

#[test]
fn every_command_line_in_the_documentation_is_understood() {
    let mut tried = 0;
    for command in commands() {
        tried += usize::from(ours(&command.text).is_some());
        assert_eq!(refused(&command.text), None, "{}: {}", command.place, command.text);
    }
    assert!(tried > 80, "{tried}");
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
