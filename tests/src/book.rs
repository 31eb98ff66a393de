//! The documentation as tests read it: its files, the blocks of code in them, and the commands.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folder of the workspace.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A block of code in a page.
pub struct Block {
    /// File and line, as errors name them.
    pub place: String,
    /// What is in it.
    pub text: String,
}

/// The pages in the root, in `docs/` (the book's among them) and in `benches/`, relative to the workspace's folder.
pub fn pages() -> Vec<PathBuf> {
    let mut found = vec![];
    for (folder, deep) in [("", false), ("docs", true), ("benches", false)] {
        collect(Path::new(folder), deep, &mut found);
    }
    found.sort();
    found
}

fn collect(folder: &Path, deep: bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
        let path = folder.join(entry.unwrap().file_name());
        if deep && Path::new(ROOT).join(&path).is_dir() {
            collect(&path, deep, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// Text of a file of the workspace.
pub fn text(path: &Path) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every block of code in this language.
pub fn blocks(language: &str) -> Vec<Block> {
    let fence = format!("```{language}");
    let mut found = vec![];
    for path in pages() {
        let text = text(&path);
        let mut lines = text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            if line.starts_with("```") {
                let body: Vec<&str> = lines.by_ref().map(|(_, l)| l).take_while(|l| !l.starts_with("```")).collect();
                let place = format!("{}:{}", path.display(), at + 1);
                found.extend((line == fence).then(|| Block { place, text: body.join("\n") }));
            }
        }
    }
    found
}

/// Every command line: the lines of blocks in the shell's language, and in the prose of the README and the book what is
/// set as code and begins with one of our programs. What has an ellipsis is none.
pub fn commands() -> Vec<Block> {
    let lines = |block: Block| -> Vec<Block> {
        let line = |line: &str| Block { place: block.place.clone(), text: line.to_owned() };
        block.text.lines().filter(|line| !words(line).is_empty()).map(line).collect()
    };
    let mut found: Vec<Block> = blocks("sh").into_iter().flat_map(lines).collect();
    for path in pages().into_iter().filter(|path| of_the_book(path)) {
        let text = text(&path);
        let prose: String = text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n");
        let spans =
            prose.split('`').skip(1).step_by(2).map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "));
        let command = |span: &String| ours(span).is_some_and(|(_, rest)| rest.last().is_some_and(|last| last != "..."));
        found.extend(spans.filter(command).map(|text| Block { place: path.display().to_string(), text }));
    }
    found
}

/// Whether a page is the README or one of the book's.
pub fn of_the_book(page: &Path) -> bool {
    page == Path::new("README.md") || page.starts_with("docs/book/src")
}

/// Words of a shell's line, up to a comment or where its output goes. Quotes hold words together.
pub fn words(line: &str) -> Vec<String> {
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

/// The program that a line starts, if it is one of ours, and its arguments.
pub fn ours(line: &str) -> Option<(&'static str, Vec<String>)> {
    let words = words(line);
    let starts = |with: &[&str]| words.iter().zip(with).filter(|(word, with)| word == with).count() == with.len();
    let skip = |n: usize| words[n..].to_vec();
    if starts(&["cargo", "xtask"]) {
        return Some(("xtask", skip(2)));
    }
    if starts(&["aim-learn"]) {
        return Some(("aim-learn", skip(1)));
    }
    let dashes = words.iter().position(|word| word == "--")?;
    let xtask = words[..dashes].windows(2).any(|pair| pair == ["-p", "xtask"]);
    (xtask && starts(&["cargo", "run"])).then(|| ("xtask", skip(dashes + 1)))
}
