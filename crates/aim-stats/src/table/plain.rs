//! Plain text for terminals.

use super::{Align, Table, one_line, padded};

const GAP: &str = "  ";

impl Table {
    /// Aligned columns under a rule, without colours; nothing is escaped and bold is not shown.
    pub fn to_plain(&self) -> String {
        let grid = self.grid(one_line, |cell, column| one_line(&cell.content.shown(column.decimals)));
        let widths = self.widths(&grid);
        let rule: Vec<String> = widths.iter().map(|&width| "─".repeat(width)).collect();
        let mut lines: Vec<String> = self.caption.iter().map(|caption| one_line(caption)).collect();
        for (index, row) in grid.iter().enumerate() {
            lines.push(self.line(row, &widths));
            if index == 0 {
                lines.push(rule.join(GAP));
            }
        }
        lines.extend(self.notes.iter().map(|note| one_line(note)));
        lines.into_iter().map(|line| line + "\n").collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let sides = self.columns.iter().map(|column| column.align);
        let cells: Vec<String> = row.iter().zip(widths.iter().zip(sides)).map(aligned).collect();
        cells.join(GAP).trim_end().to_owned()
    }
}

fn aligned((cell, (&width, align)): (&String, (&usize, Align))) -> String {
    padded(cell, width, align)
}
