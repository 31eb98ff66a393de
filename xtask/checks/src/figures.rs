//! The figures of the front page: each is the one of the page that its row links to.

use std::{fs, path::Path};

use crate::{Outcome, files};

const README: &str = "README.md";
/// Columns of the front page's table by the labels that pages have for their rows.
const COLUMNS: [(&str, &str); 5] = [
    ("joint training", "joint"),
    ("joint, learning rate searched", "joint, learning rate tuned"),
    ("joint + unimodal losses", "joint + unimodal losses"),
    ("head on frozen encoders", "frozen unimodal encoders + head"),
    ("AIM (reconstruction)", "AIM, each modality (reconstruction)"),
];

/// The table of the front page has the figures of the pages.
pub fn check() -> Outcome {
    let text = files::text(Path::new(README));
    if filled(&text, page)? == text {
        return Ok(());
    }
    Err(format!("{README}: figures are not those of docs/results; write them anew with `cargo xtask check --fix`"))
}

/// Writes them anew.
pub fn fix() -> Outcome {
    let text = filled(&files::text(Path::new(README)), page)?;
    fs::write(files::root().join(README), text).map_err(|e| format!("{README}: {e}"))
}

fn page(path: &str) -> String {
    files::text(Path::new(path))
}

/// A text whose table of results, the one whose first column is `set`, has the figures of the pages that its rows link
/// to.
fn filled(text: &str, page: impl Fn(&str) -> String) -> Result<String, String> {
    let begin = text.find("| set |").ok_or_else(|| format!("{README}: has no table of results"))?;
    let (before, table) = text.split_at(begin);
    let (table, after) = table.split_once("\n\n").unwrap_or((table, ""));
    let mut lines = table.lines();
    let head = lines.next().unwrap_or_default();
    let wanted: Vec<&str> = cells(head).skip(1).collect();
    let mut made = vec![head.to_owned(), lines.next().unwrap_or_default().to_owned()];
    for line in lines {
        let link = cells(line).next().unwrap_or_default();
        let path = link.split_once("](").and_then(|(_, path)| path.strip_suffix(')'));
        let path = path.ok_or_else(|| format!("{README}: `{link}` is no link to a page"))?;
        let figures = wanted.iter().map(|column| figure(&page(path), path, column));
        made.push(format!("| {link} | {} |", figures.collect::<Result<Vec<_>, _>>()?.join(" | ")));
    }
    Ok(format!("{before}{}\n\n{after}", made.join("\n")))
}

/// Accuracy and interval of a row of a page: `.820 [.811, .830]`.
fn figure(page: &str, path: &str, column: &str) -> Result<String, String> {
    let known = COLUMNS.iter().find(|(ours, _)| *ours == column);
    let (_, label) = known.ok_or_else(|| format!("{README}: no page has a row for `{column}`"))?;
    let mut lines = page.lines().skip_while(|line| !(line.starts_with("| method") && line.contains("accuracy")));
    let place = lines.next().and_then(|head| cells(head).position(|cell| cell.starts_with("accuracy")));
    let row = lines.find(|line| cells(line).next() == Some(label));
    let cell = place.zip(row).and_then(|(place, row)| cells(row).nth(place));
    let shown = cell.and_then(|cell| {
        let (mean, rest) = cell.split_once(" ± ")?;
        let (_, interval) = rest.split_once(' ')?;
        Some(format!("{mean} {interval}").replace('\\', "").replace("0.", "."))
    });
    shown.ok_or_else(|| format!("{path}: has no accuracy with an interval for `{label}`"))
}

/// Cells of a line of a table.
fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.trim_matches('|').split('|').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "| method | seeds | accuracy, 95 % interval (t) | macro-F1 |\n| --- | --- | --- | --- |\n\
                        | joint | 5 | 0.819 ± 0.008 \\[0.809, 0.829] | 0.7 |\n\n| method | own |\n| joint | 0.1 |\n";

    #[test]
    fn figures_of_the_front_page_are_those_of_the_pages() {
        let text = |figure: &str| format!("a\n\n| set | joint training |\n|---|---|\n| [x](x.md) | {figure} |\n\nb\n");
        let made = filled(&text(".5"), |path| if path == "x.md" { PAGE.into() } else { String::new() });
        assert_eq!(made.unwrap(), text(".819 [.809, .829]"));
        let wrong = filled(&text(".5"), |_| String::new()).unwrap_err();
        assert_eq!(wrong, "x.md: has no accuracy with an interval for `joint`");
        assert!(filled("no table", |_| String::new()).is_err());
    }

    #[test]
    fn the_front_page_has_the_figures_of_the_pages() {
        check().unwrap();
    }
}
