//! Charts as inline SVG.

use std::{collections::BTreeMap, fmt::Write};

use super::html::escape;

/// Distinguishable colours (Okabe & Ito 2008), used in turn.
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a", "#b8a800"];

/// How lines are broken when all colours have been used.
const DASHES: [&str; 4] = ["none", "6 2", "2 2", "8 2 2 2"];

/// A curve.
pub(super) struct Line {
    pub label: String,
    /// One value an epoch.
    pub points: Vec<f64>,
}

/// A row of a bar chart.
pub(super) struct Bar<'a> {
    pub label: &'a str,
    /// The bar is their mean; each is a dot.
    pub values: Vec<f64>,
    /// An interval of the mean, drawn as a whisker.
    pub interval: Option<(f64, f64)>,
}

/// Rows on one scale; `mark` is a value to compare them with, drawn as a line through all.
pub(super) fn bars(title: &str, rows: &[Bar<'_>], mark: Option<f64>) -> String {
    let ends = |row: &Bar<'_>| row.interval.map_or(vec![], |(low, high)| vec![low, high]);
    let all: Vec<f64> = rows.iter().flat_map(|r| r.values.iter().copied().chain(ends(r))).chain(mark).collect();
    let (low, high) = range(all.iter().copied());
    if low > high || rows.iter().all(|r| r.values.is_empty()) {
        return String::new();
    }
    let margin = ((high - low) * 0.1).max(0.005);
    let (low, high) = (low - margin, high + margin);
    let (x, bottom) = (|v: f64| 200. + 380. * (v - low) / (high - low), rows.len() as f64 * 24. + 4.);
    let mut svg = String::new();
    for v in [low + margin, (low + high) / 2., high - margin] {
        let _ = write!(svg, "<line class=\"grid\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"4\" y2=\"{bottom}\"/>", x(v));
        let _ = write!(svg, "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{v:.3}</text>", x(v), bottom + 14.);
    }
    for (i, row) in rows.iter().enumerate().filter(|(_, row)| !row.values.is_empty()) {
        let (y, mean) = (i as f64 * 24. + 16., row.values.iter().sum::<f64>() / row.values.len() as f64);
        let _ = write!(svg, "<text x=\"192\" y=\"{}\" text-anchor=\"end\">{}</text>", y + 4., escape(row.label));
        let width = x(mean) - x(low);
        let _ = write!(svg, "<rect class=\"bar\" x=\"200\" y=\"{}\" width=\"{width:.1}\" height=\"14\"/>", y - 7.);
        for v in &row.values {
            let _ = write!(svg, "<circle cx=\"{:.1}\" cy=\"{y}\" r=\"3\"><title>{v:.4}</title></circle>", x(*v));
        }
        if let Some((from, to)) = row.interval {
            let (from, to, above, below) = (x(from), x(to), y - 5., y + 5.);
            let path = format!("M{from:.1} {above}V{below}M{from:.1} {y}H{to:.1}M{to:.1} {above}V{below}");
            let _ = write!(svg, "<path class=\"whisker\" d=\"{path}\"/>");
        }
        let _ = write!(svg, "<text x=\"592\" y=\"{}\">{mean:.3}</text>", y + 4.);
    }
    if let Some(mark) = mark {
        let _ = write!(svg, "<line class=\"mark\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"0\" y2=\"{bottom}\"/>", x(mark));
    }
    let left = (188. - longest(rows.iter().map(|row| row.label))).min(0.);
    frame(title, (left, 640.), bottom + 20., &svg)
}

/// Curves over epochs with a legend.
pub(super) fn lines(title: &str, all: &[Line]) -> String {
    let drawn: Vec<(usize, &Line)> = all.iter().enumerate().filter(|(_, l)| !l.points.is_empty()).collect();
    let epochs = drawn.iter().map(|(_, l)| l.points.len()).max().unwrap_or(0);
    if epochs < 2 {
        return String::new();
    }
    let (low, high) = range(drawn.iter().flat_map(|(_, l)| l.points.iter().copied()));
    let span = (high - low).max(1e-6);
    let x = |epoch: usize| 44. + 366. * epoch as f64 / (epochs - 1) as f64;
    let y = |v: f64| 24. + 206. * (high - v) / span;
    let mut svg = format!("<text x=\"44\" y=\"14\" class=\"title\">{}</text>", escape(title));
    for v in [low, low + span / 2., high] {
        let _ = write!(svg, "<line class=\"grid\" x1=\"44\" x2=\"410\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>", y(v));
        let _ = write!(svg, "<text x=\"38\" y=\"{:.1}\" text-anchor=\"end\">{v:.2}</text>", y(v) + 4.);
    }
    for (i, (index, line)) in drawn.iter().enumerate() {
        let (colour, dashes) = (COLOURS[index % COLOURS.len()], DASHES[index / COLOURS.len() % DASHES.len()]);
        let colour = format!("stroke=\"{colour}\" stroke-dasharray=\"{dashes}\"");
        let points: Vec<String> =
            line.points.iter().enumerate().map(|(e, v)| format!("{:.1},{:.1}", x(e), y(*v))).collect();
        let _ = write!(svg, "<polyline fill=\"none\" {colour} points=\"{}\"/>", points.join(" "));
        let (ly, label) = (30. + 17. * i as f64, escape(&line.label));
        let _ = write!(svg, "<polyline {colour} points=\"420,{0} 438,{0}\"/>", ly - 2.);
        let _ = write!(svg, "<text x=\"442\" y=\"{}\">{label}</text>", ly + 2.);
    }
    let _ = write!(svg, "<text x=\"44\" y=\"248\">epoch 0</text>");
    let _ = write!(svg, "<text x=\"410\" y=\"248\" text-anchor=\"end\">{}</text>", epochs - 1);
    let right = 640f64.max(446. + longest(drawn.iter().map(|(_, line)| line.label.as_str())));
    frame(title, (0., right), 256f64.max(34. + 17. * drawn.len() as f64), &svg)
}

/// A map with a row a depth and a column an epoch; empty if there is no value at all.
pub(super) fn heat(title: &str, epochs: usize, at: &dyn Fn(usize, usize) -> Option<f64>) -> String {
    let depths = (0..).take_while(|d| (0..epochs).any(|e| at(*d, e).is_some())).count();
    if depths == 0 {
        return String::new();
    }
    let cells = (0..depths).flat_map(|d| (0..epochs).map(move |e| (d, e)));
    let values: Vec<((usize, usize), f64)> = cells.filter_map(|(d, e)| Some(((d, e), at(d, e)?))).collect();
    let (low, high) = range(values.iter().map(|(_, v)| *v));
    let size = 240. / epochs as f64;
    let mut svg = format!("<text x=\"60\" y=\"14\" class=\"title\">{}: {low:.2} to {high:.2}</text>", escape(title));
    for ((d, e), v) in &values {
        let strength = if high > low { (v - low) / (high - low) } else { 0.5 };
        let place = (60. + size * *e as f64, 22. + 20. * *d as f64);
        svg += &cell(place, (size, 20.), strength, &format!("depth {d}, epoch {e}: {v:.3}"));
    }
    for d in 0..depths {
        let _ = write!(svg, "<text x=\"54\" y=\"{}\" text-anchor=\"end\">depth {d}</text>", 36. + 20. * d as f64);
    }
    let _ = write!(svg, "<text x=\"60\" y=\"{}\">epoch 0</text>", 36. + 20. * depths as f64);
    let right =
        format!("<text x=\"300\" y=\"{}\" text-anchor=\"end\">{}</text>", 36. + 20. * depths as f64, epochs - 1);
    frame(title, (0., 310.), 44. + 20. * depths as f64, &(svg + &right))
}

/// A confusion matrix: a row a class, a column a prediction, strength the share of the row; of the pairs that occur.
pub(super) fn confusion(title: &str, classes: usize, counts: &BTreeMap<(usize, usize), usize>) -> String {
    let mut svg = format!("<text x=\"30\" y=\"14\" class=\"title\">{}</text>", escape(title));
    let size = 260. / classes.max(1) as f64;
    let mut totals = BTreeMap::new();
    counts.iter().for_each(|((class, _), n)| *totals.entry(class).or_insert(0) += n);
    for ((class, predicted), n) in counts {
        let total = totals.get(class).copied().unwrap_or(1) as f64;
        let place = (30. + size * *predicted as f64, 34. + size * *class as f64);
        let about = format!("class {class}, predicted {predicted}: {n}");
        svg += &cell(place, (size, size), *n as f64 / total, &about);
        if size >= 24. {
            let (x, y) = (place.0 + size / 2., place.1 + size / 2. + 4.);
            let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{n}</text>");
        }
    }
    let _ = write!(svg, "<rect x=\"30\" y=\"34\" width=\"260\" height=\"260\" class=\"box\"/>");
    let _ = write!(svg, "<text x=\"30\" y=\"29\">predicted 0 to {}</text>", classes.saturating_sub(1));
    let _ = write!(svg, "<text x=\"-34\" y=\"24\" transform=\"rotate(-90)\" text-anchor=\"end\">class 0, 1, …</text>");
    frame(title, (0., 310.), 300., &svg)
}

/// Points in the plane, coloured by class.
pub(super) fn scatter(title: &str, points: &[([f32; 2], usize)]) -> String {
    let classes = points.iter().map(|(_, class)| class + 1).max().unwrap_or(0);
    let mut svg = format!("<text x=\"10\" y=\"14\" class=\"title\">{}</text>", escape(title));
    let mut paths: BTreeMap<usize, String> = BTreeMap::new();
    for ([x, y], class) in points {
        let _ = write!(paths.entry(*class).or_default(), "M{:.1} {:.1}h0", 155. + 140. * x, 165. - 140. * y);
    }
    for (class, path) in paths {
        let colour = match COLOURS.get(class) {
            Some(colour) if classes <= COLOURS.len() => (*colour).to_owned(),
            _ => format!("hsl({} 65% 50%)", class * 360 / classes),
        };
        let _ =
            write!(svg, "<path class=\"points\" stroke=\"{colour}\" d=\"{path}\"><title>class {class}</title></path>");
    }
    frame(title, (0., 310.), 310., &svg)
}

fn cell((x, y): (f64, f64), (width, height): (f64, f64), strength: f64, about: &str) -> String {
    format!(
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"#0072b2\" \
         fill-opacity=\"{:.2}\"><title>{about}</title></rect>",
        0.08 + 0.92 * strength
    )
}

/// About the width of the longest text.
fn longest<'a>(texts: impl Iterator<Item = &'a str>) -> f64 {
    texts.map(|text| text.chars().count() as f64 * 6.2).fold(0., f64::max)
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)))
}

/// A picture; a wide one scrolls sideways on a narrow screen rather than to shrink beyond reading.
fn frame(label: &str, (left, right): (f64, f64), height: f64, content: &str) -> String {
    let (label, width, class) = (escape(label), right - left, if right > 400. { "large" } else { "small" });
    format!(
        "<div class=\"wide\"><svg class=\"{class}\" role=\"img\" aria-label=\"{label}\" \
         viewBox=\"{left} 0 {width} {height}\">{content}</svg></div>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_ends_at_its_mean_and_the_whisker_at_the_interval() {
        // Values 0.2 to 0.6 with a tenth as margin: 0.16 to 0.64 lie on 380 units from 200, so 0.4 lies at 390.
        let row = Bar { label: "<a>", values: vec![0.3, 0.5], interval: Some((0.2, 0.6)) };
        let svg = bars("t", &[row], Some(0.4));
        assert!(svg.contains("width=\"190.0\" height=\"14\"") && svg.contains("&lt;a&gt;"), "{svg}");
        assert!(svg.contains("M231.7 11V21M231.7 16H548.3M548.3 11V21"), "{svg}");
        assert!(svg.contains("class=\"mark\" x1=\"390.0\""), "{svg}");
        assert_eq!(bars("t", &[], None), "");
    }

    #[test]
    fn a_matrix_has_a_cell_for_every_count_with_the_share_of_its_class() {
        let svg = confusion("t", 2, &[((0, 0), 3), ((0, 1), 1), ((1, 1), 2)].into());
        for (about, strength) in
            [("class 0, predicted 0: 3", 0.77), ("class 0, predicted 1: 1", 0.31), ("class 1, predicted 1: 2", 1.)]
        {
            assert!(svg.contains(&format!("fill-opacity=\"{strength:.2}\"><title>{about}<")), "{about} {svg}");
        }
        assert!(!svg.contains("class 1, predicted 0"));
    }

    #[test]
    fn every_point_is_drawn_once_in_its_class() {
        let svg = scatter("t", &[([0., 0.], 0), ([1., 1.], 2), ([-1., 0.5], 2)]);
        assert!(svg.contains("d=\"M155.0 165.0h0\"") && svg.contains("d=\"M295.0 25.0h0M15.0 95.0h0\""), "{svg}");
    }
}
