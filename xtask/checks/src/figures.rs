//! The figures of the front page: each is the one of the page that its row, or itself, links to.

use std::{fs, path::Path};

use crate::{Outcome, files};

const README: &str = "README.md";
/// Columns of the front page's table by the labels that pages have for their rows.
const COLUMNS: [(&str, &[&str]); 4] = [
    ("joint training", &["joint"]),
    ("joint + unimodal losses", &["joint + unimodal losses"]),
    ("head on frozen encoders", &["frozen unimodal encoders + head"]),
    ("AIM (reconstruction)", &["AIM, each modality (reconstruction)", "AIM (reconstruction)"]),
];

/// The front page has the figures of the pages.
pub fn check() -> Outcome {
    let text = files::text(Path::new(README));
    if linked(&filled(&text, page)?, page)? == text {
        return Ok(());
    }
    Err(format!("{README}: figures are not those of docs/results; write them anew with `cargo xtask check --fix`"))
}

/// Writes them anew.
pub fn fix() -> Outcome {
    let text = linked(&filled(&files::text(Path::new(README)), page)?, page)?;
    fs::write(files::root().join(README), text).map_err(|e| format!("{README}: {e}"))
}

/// A page, or the section of it that a path with `#heading` names.
fn page(path: &str) -> String {
    let (path, heading) = path.split_once('#').unwrap_or((path, ""));
    section(&files::text(Path::new(path)), heading).to_owned()
}

/// What stands under a heading of the second level; everything for none, nothing for one that is not there.
fn section<'p>(page: &'p str, heading: &str) -> &'p str {
    if heading.is_empty() {
        return page;
    }
    let under = page.split("\n## ").skip(1).find(|part| part.lines().next() == Some(heading));
    under.unwrap_or_default()
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
    let (_, labels) = known.ok_or_else(|| format!("{README}: no page has a row for `{column}`"))?;
    let found = labels.iter().find_map(|label| cell(page, label, "accuracy, 95 % interval (t)"));
    let shown = found.and_then(|cell| {
        let (mean, rest) = cell.split_once(" ± ")?;
        let (_, interval) = rest.split_once(' ')?;
        Some(format!("{mean} {interval}").replace('\\', "").replace("0.", "."))
    });
    shown.ok_or_else(|| format!("{path}: has no accuracy with an interval for `{}`", labels.join("` or `")))
}

/// A text whose figures in prose, `[.953][name]`, are those that the definitions of their links name by page, row and
/// column: `[name]: page "row: column"`.
fn linked(text: &str, page: impl Fn(&str) -> String) -> Result<String, String> {
    let mut made = text.to_owned();
    for (name, path, title) in text.lines().filter_map(definition) {
        let (row, column) = title.rsplit_once(": ").unwrap_or((title, ""));
        let text = page(path);
        let figure = cell(&text, row, column).and_then(|cell| cell.split_whitespace().next()).map(short);
        let figure = figure.ok_or_else(|| format!("{path}: has no `{column}` of `{row}`"))?;
        let mark = format!("][{name}]");
        let mut parts: Vec<String> = made.split(&mark).map(ToOwned::to_owned).collect();
        let behind = parts.pop().unwrap_or_default();
        if parts.is_empty() {
            return Err(format!("{README}: no figure is linked to [{name}]"));
        }
        for part in &mut parts {
            part.truncate(part.rfind('[').map_or(0, |at| at + 1));
            *part += &format!("{figure}{mark}");
        }
        made = parts.concat() + &behind;
    }
    Ok(made)
}

/// Name, page and title of a link's definition that has a title.
fn definition(line: &str) -> Option<(&str, &str, &str)> {
    let (name, target) = line.strip_prefix('[')?.split_once("]: ")?;
    let (path, title) = target.split_once(" \"")?;
    Some((name, path, title.strip_suffix('"')?))
}

/// A number as the front page writes it: without the zero before the point.
fn short(number: &str) -> String {
    let number = number.replace('\\', "");
    let digits = number.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
    let (sign, digits) = number.split_at(digits);
    format!("{sign}{}", digits.strip_prefix('0').filter(|rest| rest.starts_with('.')).unwrap_or(digits))
}

/// The cell of a row in the first table of a page that has both the row and the column.
fn cell<'p>(page: &'p str, row: &str, column: &str) -> Option<&'p str> {
    let (mut place, mut lines) = (None, page.lines().peekable());
    while let Some(line) = lines.next() {
        if lines.peek().is_some_and(|next| next.starts_with("| -") || next.starts_with("|-")) {
            place = cells(line).position(|cell| cell == column);
        } else if cells(line).next() == Some(row) && place.is_some() {
            return cells(line).nth(place?);
        }
    }
    None
}

/// Cells of a line of a table.
fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.trim_matches('|').split('|').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "| method | seeds | accuracy, 95 % interval (t) | macro-F1 |\n| --- | --- | --- | --- |\n\
                        | joint | 5 | 0.819 ± 0.008 \\[0.809, 0.829] | 0.7 |\n\n| method | own |\n|---|---|\n| joint | 0.1 |\n";

    #[test]
    fn a_path_can_name_a_section() {
        let page = "# page\n\nall\n\n## a\n\none\n\n## b\n\ntwo\n";
        assert_eq!(["a", "b", "c"].map(|heading| section(page, heading)), ["a\n\none\n", "b\n\ntwo\n", ""]);
        assert_eq!(section(page, ""), page);
    }

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
    fn figures_in_prose_are_those_that_their_links_name() {
        let links = "[a]: x.md \"joint: accuracy, 95 % interval (t)\"\n[own]: x.md \"joint: own\"\n";
        let text = |a: &str, own: &str| format!("of [x](x.md) [{a}][a] to [{own}][own], again [{a}][a]\n\n{links}");
        let made = linked(&text(".934", "-.2"), |_| PAGE.into()).unwrap();
        assert_eq!(made, text(".819", ".1"), "a wrong figure is another text");
        let error = |text: &str| linked(text, |_| PAGE.into()).unwrap_err();
        assert_eq!(error("[1][b]\n[b]: x.md \"aim: own\"\n"), "x.md: has no `own` of `aim`");
        assert_eq!(error("[1][b]\n[b]: x.md \"joint: probe\"\n"), "x.md: has no `probe` of `joint`");
        assert_eq!(error("[b]: x.md \"joint: own\"\n"), "README.md: no figure is linked to [b]");
        assert_eq!(["0.023", "-0.5", "\\<0.001", "10.5"].map(short), [".023", "-.5", "<.001", "10.5"]);
    }

    #[test]
    fn the_front_page_has_the_figures_of_the_pages() {
        check().unwrap();
    }
}
