//! Each published crate's README: the front page of its documentation, as a registry can show it.

use std::{fs, path::Path};

use crate::{Outcome, files};

/// Every README is that of its crate's documentation.
pub fn check() -> Outcome {
    compare(|path, text| {
        let same = files::text(path) == text;
        if same { Ok(()) } else { Err(format!("{}: write it anew with `cargo xtask check --fix`", path.display())) }
    })
}

/// Writes them anew.
pub fn fix() -> Outcome {
    compare(|path, text| fs::write(files::root().join(path), text).map_err(|e| format!("{}: {e}", path.display())))
}

fn compare(each: impl Fn(&Path, &str) -> Outcome) -> Outcome {
    let wanted = |path: &&std::path::PathBuf| files::text(path).contains("readme = \"README.md\"");
    let manifests: Vec<_> = files::with(&["toml"]).into_iter().filter(|path| path.ends_with("Cargo.toml")).collect();
    let outcomes = manifests.iter().filter(wanted).map(|manifest| {
        let folder = manifest.parent().unwrap_or(Path::new(""));
        each(&folder.join("README.md"), &readme(&files::text(manifest), &files::text(&folder.join("src/lib.rs"))))
    });
    let wrong: Vec<String> = outcomes.filter_map(Result::err).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn readme(manifest: &str, library: &str) -> String {
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = ")).unwrap_or_default().trim_matches('"');
    let docs: Vec<&str> = library.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let docs: Vec<&str> = docs.into_iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let part = if name == "aim-learn" {
        ""
    } else {
        "Part of [aim-learn](https://crates.io/crates/aim-learn), and useful alone. "
    };
    format!("# {name}\n\n{}\n\n{part}Licence: MIT or Apache-2.0, as you like.\n", page(&docs).trim_end())
}

/// Documentation without what only rustdoc understands: hidden lines, links to items, and fences without a language.
fn page(docs: &[&str]) -> String {
    let (mut code, mut text) = (false, String::new());
    for line in docs {
        let fence = line.starts_with("```");
        if code && !fence && (*line == "#" || line.starts_with("# ")) {
            continue;
        }
        let plain = matches!(*line, "```" | "```no_run");
        let line = if fence && !code && plain { "```rust" } else { line };
        code ^= fence;
        text += &if code || fence { line.to_owned() } else { unlinked(line) };
        text.push('\n');
    }
    text
}

/// A line whose links to items are their words alone; addresses stay links.
fn unlinked(line: &str) -> String {
    let (mut text, mut rest) = (String::new(), line);
    while let Some((before, inside)) = rest.split_once('[') {
        let Some((words, after)) = inside.split_once(']') else { break };
        let target = after.strip_prefix('(').and_then(|after| after.split_once(')'));
        let address = target.is_some_and(|(target, _)| target.starts_with("http"));
        let item = words.starts_with('`') || target.is_some();
        text += before;
        text += &if address || !item { format!("[{words}]") } else { words.to_owned() };
        rest = match target {
            Some((_, behind)) if !address => behind,
            _ => after,
        };
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readme_is_the_front_page_without_rustdoc() {
        let library = "//! One [`Rule`], [rules](crate::rule), [a site](https://a.b), `[B, C]`.\n//!\n//! ```\n//! let a = 1;\n//! # hidden();\n//! ```\nmod rule;\n";
        let text = readme("[package]\nname = \"aim-x\"\n", library);
        let want =
            "# aim-x\n\nOne `Rule`, rules, [a site](https://a.b), `[B, C]`.\n\n```rust\nlet a = 1;\n```\n\nPart of";
        assert!(text.starts_with(want), "{text}");
    }
}
