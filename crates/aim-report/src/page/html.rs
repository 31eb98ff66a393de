//! Texts and tables as HTML.

use aim_stats::table::{Align, Cell, Column, Content, Table};

/// Text as it may stand between tags.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text with what stands between two backticks set as code.
pub(super) fn prose(text: &str) -> String {
    let parts: Vec<String> = text.split('`').map(escape).collect();
    let code = |(i, part): (usize, &String)| if i % 2 == 1 { format!("<code>{part}</code>") } else { part.clone() };
    // An odd number of backticks pairs nothing.
    if parts.len() % 2 == 1 { parts.iter().enumerate().map(code).collect() } else { parts.join("`") }
}

/// A table with its caption and notes. Columns that matter come first; on narrow screens the minor ones are hidden
/// until they are asked for, and what is still too wide scrolls beside the first column. The number tells tables of a
/// page apart.
pub(super) fn table(table: &Table, number: usize) -> String {
    let mut order: Vec<usize> = (0..table.columns().len()).collect();
    order.sort_by_key(|column| table.columns()[*column].minor);
    let class = |column: &Column| {
        let number = if column.align == Align::Right { "number " } else { "" };
        format!(" class=\"{number}m{}\"", column.minor.min(3))
    };
    let head = |column: &Column| format!("<th scope=\"col\"{}>{}</th>", class(column), prose(&column.heading));
    let heads: String = order.iter().map(|column| head(&table.columns()[*column])).collect();
    let mut rows = String::new();
    for row in table.rows() {
        let one = |column: &usize| {
            let (cell, column) = (&row[*column], &table.columns()[*column]);
            format!("<td{}>{}</td>", class(column), content(cell, column.decimals))
        };
        rows += &format!("<tr>{}</tr>\n", order.iter().map(one).collect::<String>());
    }
    let caption = table.caption().map(|c| format!("<caption>{}</caption>", prose(c))).unwrap_or_default();
    let notes: String = table.notes().iter().map(|n| format!("<p class=\"note\">{}</p>\n", prose(n))).collect();
    let minor = table.columns().iter().any(|column| column.minor > 0);
    let more = format!(
        "<input type=\"checkbox\" class=\"all\" id=\"all-{number}\"><label class=\"all\" for=\"all-{number}\">all columns</label>\n"
    );
    format!(
        "<div class=\"table\">{}<div class=\"wide\" tabindex=\"0\"><table>{caption}<thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table></div></div>\n{notes}",
        if minor { more.as_str() } else { "" }
    )
}

/// A cell; an interval stands below its number.
fn content(cell: &Cell, decimals: usize) -> String {
    let shown = match &cell.content {
        Content::Number { value, std, interval: Some(_) } => {
            let number = Content::Number { value: *value, std: *std, interval: None }.shown(decimals);
            let whole = cell.content.shown(decimals);
            let below = whole.strip_prefix(&number).unwrap_or_default();
            format!("{number}<br><small>{}</small>", below.trim())
        }
        Content::Text(text) => prose(text),
        other => escape(&other.shown(decimals)),
    };
    if cell.strong { format!("<strong>{shown}</strong>") } else { shown }
}

#[cfg(test)]
mod tests {
    use aim_stats::interval::Interval;

    use super::*;

    #[test]
    fn columns_that_matter_come_first_and_intervals_below() {
        let columns = vec![Column::text("method"), Column::number("cost", 0).minor(3), Column::number("accuracy", 2)];
        let mut made = Table::new(columns).with_caption("of `x`");
        let interval = Some(Interval { low: 0.4, high: 0.6, level: 0.95 });
        made.push(vec![Cell::text("<a>"), Cell::number(7.), Cell::estimate(0.5, Some(0.1), interval)]).unwrap();
        let html = table(&made, 2);
        for part in [
            "method</th><th scope=\"col\" class=\"number m0\">accuracy</th><th scope=\"col\" class=\"number m3\">cost<",
            "<td class=\"m0\">&lt;a&gt;</td><td class=\"number m0\">0.50 ± 0.10<br><small>[0.40, 0.60]</small></td>",
            "of <code>x</code>",
            "id=\"all-2\"",
        ] {
            assert!(html.contains(part), "{part}\n{html}");
        }
        assert_eq!(prose("one ` alone <"), "one ` alone &lt;");
    }
}
