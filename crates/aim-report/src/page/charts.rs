//! Charts as inline SVG.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    axis::{Axis, range},
    html::escape,
};

/// Distinguishable colours (Okabe & Ito 2008), used in turn.
pub(super) const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a", "#b8a800"];

/// How lines are broken when all colours have been used.
const DASHES: [&str; 4] = ["none", "6 2", "2 2", "8 2 2 2"];

/// A curve.
pub(super) struct Line {
    pub label: String,
    /// One value an epoch.
    pub points: Vec<f64>,
}

/// Curves over epochs with a legend.
pub(super) fn lines(title: &str, all: &[Line]) -> String {
    let drawn: Vec<(usize, &Line)> = all.iter().enumerate().filter(|(_, l)| !l.points.is_empty()).collect();
    let epochs = drawn.iter().map(|(_, l)| l.points.len()).max().unwrap_or(0);
    if epochs < 2 {
        return String::new();
    }
    let points = || drawn.iter().flat_map(|(_, l)| l.points.iter().copied());
    let Some(axis) = Axis::of(points()).or_else(|| Axis::of(points().flat_map(|v| [v, v + 0.1]))) else {
        return String::new();
    };
    let x = |epoch: usize| 44. + 366. * epoch as f64 / (epochs - 1) as f64;
    let y = |v: f64| 216. - 206. * axis.place(v);
    let (mut svg, mut legend, mut last) = (String::new(), String::new(), Vec::new());
    for (v, text) in axis.ticks() {
        let _ = write!(svg, "<line class=\"grid\" x1=\"44\" x2=\"410\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>", y(v));
        let _ = write!(svg, "<text x=\"38\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", y(v) + 4.);
    }
    for (index, line) in drawn {
        let (colour, dashes) = (COLOURS[index % COLOURS.len()], DASHES[index / COLOURS.len() % DASHES.len()]);
        let colour = format!("stroke=\"{colour}\" stroke-dasharray=\"{dashes}\"");
        let points: Vec<String> =
            line.points.iter().enumerate().map(|(e, v)| format!("{:.1},{:.1}", x(e), y(*v))).collect();
        let label = escape(&line.label);
        last.extend(line.points.last().map(|v| format!("{} {}", line.label, brief(*v))));
        let _ = write!(svg, "<polyline {colour} points=\"{}\"><title>{label}</title></polyline>", points.join(" "));
        let _ = write!(legend, "<li>{}{label}</li>", sample(&colour));
    }
    let _ = write!(svg, "<text x=\"44\" y=\"234\">epoch 0</text>");
    let _ = write!(svg, "<text x=\"410\" y=\"234\" text-anchor=\"end\">{}</text>", epochs - 1);
    figure(title, &format!("at the last of its epochs: {}", last.join(", ")), (420., 240.), &svg, &legend)
}

/// A point of [`costs`].
pub(super) struct Cost {
    pub label: String,
    /// Seconds of training.
    pub seconds: f64,
    pub accuracy: f64,
    /// Whether it is named in any case.
    pub named: bool,
}

/// Accuracy against seconds of training, with the names of what nothing else beats in both.
pub(super) fn costs(title: &str, points: &[Cost]) -> String {
    let seconds = || points.iter().map(|point| point.seconds.log10());
    let axes = Axis::of(seconds()).zip(Axis::of(points.iter().map(|point| point.accuracy)));
    let Some((across, up)) = axes else { return String::new() };
    let x = |seconds: f64| 44. + 340. * across.place(seconds.log10());
    let y = |accuracy: f64| 236. - 226. * up.place(accuracy);
    let mut svg = String::new();
    for (v, text) in up.ticks() {
        let _ = write!(svg, "<line class=\"grid\" x1=\"44\" x2=\"410\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>", y(v));
        let _ = write!(svg, "<text x=\"38\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", y(v) + 4.);
    }
    let (least, most) = range(points.iter().map(|point| point.seconds));
    for seconds in steps(least, most) {
        let _ = write!(svg, "<line class=\"grid\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"10\" y2=\"236\"/>", x(seconds));
        let _ = write!(svg, "<text x=\"{:.1}\" y=\"252\" text-anchor=\"middle\">{}</text>", x(seconds), round(seconds));
    }
    // Left end, right end and height of the names that have a place.
    let mut taken: Vec<(f64, f64, f64)> = Vec::new();
    for point in points {
        let (cx, cy, label) = (x(point.seconds), y(point.accuracy), escape(&point.label));
        let about = format!("{label}: {:.3}, {:.1} s", point.accuracy, point.seconds);
        let _ = write!(svg, "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4\"><title>{about}</title></circle>");
        let beaten = |other: &Cost| other.seconds < point.seconds && other.accuracy >= point.accuracy;
        let width = 6. * point.label.chars().count() as f64;
        let left = cx > 230.;
        let (from, to) = if left { (cx - 7. - width, cx - 7.) } else { (cx + 7., cx + 7. + width) };
        let apart = taken.iter().all(|(a, b, y)| *a > to || *b < from || (y - cy).abs() > 11.);
        if (point.named || !points.iter().any(beaten)) && apart {
            taken.push((from, to, cy));
            let (tx, anchor) = if left { (to, "end") } else { (from, "start") };
            let _ = write!(svg, "<text x=\"{tx:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{label}</text>", cy + 4.);
        }
    }
    svg += "<text x=\"410\" y=\"266\" text-anchor=\"end\">seconds of training a run</text>";
    let words = |point: &Cost| format!("{} {:.3} in {:.1} s", point.label, point.accuracy, point.seconds);
    figure(title, &points.iter().map(words).collect::<Vec<_>>().join(", "), (420., 270.), &svg, "")
}

/// A number with three digits that count.
fn round(number: f64) -> f64 {
    let unit = 10f64.powf(number.log10().floor() - 2.);
    (number / unit).round() * unit
}

/// Round numbers within, two to seven of them if there are; the ends where there are none.
fn steps(least: f64, most: f64) -> Vec<f64> {
    let powers = least.log10().floor() as i32..=most.log10().ceil() as i32;
    let digits = |digits: &'static [f64]| {
        let of = powers.clone().flat_map(move |power| digits.iter().map(move |digit| digit * 10f64.powi(power)));
        of.filter(|step| (least..=most).contains(step)).collect::<Vec<_>>()
    };
    let choices = [&[1., 1.5, 2., 2.5, 3., 4., 5., 6., 7., 8., 9.][..], &[1., 2., 5.], &[1.]].map(digits);
    choices.into_iter().find(|steps| (2..=7).contains(&steps.len())).unwrap_or_else(|| vec![least, most])
}

/// How closely a chart is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Every epoch, and every cell of a map says its number.
    Full,
    /// As closely as a page of many charts can hold.
    Coarse,
}

/// Columns of a coarse map at most.
const COLUMNS: usize = 40;

/// Classes, and letters of a name, at most that a confusion matrix has room to name.
const NAMED: (usize, usize) = (12, 12);

/// Shades of a coarse map.
const SHADES: f64 = 16.;

/// A map with a row a depth and a column an epoch, or the mean of some; empty if there is no value at all.
pub(super) fn heat(title: &str, epochs: usize, detail: Detail, at: &dyn Fn(usize, usize) -> Option<f64>) -> String {
    let depths = (0..).take_while(|d| (0..epochs).any(|e| at(*d, e).is_some())).count();
    if depths == 0 {
        return String::new();
    }
    let columns = if detail == Detail::Full { epochs } else { epochs.min(COLUMNS) };
    let of = |d: usize, column: usize| {
        let begun = column * epochs / columns;
        let values: Vec<f64> = (begun..(column + 1) * epochs / columns).filter_map(|e| at(d, e)).collect();
        Some(((d, begun, column), aim_stats::summary::mean(&values).ok()?))
    };
    let values: Vec<_> = (0..depths).flat_map(|d| (0..columns).filter_map(move |c| of(d, c))).collect();
    let (low, high) = range(values.iter().map(|(_, v)| *v));
    let size = 240. / columns as f64;
    let mut svg = format!("<text x=\"60\" y=\"14\" class=\"title\">{}: {low:.2} to {high:.2}</text>", escape(title));
    let shown = values.iter().map(|((d, epoch, column), v)| {
        let strength = if high > low { (v - low) / (high - low) } else { 0.5 };
        let place = (60. + size * *column as f64, 22. + 20. * *d as f64);
        Cell { place, strength, about: format!("depth {d}, epoch {epoch}: {v:.3}") }
    });
    svg += &cells(shown, (size, 20.), detail);
    for d in 0..depths {
        let _ = write!(svg, "<text x=\"54\" y=\"{}\" text-anchor=\"end\">depth {d}</text>", 36. + 20. * d as f64);
    }
    let _ = write!(svg, "<text x=\"60\" y=\"{}\">epoch 0</text>", 36. + 20. * depths as f64);
    let right =
        format!("<text x=\"300\" y=\"{}\" text-anchor=\"end\">{}</text>", 36. + 20. * depths as f64, epochs - 1);
    let text = |d: usize, column: usize| of(d, column).map_or(String::new(), |(_, v)| brief(v));
    let ends = |d: usize| {
        let mut told = (0..columns).map(|column| text(d, column)).filter(|text| !text.is_empty());
        let first = told.next()?;
        Some(format!("depth {d} from {first} to {}", told.next_back().unwrap_or_else(|| first.clone())))
    };
    let ends: Vec<String> = (0..depths).filter_map(ends).collect();
    let drawn = frame(
        &format!("{title} from the first epoch to the last: {}", ends.join(", ")),
        (310., 44. + 20. * depths as f64),
        &(svg + &right),
    );
    let heads: Vec<String> = (0..depths).map(|d| format!("depth {d}")).collect();
    let row = |c: usize| (0..depths).fold((c * epochs / columns).to_string(), |row, d| row + "<td>" + &text(d, c));
    told(drawn, detail, &format!("epoch<th>{}", heads.join("<th>")), (0..columns).map(row))
}

/// A confusion matrix: a row a class, a column a prediction, strength the share of the row; of the pairs that occur.
/// Classes are named beside it where there is room.
pub(super) fn confusion(
    title: &str,
    names: &[String],
    counts: &BTreeMap<(usize, usize), usize>,
    detail: Detail,
) -> String {
    let (classes, longest) = (names.len(), names.iter().map(|name| name.chars().count()).max().unwrap_or(0));
    let named = classes <= NAMED.0 && longest <= NAMED.1;
    // Wide fonts take 7 a letter.
    let room = 7. * longest as f64;
    let (left, top) = if named { (14. + room, 42. + room) } else { (30., 34.) };
    let size = 260. / classes.max(1) as f64;
    let mut totals = BTreeMap::new();
    counts.iter().for_each(|((class, _), n)| *totals.entry(class).or_insert(0) += n);
    let place = |class: usize, predicted: usize| (left + size * predicted as f64, top + size * class as f64);
    let name = |class: usize| names.get(class).map_or_else(String::new, |name| escape(name));
    let shown = counts.iter().map(|((class, predicted), n)| {
        let strength = *n as f64 / totals.get(class).copied().unwrap_or(1) as f64;
        let about = format!("class {}, predicted {}: {n}", name(*class), name(*predicted));
        Cell { place: place(*class, *predicted), strength, about }
    });
    let mut svg = format!("<text x=\"{left}\" y=\"14\" class=\"title\">{}</text>", escape(title));
    svg += &cells(shown, (size, size), detail);
    for ((class, predicted), n) in counts.iter().filter(|_| size >= 24.) {
        let (x, y) = place(*class, *predicted);
        let (x, y) = (x + size / 2., y + size / 2. + 4.);
        let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{n}</text>");
    }
    let _ = write!(svg, "<rect x=\"{left}\" y=\"{top}\" width=\"260\" height=\"260\" class=\"box\"/>");
    svg += &if named { axes(names, (left, top), size) } else { ends(classes) };
    let drawn = frame(&in_words(title, names, counts), (left + 280., top + 266.), &svg);
    let row = |(class, total): (&&usize, &usize)| {
        let of = counts.range((**class, 0)..=(**class, usize::MAX));
        let right = counts.get(&(**class, **class)).unwrap_or(&0);
        let wrong = of.filter(|((_, predicted), _)| predicted != *class).map(|((_, p), n)| format!("{} {n}", name(*p)));
        format!("{}<td>{right} of {total}<td>{}", name(**class), wrong.collect::<Vec<_>>().join(", "))
    };
    told(drawn, detail, "class<th>right<th>taken for", totals.iter().map(row))
}

/// How many answers of a confusion matrix are right, and which mistake is the most frequent.
fn in_words(title: &str, names: &[String], counts: &BTreeMap<(usize, usize), usize>) -> String {
    let (right, wrong): (Vec<_>, Vec<_>) = counts.iter().partition(|((class, predicted), _)| class == predicted);
    let right: usize = right.iter().map(|(_, n)| **n).sum();
    let name = |class: usize| names.get(class).map_or("", String::as_str);
    let most = wrong.into_iter().max_by_key(|(_, n)| **n).map_or(String::new(), |((class, predicted), n)| {
        format!("; the most frequent mistake: {} taken for {} ({n})", name(*class), name(*predicted))
    });
    format!("{title}: {right} of {} right{most}", counts.values().sum::<usize>())
}

/// A coarse map with its figures below it, unfolded if they are asked for; cells of others say theirs. What HTML lets
/// one leave out is left out, because pages have many of these tables.
fn told(drawn: String, detail: Detail, heads: &str, rows: impl Iterator<Item = String>) -> String {
    if detail == Detail::Full {
        return drawn;
    }
    let rows: String = rows.map(|row| format!("<tr><td>{row}\n")).collect();
    format!(
        "<div>{drawn}<details><summary>figures</summary><div class=\"wide\" tabindex=\"0\"><table class=\"figures\">\
         <tr><th>{heads}\n{rows}</table></div></details></div>\n"
    )
}

/// A number as texts have it.
fn brief(v: f64) -> String {
    if v == 0. || (1e-3..1e5).contains(&v.abs()) { format!("{v:.3}") } else { format!("{v:.2e}") }
}

/// Every class at its row and its column.
fn axes(names: &[String], (left, top): (f64, f64), size: f64) -> String {
    let mut svg = format!("<text x=\"{left}\" y=\"29\">a row a class, a column a prediction</text>");
    for (class, name) in names.iter().map(|name| escape(name)).enumerate() {
        let middle = size * (class as f64 + 0.5) + 4.;
        let (x, y) = (left + middle, top + middle);
        let _ = write!(svg, "<text x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{name}</text>", left - 5.);
        let _ = write!(svg, "<text transform=\"translate({x:.1} {:.1}) rotate(-90)\">{name}</text>", top - 5.);
    }
    svg
}

/// From which class to which rows and columns go.
fn ends(classes: usize) -> String {
    let last = classes.saturating_sub(1);
    format!(
        "<text x=\"30\" y=\"29\">predicted 0 to {last}</text>\
         <text x=\"-34\" y=\"24\" transform=\"rotate(-90)\" text-anchor=\"end\">class 0, 1, …</text>"
    )
}

/// A cell of a map.
struct Cell {
    place: (f64, f64),
    /// From 0 to 1.
    strength: f64,
    about: String,
}

/// The cells of a map, all of one size. Coarse ones of about the same strength are one path, which takes a tenth of the
/// bytes.
fn cells(all: impl Iterator<Item = Cell>, (width, height): (f64, f64), detail: Detail) -> String {
    let fill = |strength: f64| format!("fill=\"#0072b2\" fill-opacity=\"{:.2}\"", 0.08 + 0.92 * strength);
    let (mut svg, mut shades) = (String::new(), BTreeMap::<u8, String>::new());
    for Cell { place: (x, y), strength, about } in all {
        if detail == Detail::Full {
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" {}><title>{about}</title></rect>",
                fill(strength)
            );
        } else {
            let path = shades.entry((SHADES * strength).round() as u8).or_default();
            let [x, y, width, height] = [x, y, width, height].map(|number| (10. * number).round() / 10.);
            let _ = write!(path, "M{x} {y}h{width}v{height}h-{width}z");
        }
    }
    for (shade, path) in shades {
        let _ = write!(svg, "<path {} d=\"{path}\"/>", fill(f64::from(shade) / SHADES));
    }
    svg
}

/// A short stroke as a curve is drawn, for its legend.
fn sample(stroke: &str) -> String {
    format!("<svg aria-hidden=\"true\" viewBox=\"0 0 22 8\"><polyline {stroke} points=\"0,4 22,4\"/></svg>")
}

/// A picture under its title, with what it says in words for whoever cannot see it, and a legend of list items if it
/// has one.
fn figure(title: &str, about: &str, (width, height): (f64, f64), content: &str, legend: &str) -> String {
    let (title, about) = (escape(title), escape(about));
    let legend = if legend.is_empty() { String::new() } else { format!("<ul class=\"legend\">{legend}</ul>") };
    format!(
        "<figure><figcaption>{title}</figcaption><svg role=\"img\" aria-label=\"{title}: {about}\" \
         viewBox=\"0 0 {width} {height}\">{content}</svg>{legend}</figure>\n"
    )
}

/// A small picture, which has its title in it, with what it says in words.
pub(super) fn frame(about: &str, (width, height): (f64, f64), content: &str) -> String {
    let about = escape(about);
    format!(
        "<svg class=\"small\" role=\"img\" aria-label=\"{about}\" viewBox=\"0 0 {width} {height}\">{content}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_beats_in_both_is_named() {
        let cost =
            |label: &str, seconds, accuracy| Cost { label: label.into(), seconds, accuracy, named: label == "d" };
        let points = [cost("a", 1., 0.5), cost("b", 10., 0.9), cost("c", 20., 0.8), cost("d", 100., 0.7)];
        let svg = costs("t", &points);
        let named: Vec<bool> = ["a", "b", "c", "d"].map(|l| svg.contains(&format!(">{l}</text>"))).into();
        assert_eq!(named, [true, true, false, true], "{svg}");
        // log10 of 1 to 100 with .04 room: 10 lies in the middle of 340 units from 44.
        assert!(svg.contains("<circle cx=\"214.0\"") && svg.contains("<title>c: 0.800, 20.0 s<"), "{svg}");
        assert!(svg.contains("aria-label=\"t: a 0.500 in 1.0 s, b 0.900 in 10.0 s, c 0.800 in 20.0 s, d"), "{svg}");
        assert_eq!(steps(0.8, 30.), [1., 2., 5., 10., 20.]);
        assert_eq!(steps(0.5, 20_000.), [1., 10., 100., 1000., 10_000.]);
        assert_eq!(steps(12., 18.), [12., 18.]);
        assert_eq!(steps(21., 45.), [25., 30., 40.]);
    }

    #[test]
    fn curves_say_where_they_end() {
        let line = |label: &str, points: &[f64]| Line { label: label.into(), points: points.into() };
        let svg = lines("t", &[line("a<", &[0.5, 0.25]), line("b", &[2e-5]), line("c", &[])]);
        assert!(svg.contains("aria-label=\"t: at the last of its epochs: a&lt; 0.250, b 2.00e-5\""), "{svg}");
    }

    #[test]
    fn a_coarse_map_has_the_means_of_epochs_in_few_shades() {
        // 80 epochs in 40 columns; depth 0 rises from 0 to 79, depth 1 has no value in the second half.
        let at = |depth: usize, epoch: usize| match depth {
            0 => Some(epoch as f64),
            1 => (epoch < 40).then_some(79.),
            _ => None,
        };
        let svg = heat("t", 80, Detail::Coarse, &at);
        assert!(svg.contains("t: 0.50 to 79.00") && !svg.contains("<rect"), "{svg}");
        assert_eq!(svg.matches('M').count(), 40 + 20);
        // What the shades stand for is there in words, the first and the last in the picture's name.
        assert!(svg.contains("depth 0 from 0.500 to 78.500, depth 1 from 79.000 to 79.000\""), "{svg}");
        assert!(svg.contains("<tr><td>2<td>2.500<td>79.000\n") && svg.contains("<tr><td>78<td>78.500<td>\n"), "{svg}");
        assert!(svg.matches("<path").count() <= 17, "{svg}");
        // The first column of depth 0 is the weakest, that of depth 1 among the strongest, as is the last of depth 0.
        let of = |opacity: &str| svg.split("<path").find(|path| path.contains(&format!("\"{opacity}\""))).unwrap();
        assert!(of("0.08").contains("M60 22h6v20h-6z") && !of("0.08").contains("M60 42"), "{svg}");
        assert!(of("1.00").contains("M60 42h6") && of("1.00").contains("M294 22h6"), "{svg}");
        assert_eq!(heat("t", 80, Detail::Full, &at).matches("<title>depth 0, epoch").count(), 80);
    }

    #[test]
    fn a_matrix_has_a_cell_for_every_count_with_the_share_of_its_class() {
        let counts = [((0, 0), 3), ((0, 1), 1), ((1, 1), 2)].into();
        let svg = confusion("t", &["rest".into(), "<walk>".into()], &counts, Detail::Full);
        for (about, strength) in [
            ("class rest, predicted rest: 3", 0.77),
            ("class rest, predicted &lt;walk&gt;: 1", 0.31),
            ("class &lt;walk&gt;, predicted &lt;walk&gt;: 2", 1.),
        ] {
            assert!(svg.contains(&format!("fill-opacity=\"{strength:.2}\"><title>{about}<")), "{about} {svg}");
        }
        assert!(!svg.contains("class &lt;walk&gt;, predicted rest"));
        let about = "aria-label=\"t: 5 of 6 right; the most frequent mistake: rest taken for &lt;walk&gt; (1)\"";
        assert!(svg.contains(about) && !svg.contains("<table"), "{svg}");
        let coarse = confusion("t", &["rest".into(), "<walk>".into()], &counts, Detail::Coarse);
        assert!(coarse.contains(about) && coarse.contains("<tr><td>rest<td>3 of 4<td>&lt;walk&gt; 1\n"), "{coarse}");
        assert!(coarse.contains("<tr><td>&lt;walk&gt;<td>2 of 2<td>\n"), "{coarse}");
        // Both names stand at a row and at a column: 6 letters leave 56 on the left and 84 above.
        assert!(
            svg.contains("<rect x=\"56\" y=\"84\" width=\"260\"") && svg.matches(">rest</text>").count() == 2,
            "{svg}"
        );
        let svg = confusion("t", &["rest".into(), "a name too long".into()], &counts, Detail::Full);
        assert!(svg.contains("predicted 0 to 1") && !svg.contains(">rest</text>"), "{svg}");
        assert!(svg.contains("<title>class rest, predicted a name too long: 1<"), "{svg}");
    }
}
