//! Points in the plane, with a colour and a shape a class.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    charts::{COLOURS, frame},
    html::escape,
};

/// Shapes as strokes from a point, used in turn where all colours have been: a dot, a cross, a triangle, a square and a
/// plus.
const SHAPES: [&str; 5] = ["h0", "m-3-3l6 6m0-6l-6 6", "m0-4l4 7h-8z", "m-3-3h6v6h-6z", "m-4 0h8m-4-4v8"];

/// Classes at most whose centres are told in words.
const TOLD: usize = 12;

/// Points, each with its class.
pub(super) fn scatter(title: &str, names: &[String], points: &[([f32; 2], usize)]) -> String {
    let mut svg = format!("<text x=\"10\" y=\"14\" class=\"title\">{}</text>", escape(title));
    let (mut paths, mut sums) = (BTreeMap::<usize, String>::new(), BTreeMap::<usize, [f64; 3]>::new());
    for ([x, y], class) in points {
        let path = paths.entry(*class).or_default();
        let _ = write!(path, "M{:.1} {:.1}{}", 155. + 140. * x, 165. - 140. * y, shape(*class));
        let sum = sums.entry(*class).or_default();
        *sum = [sum[0] + f64::from(*x), sum[1] + f64::from(*y), sum[2] + 1.];
    }
    for (class, path) in &paths {
        let _ = write!(svg, "<path {} d=\"{path}\"><title>{}</title></path>", look(*class), name(names, *class));
    }
    let centre = |(class, [x, y, n]): (&usize, &[f64; 3])| {
        format!("{} ({:.2}, {:.2})", names.get(*class).map_or("", String::as_str), x / n, y / n)
    };
    let about = match sums.len() {
        ..=TOLD => format!("centres {}", sums.iter().map(centre).collect::<Vec<_>>().join(", ")),
        classes => format!("{classes} classes"),
    };
    frame(&format!("{title}, {} samples: {about}", points.len()), (310., 310.), &svg)
}

/// What each class looks like, as far as no two look alike.
pub(super) fn legend(names: &[String]) -> String {
    if names.len() > COLOURS.len() * SHAPES.len() {
        return String::new();
    }
    let one = |class: usize| {
        let mark = format!("<path {} d=\"M0 0{}\"/>", look(class), shape(class));
        format!("<li><svg aria-hidden=\"true\" viewBox=\"-11 -4 22 8\">{mark}</svg>{}</li>", name(names, class))
    };
    format!("<ul class=\"legend\">{}</ul>", (0..names.len()).map(one).collect::<String>())
}

fn name(names: &[String], class: usize) -> String {
    names.get(class).map_or_else(String::new, |name| escape(name))
}

fn shape(class: usize) -> &'static str {
    SHAPES[class / COLOURS.len() % SHAPES.len()]
}

/// Class and colour of a path of points.
fn look(class: usize) -> String {
    let kind = if shape(class) == SHAPES[0] { "points" } else { "points shapes" };
    format!("class=\"{kind}\" stroke=\"{}\"", COLOURS[class % COLOURS.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(classes: usize) -> Vec<String> {
        (0..classes).map(|class| format!("<{class}>")).collect()
    }

    #[test]
    fn every_point_is_drawn_once_in_its_class() {
        let svg = scatter("t", &names(3), &[([0., 0.], 0), ([1., 1.], 2), ([-1., 0.5], 2)]);
        assert!(svg.contains("d=\"M155.0 165.0h0\"") && svg.contains("d=\"M295.0 25.0h0M15.0 95.0h0\""), "{svg}");
        assert!(svg.contains("<title>&lt;2&gt;</title>"), "{svg}");
        let about = "aria-label=\"t, 3 samples: centres &lt;0&gt; (0.00, 0.00), &lt;2&gt; (0.00, 0.75)\"";
        assert!(svg.contains(about), "{svg}");
    }

    #[test]
    fn no_two_of_forty_classes_look_alike_and_no_colour_is_made_up() {
        let looks: Vec<(String, &str)> = (0..40).map(|class| (look(class), shape(class))).collect();
        assert!(looks.iter().enumerate().all(|(i, one)| !looks[..i].contains(one)));
        assert!(looks.iter().all(|(look, _)| COLOURS.iter().any(|colour| look.contains(colour))));
        let svg = scatter("t", &names(10), &[([0., 0.], 1), ([0., 0.], 9)]);
        assert!(svg.contains("M155.0 165.0h0\"") && svg.contains("M155.0 165.0m-3-3l6 6m0-6l-6 6\""), "{svg}");
        assert_eq!(legend(&names(40)).matches("<li>").count(), 40);
        assert_eq!(legend(&names(41)), "");
    }
}
