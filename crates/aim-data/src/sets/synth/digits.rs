//! The shape of each digit: strokes in a box from (0, 0) at the top left to (1, 1) at the bottom right.

use std::f64::consts::TAU;

/// A point, right and down.
pub(super) type Point = [f64; 2];

/// Part of a digit that is drawn without lifting the pen.
pub(super) enum Stroke {
    /// Straight lines from point to point.
    Lines(&'static [Point]),
    /// Part of an ellipse, in turns: 0 is to the right of its centre, 1/4 below, 1/2 to the left, 3/4 above.
    Arc { centre: Point, radius: Point, from: f64, to: f64 },
}

use Stroke::{Arc, Lines};

/// The strokes of each digit.
pub(super) static DIGITS: [&[Stroke]; 10] = [
    &[Arc { centre: [0.5, 0.5], radius: [0.28, 0.42], from: 0., to: 1. }],
    &[Lines(&[[0.35, 0.25], [0.55, 0.08], [0.55, 0.92]])],
    &[
        Arc { centre: [0.5, 0.32], radius: [0.26, 0.24], from: 0.5, to: 1.1 },
        Lines(&[[0.71, 0.46], [0.24, 0.92], [0.78, 0.92]]),
    ],
    &[
        Arc { centre: [0.47, 0.29], radius: [0.25, 0.21], from: 0.55, to: 1.25 },
        Arc { centre: [0.47, 0.71], radius: [0.28, 0.21], from: 0.75, to: 1.45 },
    ],
    &[Lines(&[[0.62, 0.92], [0.62, 0.08], [0.2, 0.66], [0.82, 0.66]])],
    &[
        Lines(&[[0.74, 0.08], [0.32, 0.08], [0.29, 0.46]]),
        Arc { centre: [0.48, 0.65], radius: [0.27, 0.27], from: 0.63, to: 1.42 },
    ],
    &[
        Arc { centre: [0.5, 0.66], radius: [0.26, 0.26], from: 0., to: 1. },
        Arc { centre: [0.72, 0.66], radius: [0.48, 0.58], from: 0.5, to: 0.72 },
    ],
    &[Lines(&[[0.22, 0.08], [0.78, 0.08], [0.42, 0.92]])],
    &[
        Arc { centre: [0.5, 0.29], radius: [0.22, 0.21], from: 0., to: 1. },
        Arc { centre: [0.5, 0.71], radius: [0.27, 0.21], from: 0., to: 1. },
    ],
    &[
        Arc { centre: [0.5, 0.34], radius: [0.26, 0.26], from: 0., to: 1. },
        Arc { centre: [0.28, 0.34], radius: [0.48, 0.58], from: 0., to: 0.22 },
    ],
];

impl Stroke {
    /// The stroke as points that are joined by straight lines.
    pub(super) fn points(&self) -> Vec<Point> {
        match *self {
            Lines(points) => points.to_vec(),
            Arc { centre, radius, from, to } => {
                let pieces = (16. * (to - from)).ceil();
                let angle = |i| TAU * (from + (to - from) * f64::from(i) / pieces);
                let at = |a: f64| [centre[0] + radius[0] * a.cos(), centre[1] + radius[1] * a.sin()];
                (0..=pieces as u32).map(|i| at(angle(i))).collect()
            }
        }
    }
}
