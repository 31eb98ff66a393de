//! Rows of points with intervals on one scale: forest plots. Texts are HTML, so that they stay legible on every screen.

use std::fmt::Write;

use super::{
    axis::Axis,
    html::{escape, prose},
};

/// A row.
pub(super) struct Strip {
    pub label: String,
    /// Single runs, drawn small.
    pub values: Vec<f64>,
    pub mean: f64,
    /// Interval of the mean.
    pub interval: Option<(f64, f64)>,
    /// What stands at the end of the row.
    pub text: String,
}

/// A number to compare rows with, drawn as a line through all.
pub(super) struct Mark {
    pub at: f64,
    /// What it is.
    pub label: String,
    /// Whether it is the first to look at.
    pub main: bool,
}

/// Rows on one scale; nothing if there are no two different numbers.
pub(super) fn strips(title: &str, rows: &[Strip], marks: &[Mark]) -> String {
    let of = |row: &Strip| {
        let ends = row.interval.map_or(vec![], |(low, high)| vec![low, high]);
        row.values.iter().copied().chain([row.mean]).chain(ends).collect::<Vec<f64>>()
    };
    let numbers = rows.iter().flat_map(of).chain(marks.iter().map(|mark| mark.at));
    let Some(axis) = Axis::of(numbers).filter(|_| !rows.is_empty()) else { return String::new() };
    let x = |number: f64| 1000. * axis.place(number);
    let lines = |numbers: &mut dyn Iterator<Item = f64>, class: &str| {
        let path: String = numbers.map(|number| format!("M{:.0} 0V20", x(number))).collect();
        if path.is_empty() { path } else { format!("<path class=\"{class}\" d=\"{path}\"/>") }
    };
    let behind = [
        lines(&mut axis.ticks().into_iter().map(|(number, _)| number), "grid"),
        lines(&mut marks.iter().filter(|mark| !mark.main).map(|mark| mark.at), "second"),
        lines(&mut marks.iter().filter(|mark| mark.main).map(|mark| mark.at), "mark"),
    ]
    .concat();
    let mut html = format!("<div class=\"strips\" role=\"group\" aria-label=\"{}\">\n", escape(title));
    for row in rows {
        let runs: String = row.values.iter().map(|value| format!("M{:.0} 10h0", x(*value))).collect();
        let whisker = row.interval.map_or(String::new(), |(low, high)| {
            format!("<path class=\"whisker\" d=\"M{:.0} 10H{:.0}\"/>", x(low), x(high))
        });
        let _ = writeln!(
            html,
            "<div class=\"strip\"><span class=\"label\">{}</span><svg aria-hidden=\"true\" viewBox=\"0 0 1000 20\" \
             preserveAspectRatio=\"none\">{behind}<path class=\"runs\" d=\"{runs}\"/>{whisker}<path class=\"mean\" \
             d=\"M{:.0} 10h0\"/></svg><span class=\"value\">{}</span></div>",
            escape(&row.label),
            x(row.mean),
            escape(&row.text)
        );
    }
    let tick =
        |(number, text): (f64, String)| format!("<span style=\"left:{:.1}%\">{text}</span>", 100. * axis.place(number));
    let ticks: String = axis.ticks().into_iter().map(tick).collect();
    let _ =
        writeln!(html, "<div class=\"strip axis\" aria-hidden=\"true\"><div class=\"ticks\">{ticks}</div></div></div>");
    for mark in marks {
        let class = if mark.main { "mark" } else { "second" };
        let _ = writeln!(html, "<p class=\"note\"><span class=\"line {class}\"></span> {}</p>", prose(&mark.label));
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_its_mean_interval_and_runs_where_they_belong() {
        // Numbers from -.5 to .5 with .04 room at both ends: 0 lies in the middle, .25 at (.25 + .54) / 1.08.
        let row = Strip {
            label: "<a>".into(),
            values: vec![0., 0.5],
            mean: 0.25,
            interval: Some((-0.5, 0.5)),
            text: "+0.250".into(),
        };
        let zero = Mark { at: 0., label: "`joint`".into(), main: true };
        let html = strips("t", &[row], &[zero]);
        for part in [
            "class=\"mean\" d=\"M731 10h0\"",
            "class=\"whisker\" d=\"M37 10H963\"",
            "class=\"runs\" d=\"M500 10h0M963 10h0\"",
            "class=\"mark\" d=\"M500 0V20\"",
            "&lt;a&gt;",
            "<code>joint</code>",
            "left:50.0%\">0.0<",
        ] {
            assert!(html.contains(part), "{part}\n{html}");
        }
        assert_eq!(strips("t", &[], &[]), "");
    }
}
