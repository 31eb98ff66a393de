//! What `list methods` says of each method: for a terminal, or as the page `docs/methods.md`.

use aim_balance::{By, MethodCard};
use aim_config::Setting;
use aim_core::Result;
use aim_train::Registries;

/// Columns of a terminal, and of what stands left of its text.
const WIDTH: usize = 100;
const MARGIN: usize = 13;

const HEAD: &str = "\
# Methods

<!-- Made by `cargo xtask list methods --markdown > docs/methods.md`; a test compares it with the cards. -->

Every method of `aim-balance`, from the cards in its source. What papers and released code say stands side by side in
[paper-vs-code.md](paper-vs-code.md).

* **cost** counts passes through the whole network unless it says otherwise; M is the number of modalities.
* **searched** is the main setting, which a search with `main: true` draws.
* **source** of a default: the *paper*, *released code* of its authors, a *third party*'s code, or *ours*.
";

/// One method, or all of them.
pub(crate) fn terminal(name: Option<&str>, registries: &Registries) -> Result<String> {
    match name {
        Some(name) => Ok(text(registries.methods.get(name, "list methods")?, registries)),
        None => Ok(registries.methods.iter().map(|card| text(card, registries)).collect()),
    }
}

/// The page.
pub(crate) fn markdown(registries: &Registries) -> String {
    let link = |card: &MethodCard| format!("[{0}](#{0})", card.name());
    let links: Vec<String> = registries.methods.iter().map(link).collect();
    let sections: String = registries.methods.iter().map(|card| section(card, registries)).collect();
    format!("{HEAD}\n{}\n{sections}", links.join(" · "))
}

/// What a card says beside its settings, by name; departures come last, one a line.
fn facts(card: &MethodCard, registries: &Registries) -> [(&'static str, Vec<String>); 7] {
    let info = card.defaults().info();
    let demand = |c: aim_core::Capability| format!("{} ({})", c.meaning(), registries.offers(c));
    // Every network of this workspace has views and sites, and unimodal logits if its fusion or additional heads give
    // them.
    let separate = "features that do not depend on other modalities (any fusion behind the encoders)";
    let needs = std::iter::once(info.requires.number()).chain(info.requires.all().map(demand));
    let needs = needs.chain(info.requires.separate.then(|| separate.to_owned()));
    let by = |by: By| match by {
        By::Step => "",
        By::Modality => " of each modality",
        By::Depth => " of each block of each modality's encoder",
        By::Part => " of each part",
    };
    let unit = |unit: &str| if unit.is_empty() { String::new() } else { format!(" ({unit})") };
    let reports = info.reports.iter().map(|q| format!("`{}`{}: {}{}", q.name, by(q.by), q.meaning, unit(q.unit)));
    [
        ("paper", vec![info.paper.into()]),
        ("provenance", info.provenance.warning().map(Into::into).into_iter().collect()),
        ("needs", vec![needs.collect::<Vec<_>>().join("; ")]),
        ("cost", vec![info.cost.into()]),
        ("searched", card.main().map(|setting| format!("`{}`", setting.name)).into_iter().collect()),
        ("reports", reports.collect()),
        ("departs", info.departs.iter().map(|d| d.to_string()).collect()),
    ]
}

fn text(card: &MethodCard, registries: &Registries) -> String {
    let info = card.defaults().info();
    let settings = card.rows().into_iter().map(|(s, default)| {
        let value = format!("{} = {default} ({})", s.name, s.range());
        format!("{value}: {} Default: {}.", sentence(s.meaning), s.source)
    });
    let [paper, provenance, needs, cost, searched, reports, departs] = facts(card, registries);
    let rows = [paper, provenance, needs, cost, searched, ("settings", settings.collect()), reports, departs];
    let rows: String = rows.iter().map(|(label, items)| row(label, items)).collect();
    format!("{}: {}\n{rows}\n", info.name, wrap(info.idea, info.name.len() + 2, 4))
}

/// A text that ends as a sentence does.
fn sentence(text: &str) -> String {
    if text.ends_with('.') { text.into() } else { format!("{text}.") }
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

fn section(card: &MethodCard, registries: &Registries) -> String {
    let info = card.defaults().info();
    let fact = |(label, items): &(&str, Vec<String>)| match items.as_slice() {
        [] => String::new(),
        [one] => format!("* **{label}**: {one}\n"),
        many => format!("* **{label}**:\n{}", many.iter().map(|d| format!("  * {d}\n")).collect::<String>()),
    };
    let facts: String = facts(card, registries).iter().map(fact).collect();
    format!("\n## {}\n\n{}: {}.\n\n{facts}{}", info.name, info.title, info.idea, table(card))
}

/// The settings; a bar in a cell would end it.
fn table(card: &MethodCard) -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let row = |(s, default): (&Setting, String)| {
        let cells = [&format!("`{}`", s.name), &default, &s.range(), s.meaning, s.source].map(&cell);
        format!("| {} |\n", cells.join(" | "))
    };
    let rows: String = card.rows().into_iter().map(row).collect();
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
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/methods.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        let remedy =
            "docs/methods.md differs from the cards: run `cargo xtask list methods --markdown > docs/methods.md`";
        assert!(page == markdown(aim_train::standard()), "{remedy}");
    }

    #[test]
    fn lines_fit_a_terminal() {
        assert!(terminal(None, aim_train::standard()).unwrap().lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(wrap("ab cd", WIDTH - 4, 2), "ab\n  cd");
        assert_eq!(wrap("ab cd", WIDTH - 5, 2), "ab cd");
    }

    #[test]
    fn one_method_or_an_error() {
        assert!(terminal(Some("sam"), aim_train::standard()).unwrap().starts_with("sam: "));
        let error = terminal(Some("sum"), aim_train::standard()).unwrap_err().to_string();
        assert!(error.contains("unknown method `sum`") && error.contains("sam"), "{error}");
    }
}
