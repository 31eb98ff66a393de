//! Comma-separated values (RFC 4180, with `\n` at the end of lines).

use super::{Cell, Content, Table};

/// What a number may bring with it, in the order of the columns.
const PARTS: [&str; 4] = ["", " std", " low", " high"];

impl Table {
    /// One line of headings and one for each row, numbers with all their digits.
    ///
    /// A column in which some cell has a spread or an interval is followed by columns `<heading> std`,
    /// `<heading> low` and `<heading> high` as needed. Caption, notes and bold are left out.
    pub fn to_csv(&self) -> String {
        let parts: Vec<Vec<usize>> = (0..self.columns.len()).map(|column| self.parts(column)).collect();
        let names = self.columns.iter().zip(&parts);
        let headings = names.flat_map(|(column, parts)| parts.iter().map(|&p| column.heading.clone() + PARTS[p]));
        let row = |row: &Vec<Cell>| {
            let cells = row.iter().zip(&parts);
            line(cells.flat_map(|(cell, parts)| parts.iter().map(|&p| part(&cell.content, p))))
        };
        std::iter::once(line(headings)).chain(self.rows.iter().map(row)).collect()
    }

    /// The parts that any cell of a column has; the first is always there.
    fn parts(&self, column: usize) -> Vec<usize> {
        let used = |p: usize| p == 0 || self.rows.iter().any(|row| !part(&row[column].content, p).is_empty());
        (0..PARTS.len()).filter(|&p| used(p)).collect()
    }
}

fn part(content: &Content, index: usize) -> String {
    let number = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    match (content, index) {
        (Content::Text(text), 0) => text.clone(),
        (Content::P(p), 0) => number(Some(*p)),
        (Content::Number { value, .. }, 0) => number(Some(*value)),
        (Content::Number { std, .. }, 1) => number(*std),
        (Content::Number { interval, .. }, 2) => number(interval.map(|interval| interval.low)),
        (Content::Number { interval, .. }, 3) => number(interval.map(|interval| interval.high)),
        _ => String::new(),
    }
}

fn line(fields: impl Iterator<Item = String>) -> String {
    fields.map(|field| quoted(&field)).collect::<Vec<_>>().join(",") + "\n"
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}
