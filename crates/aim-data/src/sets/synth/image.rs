//! A digit drawn with a pen: turned, sheared, stretched and moved at random, with stray strokes across it and grain.

use aim_core::Rng;

use super::digits::{DIGITS, Point};

/// Side of an image in pixels.
pub(super) const SIDE: usize = 28;
/// Standard deviation of the noise in each pixel, where the darkest ink has 1.
const GRAIN: f64 = 0.08;

/// A digit as [`SIDE`] x [`SIDE`] pixels, row after row: about 0 for paper and 1 for ink.
pub(super) fn draw(digit: usize, clutter: f64, rng: &mut Rng) -> Vec<f32> {
    let mut paper = Paper { pixels: vec![0.; SIDE * SIDE] };
    let place = Placement::random(rng);
    let pen = Pen::random(rng);
    for stroke in DIGITS[digit] {
        let points: Vec<_> = stroke.points().into_iter().map(|p| place.of(p)).collect();
        paper.draw(&points, &pen);
    }
    for _ in 0..(clutter + rng.uniform()) as usize {
        paper.draw(&stray(rng), &Pen::random(rng));
    }
    paper.pixels.iter().map(|v| (v + GRAIN * rng.normal()) as f32).collect()
}

/// How a digit lies on the paper: `centre + matrix (point - 1/2)`.
struct Placement {
    matrix: [Point; 2],
    centre: Point,
}

impl Placement {
    fn random(rng: &mut Rng) -> Self {
        let (turn, shear) = (0.12 * rng.normal(), 0.12 * rng.normal());
        let height = SIDE as f64 * rng.range(0.65, 0.85);
        let width = height * rng.range(0.7, 1.1);
        let (sin, cos) = turn.sin_cos();
        let matrix = [[width * cos, height * (shear * cos - sin)], [width * sin, height * (shear * sin + cos)]];
        let room = SIDE as f64 * 0.06;
        Self { matrix, centre: [0; 2].map(|_| SIDE as f64 / 2. + rng.range(-room, room)) }
    }

    fn of(&self, [x, y]: Point) -> Point {
        let along = |i: usize| self.centre[i] + self.matrix[i][0] * (x - 0.5) + self.matrix[i][1] * (y - 0.5);
        [along(0), along(1)]
    }
}

/// Thickness in pixels and darkness of a stroke.
struct Pen {
    thickness: f64,
    ink: f64,
}

impl Pen {
    fn random(rng: &mut Rng) -> Self {
        Self { thickness: rng.range(1., 3.), ink: rng.range(0.6, 1.) }
    }
}

/// A bent stroke anywhere on the paper.
fn stray(rng: &mut Rng) -> Vec<Point> {
    let side = SIDE as f64;
    let mut point = [rng.range(0., side), rng.range(0., side)];
    let (mut angle, bend) = (rng.range(0., std::f64::consts::TAU), 0.3 * rng.normal());
    let mut points = vec![point];
    for _ in 0..6 {
        point = [point[0] + 2.5 * angle.cos(), point[1] + 2.5 * angle.sin()];
        angle += bend;
        points.push(point);
    }
    points
}

struct Paper {
    pixels: Vec<f64>,
}

impl Paper {
    /// Draws lines from point to point; each pixel becomes as dark as its share of the stroke's width.
    fn draw(&mut self, points: &[Point], pen: &Pen) {
        let reach = pen.thickness / 2. + 0.5;
        for line in points.windows(2) {
            let span = |axis: usize| {
                let (a, b) = (line[0][axis], line[1][axis]);
                let clip = |v: f64| v.clamp(0., SIDE as f64) as usize;
                clip(a.min(b) - reach)..clip(a.max(b) + reach + 1.)
            };
            for row in span(1) {
                for column in span(0) {
                    let far = distance([column as f64 + 0.5, row as f64 + 0.5], line[0], line[1]);
                    let ink = pen.ink * (reach - far).clamp(0., 1.);
                    let pixel = &mut self.pixels[row * SIDE + column];
                    *pixel = pixel.max(ink);
                }
            }
        }
    }
}

/// Distance of a point from the line between two others.
fn distance(p: Point, a: Point, b: Point) -> f64 {
    let (along, to) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let length = (along[0] * along[0] + along[1] * along[1]).max(1e-12);
    let t = ((to[0] * along[0] + to[1] * along[1]) / length).clamp(0., 1.);
    (to[0] - t * along[0]).hypot(to[1] - t * along[1])
}
