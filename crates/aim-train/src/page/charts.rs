//! Charts as inline SVG.

use std::fmt::Write;

use super::html::escape;

/// Distinguishable colours (Okabe & Ito 2008), used in turn.
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a", "#b8a800"];

/// A curve.
pub(super) struct Line {
    pub label: String,
    /// One value an epoch.
    pub points: Vec<f64>,
}

/// Rows with a bar for the mean and a dot for each value, on one scale.
pub(super) fn bars(rows: &[(&str, Vec<f64>)]) -> String {
    let all = rows.iter().flat_map(|(_, values)| values);
    let (low, high) = all.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    if low > high {
        return String::new();
    }
    let margin = ((high - low) * 0.1).max(0.005);
    let (low, high) = (low - margin, high + margin);
    let x = |v: f64| 200. + 380. * (v - low) / (high - low);
    let mut svg = String::new();
    for (i, (label, values)) in rows.iter().enumerate() {
        let (y, mean) = (i as f64 * 24. + 16., values.iter().sum::<f64>() / values.len() as f64);
        let _ = write!(svg, "<text x=\"192\" y=\"{}\" text-anchor=\"end\">{}</text>", y + 4., escape(label));
        let width = x(mean) - x(low);
        let _ = write!(svg, "<rect class=\"bar\" x=\"200\" y=\"{}\" width=\"{width:.1}\" height=\"14\"/>", y - 7.);
        for v in values {
            let _ = write!(svg, "<circle cx=\"{:.1}\" cy=\"{y}\" r=\"3\"><title>{v:.4}</title></circle>", x(*v));
        }
        let _ = write!(svg, "<text x=\"592\" y=\"{}\">{mean:.3}</text>", y + 4.);
    }
    frame("test accuracy", 640., rows.len() as f64 * 24. + 10., &svg)
}

/// Curves over epochs with a legend.
pub(super) fn lines(title: &str, all: &[Line]) -> String {
    let drawn: Vec<(usize, &Line)> = all.iter().enumerate().filter(|(_, l)| !l.points.is_empty()).collect();
    let epochs = drawn.iter().map(|(_, l)| l.points.len()).max().unwrap_or(0);
    if epochs < 2 {
        return String::new();
    }
    let values = drawn.iter().flat_map(|(_, l)| &l.points);
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    let span = (high - low).max(1e-6);
    let x = |epoch: usize| 44. + 366. * epoch as f64 / (epochs - 1) as f64;
    let y = |v: f64| 24. + 206. * (high - v) / span;
    let mut svg = format!("<text x=\"44\" y=\"14\" class=\"title\">{}</text>", escape(title));
    for v in [low, low + span / 2., high] {
        let _ = write!(svg, "<line class=\"grid\" x1=\"44\" x2=\"410\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>", y(v));
        let _ = write!(svg, "<text x=\"38\" y=\"{:.1}\" text-anchor=\"end\">{v:.2}</text>", y(v) + 4.);
    }
    for (i, (index, line)) in drawn.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let points: Vec<String> =
            line.points.iter().enumerate().map(|(e, v)| format!("{:.1},{:.1}", x(e), y(*v))).collect();
        let _ = write!(svg, "<polyline fill=\"none\" stroke=\"{colour}\" points=\"{}\"/>", points.join(" "));
        let (ly, label) = (30. + 17. * i as f64, escape(&line.label));
        let _ = write!(svg, "<rect x=\"424\" y=\"{}\" width=\"12\" height=\"4\" fill=\"{colour}\"/>", ly - 4.);
        let _ = write!(svg, "<text x=\"442\" y=\"{}\">{label}</text>", ly + 2.);
    }
    let _ = write!(svg, "<text x=\"44\" y=\"248\">epoch 0</text>");
    let _ = write!(svg, "<text x=\"410\" y=\"248\" text-anchor=\"end\">{}</text>", epochs - 1);
    frame(title, 640., 256f64.max(34. + 17. * drawn.len() as f64), &svg)
}

/// A map with a row a depth and a column an epoch; empty if there is no value at all.
pub(super) fn heat(title: &str, epochs: usize, at: &dyn Fn(usize, usize) -> Option<f64>) -> String {
    let depths = (0..).take_while(|d| (0..epochs).any(|e| at(*d, e).is_some())).count();
    if depths == 0 {
        return String::new();
    }
    let cells = (0..depths).flat_map(|d| (0..epochs).map(move |e| (d, e)));
    let values: Vec<((usize, usize), f64)> = cells.filter_map(|(d, e)| Some(((d, e), at(d, e)?))).collect();
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), (_, v)| (l.min(*v), h.max(*v)));
    let size = 240. / epochs as f64;
    let mut svg = format!("<text x=\"60\" y=\"14\" class=\"title\">{}: {low:.2} to {high:.2}</text>", escape(title));
    for ((d, e), v) in &values {
        let strength = if high > low { (v - low) / (high - low) } else { 0.5 };
        let (x, y) = (60. + size * *e as f64, 22. + 20. * *d as f64);
        let _ = write!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{size:.1}\" height=\"20\" fill=\"#0072b2\" \
             fill-opacity=\"{:.2}\"><title>depth {d}, epoch {e}: {v:.3}</title></rect>",
            0.08 + 0.92 * strength
        );
    }
    for d in 0..depths {
        let _ = write!(svg, "<text x=\"54\" y=\"{}\" text-anchor=\"end\">depth {d}</text>", 36. + 20. * d as f64);
    }
    frame(title, 310., 30. + 20. * depths as f64, &svg)
}

fn frame(label: &str, width: f64, height: f64, content: &str) -> String {
    format!("<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {width} {height}\">{content}</svg>\n", escape(label))
}
