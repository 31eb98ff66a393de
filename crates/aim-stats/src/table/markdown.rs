//! GitHub-flavoured Markdown.

use super::{Align, Cell, Column, Content, Table, one_line, padded};

impl Table {
    /// A pipe table, the caption in bold above it and each note as a paragraph below.
    pub fn to_markdown(&self) -> String {
        let grid = self.grid(escaped, cell);
        let widths: Vec<usize> = self.widths(&grid).into_iter().map(|width| width.max(3)).collect();
        let rule = widths.iter().zip(&self.columns).map(|(&width, column)| rule(width, column.align)).collect();
        let mut text = self.caption.iter().map(|caption| format!("**{}**\n\n", escaped(caption))).collect::<String>();
        for (index, row) in grid.iter().enumerate() {
            let cells = row.iter().zip(&widths).zip(&self.columns);
            text += &line(cells.map(|((cell, &width), column)| padded(cell, width, column.align)).collect());
            if index == 0 {
                text += &line(Vec::clone(&rule));
            }
        }
        text + &self.notes.iter().map(|note| format!("\n{}\n", escaped(note))).collect::<String>()
    }
}

fn line(cells: Vec<String>) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn rule(width: usize, align: Align) -> String {
    match align {
        Align::Left => "-".repeat(width),
        Align::Right => format!("{}:", "-".repeat(width - 1)),
    }
}

fn cell(cell: &Cell, column: &Column) -> String {
    let shown = escaped(&cell.content.shown(column.decimals));
    let bold = cell.strong && cell.content != Content::Empty;
    if bold { format!("**{shown}**") } else { shown }
}

/// A backslash before each character that Markdown or its inline HTML could take for markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in one_line(text).chars() {
        if "\\`*_[<>|~&$".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
