//! The movement of the pen that writes a digit: where it is at equal steps of time, unsteadily led.

use aim_core::Rng;

use super::digits::{DIGITS, Point};

/// Moments at which the pen is looked at.
pub(super) const MOMENTS: usize = 32;
/// Coordinates: right, down, and whether the pen touches the paper.
pub(super) const COORDINATES: usize = 3;

/// The movement `[MOMENTS, COORDINATES]` of a digit, with noise of that standard deviation on each coordinate, where
/// the digit's box has side 1.
pub(super) fn write(digit: usize, noise: f64, rng: &mut Rng) -> Vec<f32> {
    let strokes: Vec<Vec<Point>> = DIGITS[digit].iter().map(super::digits::Stroke::points).collect();
    let path: Vec<(Point, bool)> =
        strokes.iter().flat_map(|s| s.iter().enumerate().map(|(i, p)| (*p, i > 0))).collect();
    let (turn, size) = (0.2 * rng.normal(), rng.range(0.7, 1.1));
    let (sin, cos) = turn.sin_cos();
    // The hand speeds up and slows down: time runs through the path as t + sway sin(2 pi t + phase) / 2 pi.
    let (sway, phase) = (rng.range(0., 0.6), rng.range(0., std::f64::consts::TAU));
    let swing = |t: f64| sway * ((std::f64::consts::TAU * t + phase).sin() - phase.sin()) / std::f64::consts::TAU;
    let mut out = Vec::with_capacity(MOMENTS * COORDINATES);
    for moment in 0..MOMENTS {
        let t = moment as f64 / (MOMENTS - 1) as f64;
        let ([x, y], down) = along(&path, (t + swing(t)).clamp(0., 1.));
        let (x, y) = (size * (x - 0.5), size * (y - 0.5));
        let clean = [x * cos - y * sin, x * sin + y * cos, f64::from(u8::from(down)) - 0.5];
        out.extend(clean.map(|v| (v + noise * rng.normal()) as f32));
    }
    out
}

/// The point that lies at a share of the path's length, and whether the pen touches the paper there.
fn along(path: &[(Point, bool)], share: f64) -> (Point, bool) {
    let length = |a: Point, b: Point| (b[0] - a[0]).hypot(b[1] - a[1]);
    let mut left = share * path.windows(2).map(|w| length(w[0].0, w[1].0)).sum::<f64>();
    for pair in path.windows(2) {
        let ((a, _), (b, down)) = (pair[0], pair[1]);
        let piece = length(a, b);
        if left <= piece && piece > 0. {
            let t = left / piece;
            return ([a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])], down);
        }
        left -= piece;
    }
    path.last().map_or(([0.5; 2], false), |(point, _)| (*point, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_path_with_a_lifted_pen_by_hand() {
        // Down 1, right 1 in the air, down 1: the middle lies in the air.
        let path = [([0., 0.], false), ([0., 1.], true), ([1., 1.], false), ([1., 2.], true)];
        assert_eq!(along(&path, 0.5), ([0.5, 1.], false));
        assert_eq!(along(&path, 0.25).0, [0., 0.75]);
        assert_eq!(along(&path, 1.), ([1., 2.], true));
    }

    #[test]
    fn a_steady_hand_is_on_the_digit() {
        let written = write(1, 0., &mut Rng::keyed(0, "pen"));
        assert_eq!(written.len(), MOMENTS * COORDINATES);
        assert!(written.iter().all(|v| v.abs() < 0.8));
        // One stroke: the pen is down from the first to the last moment.
        assert!(written.chunks(COORDINATES).all(|m| (m[2] - 0.5).abs() < 1e-6));
    }
}
