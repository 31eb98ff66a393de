//! LaTeX with the `booktabs` package.

use super::{Align, Cell, Column, Content, Table, one_line};

impl Table {
    /// A `table` environment with a `booktabs` tabular; needs `\usepackage{booktabs}`.
    pub fn to_latex(&self) -> String {
        let sides: String = self.columns.iter().map(|column| side(column.align)).collect();
        let grid = self.grid(escaped, cell);
        let mut lines = vec!["\\begin{table}".to_owned(), "\\centering".to_owned()];
        lines.extend(self.caption.iter().map(|caption| format!("\\caption{{{}}}", escaped(caption))));
        lines.extend([format!("\\begin{{tabular}}{{{sides}}}"), "\\toprule".to_owned()]);
        for (index, row) in grid.iter().enumerate() {
            lines.push(format!("{} \\\\", row.join(" & ")));
            if index == 0 {
                lines.push("\\midrule".to_owned());
            }
        }
        lines.extend(["\\bottomrule".to_owned(), "\\end{tabular}".to_owned()]);
        lines.extend(self.notes.iter().map(|note| format!("\\par\\smallskip{{\\footnotesize {}}}", escaped(note))));
        lines.push("\\end{table}\n".to_owned());
        lines.join("\n")
    }
}

fn side(align: Align) -> char {
    match align {
        Align::Left => 'l',
        Align::Right => 'r',
    }
}

fn cell(cell: &Cell, column: &Column) -> String {
    let written = cell.content.written(column.decimals, " \\pm ", "\\ ");
    match (&cell.content, cell.strong) {
        (Content::Empty, _) => written,
        (Content::Text(_), false) => escaped(&written),
        (Content::Text(_), true) => format!("\\textbf{{{}}}", escaped(&written)),
        (_, false) => format!("${written}$"),
        (_, true) => format!("$\\mathbf{{{written}}}$"),
    }
}

/// Text as LaTeX wants it; what stands between two backticks is set as code.
fn escaped(text: &str) -> String {
    let line = one_line(text);
    let parts: Vec<String> = line.split('`').map(|part| part.chars().map(escape).collect()).collect();
    let code = |(i, part): (usize, &String)| if i % 2 == 1 { format!("\\texttt{{{part}}}") } else { part.clone() };
    // An odd number of backticks pairs nothing.
    if parts.len() % 2 == 1 { parts.iter().enumerate().map(code).collect() } else { parts.join("`") }
}

/// Brackets and stars are wrapped too: at the start of a row they would be read as arguments of the `\\` before them.
fn escape(character: char) -> String {
    match character {
        '\\' => "\\textbackslash{}".to_owned(),
        '~' => "\\textasciitilde{}".to_owned(),
        '^' => "\\textasciicircum{}".to_owned(),
        '<' => "\\textless{}".to_owned(),
        '>' => "\\textgreater{}".to_owned(),
        '|' => "\\textbar{}".to_owned(),
        '[' | ']' | '*' => format!("{{{character}}}"),
        '&' | '%' | '$' | '#' | '_' | '{' | '}' => format!("\\{character}"),
        _ => character.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn code_between_backticks_is_set_as_code_and_escaped() {
        assert_eq!(
            escaped("with `--seeds 9` rows of `ogm_ge` are [1]"),
            "with \\texttt{--seeds 9} rows of \\texttt{ogm\\_ge} are {[}1{]}"
        );
        // A backtick too many pairs nothing.
        assert_eq!(escaped("`a` & `b"), "`a` \\& `b");
        assert_eq!(escaped("no code"), "no code");
    }
}
