//! Tables as HTML.

use aim_stats::table::{Align, Table};

/// Text as it may stand between tags.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A table with its caption and notes, in a box that scrolls sideways on narrow screens.
pub(super) fn table(table: &Table) -> String {
    let class = |align| if align == Align::Right { " class=\"number\"" } else { "" };
    let heads: String =
        table.columns().iter().map(|c| format!("<th{}>{}</th>", class(c.align), escape(&c.heading))).collect();
    let mut rows = String::new();
    for row in table.rows() {
        let cell = |(cell, column): (&aim_stats::table::Cell, &aim_stats::table::Column)| {
            format!("<td{}>{}</td>", class(column.align), escape(&cell.content.shown(column.decimals)))
        };
        rows += &format!("<tr>{}</tr>\n", row.iter().zip(table.columns()).map(cell).collect::<String>());
    }
    let caption = table.caption().map(|c| format!("<caption>{}</caption>", escape(c))).unwrap_or_default();
    let notes: String = table.notes().iter().map(|n| format!("<p class=\"note\">{}</p>\n", escape(n))).collect();
    format!(
        "<div class=\"wide\"><table>{caption}<thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table></div>\n{notes}"
    )
}
