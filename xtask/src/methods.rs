//! What `list methods` says of each method: for a terminal, or as the page `docs/methods.md`.

use aim_balance::{About, CARDS};
use aim_core::Result;

/// Columns of a terminal, and of what stands left of its text.
const WIDTH: usize = 100;
const MARGIN: usize = 13;

const HEAD: &str = "\
# Methods

<!-- Made by `cargo xtask list methods --markdown > docs/methods.md`; a test compares it with the cards. -->

Every method of `aim-balance`, from the cards in its source. What papers and released code say stands side by side in
[paper-vs-code.md](paper-vs-code.md).

* **cost** counts passes through the whole network unless it says otherwise; M is the number of modalities.
* **source** of a default: the *paper*, *released code* of its authors, a *third party*'s code, or *ours*.
";

/// One method, or all of them.
pub(crate) fn terminal(name: Option<&str>) -> Result<String> {
    match name {
        Some(name) => Ok(text(aim_balance::card(name)?.about)),
        None => Ok(CARDS.iter().map(|c| text(c.about)).collect()),
    }
}

/// The page.
pub(crate) fn markdown() -> String {
    let link = |a: &About| format!("[{}](#{})", a.name, a.name);
    let links: Vec<String> = CARDS.iter().map(|c| link(c.about)).collect();
    let sections: String = CARDS.iter().map(|c| section(c.about)).collect();
    format!("{HEAD}\n{}\n{sections}", links.join(" · "))
}

/// What a card says beside its settings, by name; departures come last, one a line.
fn facts(about: &About) -> [(&'static str, Vec<String>); 4] {
    let departs = about.departs.iter().map(|d| d.to_string()).collect();
    [
        ("paper", vec![about.paper.into()]),
        ("needs", vec![about.needs.words().join("; ")]),
        ("cost", vec![about.cost.into()]),
        ("departs", departs),
    ]
}

fn text(about: &About) -> String {
    let settings = about.settings.iter().map(|s| {
        let value = format!("{} = {} ({})", s.name, s.default, s.range);
        format!("{value}: {}. Default: {}.", s.meaning, s.source)
    });
    let [paper, needs, cost, departs] = facts(about);
    let rows = [paper, needs, cost, ("settings", settings.collect()), departs];
    let rows: String = rows.iter().map(|(label, items)| row(label, items)).collect();
    format!("{}: {}\n{rows}\n", about.name, wrap(about.idea, about.name.len() + 2, 4))
}

/// A label at the left and its items beside it, each with a hanging indent.
fn row(label: &str, items: &[String]) -> String {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    let line = |(label, item): (&str, &String)| format!("    {label:<9}{}\n", wrap(item, MARGIN, MARGIN + 2));
    labels.zip(items).map(line).collect()
}

/// Breaks a text that starts at a column so that no line is longer than the terminal.
fn wrap(text: &str, start: usize, indent: usize) -> String {
    let (mut out, mut column) = (String::new(), start);
    for word in text.split_whitespace() {
        let gap = usize::from(!out.is_empty());
        if !out.is_empty() && column + gap + word.len() > WIDTH {
            out += &format!("\n{:indent$}{word}", "");
            column = indent + word.len();
        } else {
            out += &format!("{:gap$}{word}", "");
            column += gap + word.len();
        }
    }
    out
}

fn section(about: &About) -> String {
    let fact = |(label, items): &(&str, Vec<String>)| match items.as_slice() {
        [] => String::new(),
        [one] => format!("* **{label}**: {one}\n"),
        many => format!("* **{label}**:\n{}", many.iter().map(|d| format!("  * {d}\n")).collect::<String>()),
    };
    let facts: String = facts(about).iter().map(fact).collect();
    format!("\n## {}\n\n{}: {}.\n\n{facts}{}", about.name, about.title, about.idea, table(about))
}

/// The settings; a bar in a cell would end it.
fn table(about: &About) -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let row = |s: &aim_balance::Setting| {
        let cells = [&format!("`{}`", s.name), s.default, s.range, s.meaning, s.source].map(cell);
        format!("| {} |\n", cells.join(" | "))
    };
    let rows: String = about.settings.iter().map(row).collect();
    if rows.is_empty() {
        return rows;
    }
    format!("\n| setting | default | range | meaning | source of the default |\n|---|---|---|---|---|\n{rows}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/methods.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        let remedy =
            "docs/methods.md differs from the cards: run `cargo xtask list methods --markdown > docs/methods.md`";
        assert!(page == markdown(), "{remedy}");
    }

    #[test]
    fn lines_fit_a_terminal() {
        assert!(terminal(None).unwrap().lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(wrap("ab cd", WIDTH - 4, 2), "ab\n  cd");
        assert_eq!(wrap("ab cd", WIDTH - 5, 2), "ab cd");
    }

    #[test]
    fn one_method_or_an_error() {
        assert!(terminal(Some("sam")).unwrap().starts_with("sam: "));
        let error = terminal(Some("sum")).unwrap_err().to_string();
        assert!(error.contains("unknown method `sum`") && error.contains("sam"), "{error}");
    }
}
