//! One model of a table, printed as plain text, Markdown, CSV and LaTeX.
//!
//! Cells keep their numbers; how many decimals are shown is the column's matter, and CSV always holds all of them.
//!
//! ```
//! use aim_stats::table::{Cell, Column, Table};
//! let mut table = Table::new(vec![Column::text("method"), Column::number("accuracy", 1), Column::number("p", 3)]);
//! table.push(vec![Cell::text("joint"), Cell::estimate(70.4, Some(1.14), None), Cell::empty()])?;
//! table.push(vec![Cell::text("aim"), Cell::estimate(73.8, Some(1.92), None).strong(), Cell::p(0.0004)])?;
//! assert_eq!(
//!     table.to_plain(),
//!     "method    accuracy       p\n\
//!      ──────  ──────────  ──────\n\
//!      joint   70.4 ± 1.1\n\
//!      aim     73.8 ± 1.9  <0.001\n"
//! );
//! # Ok::<(), aim_stats::Error>(())
//! ```

mod cell;
mod csv;
mod latex;
mod markdown;
mod plain;

pub use cell::{Cell, Content};
pub use plain::wrapped;

use crate::{Error, Result};

/// On which side the cells of a column line up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A column: its heading, side and decimals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The heading.
    pub heading: String,
    /// The side on which cells line up.
    pub align: Align,
    /// Decimals shown of values, spreads and intervals; p-values always have 3.
    pub decimals: usize,
    /// How readily it is left out where there is little room; 0 is always shown. Files have every column.
    pub minor: u8,
}

impl Column {
    /// A column of text.
    pub fn text(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), align: Align::Left, decimals: 3, minor: 0 }
    }

    /// A column of numbers.
    pub fn number(heading: impl Into<String>, decimals: usize) -> Self {
        Self { heading: heading.into(), align: Align::Right, decimals, minor: 0 }
    }

    /// The same column, left out where there is little room, the more readily the larger the number.
    #[must_use]
    pub fn minor(mut self, minor: u8) -> Self {
        self.minor = minor;
        self
    }
}

/// A table: an optional caption above, rows of cells, notes below.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    caption: Option<String>,
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    notes: Vec<String>,
    /// Which of the notes must be read, by their number.
    warnings: Vec<usize>,
}

impl Table {
    /// An empty table.
    pub fn new(columns: Vec<Column>) -> Self {
        Self { caption: None, columns, rows: Vec::new(), notes: Vec::new(), warnings: Vec::new() }
    }

    /// Sets the caption.
    #[must_use]
    pub fn with_caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = Some(caption.into());
        self
    }

    /// Adds a row; refuses one that does not fit the columns or holds a number that cannot be shown.
    pub fn push(&mut self, row: Vec<Cell>) -> Result<()> {
        if row.len() != self.columns.len() {
            return Err(Error::Cells { expected: self.columns.len(), found: row.len() });
        }
        for (index, cell) in row.iter().enumerate() {
            cell.content.check(index)?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// Adds a line of text under the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds a note without which the table would mislead: it is shown wherever the table is.
    pub fn warn(&mut self, note: impl Into<String>) {
        self.warnings.push(self.notes.len());
        self.note(note);
    }

    /// The caption.
    pub fn caption(&self) -> Option<&str> {
        self.caption.as_deref()
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows, each with as many cells as there are columns.
    pub fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// The notes, warnings among them.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The notes that must be read.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(|note| self.notes[*note].as_str())
    }

    /// Headings and cells as strings, row by row.
    fn grid(&self, heading: impl Fn(&str) -> String, cell: impl Fn(&Cell, &Column) -> String) -> Vec<Vec<String>> {
        let headings = self.columns.iter().map(|column| heading(&column.heading)).collect();
        let of_row = |row: &Vec<Cell>| row.iter().zip(&self.columns).map(|(c, column)| cell(c, column)).collect();
        std::iter::once(headings).chain(self.rows.iter().map(of_row)).collect()
    }

    /// The width of each column of a grid.
    fn widths(&self, grid: &[Vec<String>]) -> Vec<usize> {
        let widest = |column: usize| grid.iter().map(|row| width(&row[column])).max().unwrap_or(0);
        (0..self.columns.len()).map(widest).collect()
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_plain())
    }
}

/// Characters, which is the width on a terminal of all that is neither combining nor full-width.
fn width(text: &str) -> usize {
    text.chars().count()
}

fn padded(text: &str, to: usize, align: Align) -> String {
    let space = " ".repeat(to.saturating_sub(width(text)));
    match align {
        Align::Left => format!("{text}{space}"),
        Align::Right => format!("{space}{text}"),
    }
}

/// The text on one line: line breaks, tabs and other control characters become spaces.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
