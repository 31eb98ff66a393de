//! Plain text for terminals.

use super::{Cell, Column, Table, one_line, padded, width};

const GAP: &str = "  ";

impl Table {
    /// Aligned columns under a rule, without colours; nothing is escaped and bold is not shown.
    pub fn to_plain(&self) -> String {
        let every: Vec<usize> = (0..self.columns.len()).collect();
        let notes = self.notes.iter().map(|note| one_line(note));
        self.aligned(&self.shown(), &every).into_iter().chain(notes).map(|line| line + "\n").collect()
    }

    /// What of [`to_plain`](Self::to_plain) a terminal of so many columns has room for: minor columns are left out and
    /// named, and of the notes only warnings are there.
    ///
    /// ```
    /// use aim_stats::table::{Cell, Column, Table};
    /// let mut table = Table::new(vec![Column::text("method"), Column::text("by").minor(1), Column::number("p", 3)]);
    /// table.push(vec![Cell::text("joint"), Cell::text("everybody"), Cell::p(0.04)])?;
    /// assert_eq!(table.to_plain_within(30), table.to_plain());
    /// assert_eq!(table.to_plain_within(20), "method      p\n──────  ─────\njoint   0.040\nleft out: by\n");
    /// # Ok::<(), aim_stats::Error>(())
    /// ```
    pub fn to_plain_within(&self, columns: usize) -> String {
        let grid = self.shown();
        let widths = self.widths(&grid);
        let mut kept: Vec<usize> = (0..self.columns.len()).collect();
        let wide = |kept: &[usize]| kept.iter().map(|c| widths[*c] + width(GAP)).sum::<usize>() > columns + width(GAP);
        while wide(&kept) {
            let minor = |place: &usize| self.columns[kept[*place]].minor;
            match (0..kept.len()).filter(|place| minor(place) > 0).max_by_key(minor) {
                Some(place) => drop(kept.remove(place)),
                None => break,
            }
        }
        let left_out: Vec<&str> =
            self.columns.iter().enumerate().filter(|(c, _)| !kept.contains(c)).map(heading).collect();
        let left_out = (!left_out.is_empty()).then(|| format!("left out: {}", left_out.join(", ")));
        let notes = left_out.into_iter().chain(self.warnings().map(one_line)).map(|note| wrapped(&note, columns));
        self.aligned(&grid, &kept).into_iter().chain(notes).map(|line| line + "\n").collect()
    }

    fn shown(&self) -> Vec<Vec<String>> {
        self.grid(one_line, |cell: &Cell, column| one_line(&cell.content.shown(column.decimals)))
    }

    /// Caption, headings, rule and rows, of these columns.
    fn aligned(&self, grid: &[Vec<String>], columns: &[usize]) -> Vec<String> {
        let widths = self.widths(grid);
        let rule: Vec<String> = columns.iter().map(|c| "─".repeat(widths[*c])).collect();
        let mut lines: Vec<String> = self.caption.iter().map(|caption| one_line(caption)).collect();
        for (index, row) in grid.iter().enumerate() {
            let cells: Vec<String> =
                columns.iter().map(|c| padded(&row[*c], widths[*c], self.columns[*c].align)).collect();
            lines.push(cells.join(GAP).trim_end().to_owned());
            if index == 0 {
                lines.push(rule.join(GAP));
            }
        }
        lines
    }
}

fn heading((_, column): (usize, &Column)) -> &str {
    &column.heading
}

/// The text on lines of so many characters, broken between words; a longer word has a line of its own.
pub fn wrapped(text: &str, columns: usize) -> String {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && width(&line) + 1 + width(word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines.push(line);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_minor_columns_go_first_and_warnings_stay() {
        let columns = [("method", 0), ("accuracy", 0), ("p", 1), ("notable", 2), ("parameters", 2)];
        let mut table = Table::new(columns.map(|(heading, minor)| Column::text(heading).minor(minor)).to_vec());
        table.push(columns.map(|_| Cell::text("x")).to_vec()).unwrap();
        table.note("an explanation");
        table.warn("a run failed");
        let headings = |columns| table.to_plain_within(columns).lines().next().unwrap().to_owned();
        // method (6), accuracy (8), p, notable (7), parameters (10) and gaps of two: 40 in all.
        assert_eq!(headings(40), "method  accuracy  p  notable  parameters");
        assert_eq!(headings(39), "method  accuracy  p  notable");
        assert_eq!(headings(27), "method  accuracy  p");
        assert_eq!(headings(3), "method  accuracy");
        let text = table.to_plain_within(20);
        assert!(text.ends_with("left out: notable,\nparameters\na run failed\n"), "{text}");
        assert!(table.to_plain().ends_with("an explanation\na run failed\n"));
    }
}
