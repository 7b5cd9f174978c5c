//! The geometry of an image: which objects and strokes are where.

use std::f32::consts::{PI, TAU};

use cnn_core::{Key, Rng};

use super::ShapesConfig;
use super::figure::{FIGURES, Figure};
use super::noise::mix;
use super::palette::between;

/// The smallest radius at which every figure has pixels of its own.
const MIN_RADIUS: f32 = 3.0;
const PLACING_ATTEMPTS: i32 = 48;

/// Objects from the first drawn to the last, thin clutter behind and before them.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) objects: Vec<Placed>,
    pub(super) behind: Vec<Stroke>,
    pub(super) front: Vec<Stroke>,
}

/// A figure of a class, put somewhere. Lengths are in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) class: usize,
    pub(super) center: [f32; 2],
    /// Of the circle around the unscaled figure.
    pub(super) radius: f32,
    /// Along the figure's own axes, before it is turned.
    stretch: [f32; 2],
    /// Sine and cosine.
    turn: [f32; 2],
}

/// A twig or a pebble: a line with round ends, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stroke {
    from: [f32; 2],
    to: [f32; 2],
    half_width: f32,
}

impl Scene {
    /// The scene of a key, its first and largest object of class `main`.
    pub(super) fn draw(key: Key, main: usize, config: &ShapesConfig) -> Self {
        let difficulty = config.difficulty as f32;
        let [height, width] = config.size.map(|side| side as f32);
        let short = height.min(width);
        let objects = draw_objects(&key, main, config);
        let mut rng = key.stream("clutter").rng();
        let mut strokes = |most: f32, longest: f32| -> Vec<Stroke> {
            let count = between(&mut rng, 0.3, 1.0) * most * difficulty;
            (0..(count + 0.5) as usize)
                .map(|_| Stroke::draw(&mut rng, [width, height], short, longest))
                .collect()
        };
        let behind = strokes(10.0, 0.5);
        let front = strokes(4.0, 0.8);
        Self {
            objects,
            behind,
            front,
        }
    }
}

fn draw_objects(key: &Key, main: usize, config: &ShapesConfig) -> Vec<Placed> {
    let difficulty = config.difficulty as f32;
    let [height, width] = config.size.map(|side| side as f32);
    let mut rng = key.stream("objects").rng();
    let fewest = *config.objects.start();
    let count = fewest + rng.below((config.objects.end() - fewest + 1) as u64) as usize;
    // Several objects share the room.
    let room = height.min(width) * (1.0 + 0.55 * (count as f32 - 1.0)).sqrt().recip();
    let largest = room * between(&mut rng, mix(0.34, 0.2, difficulty), 0.44);
    let mut objects: Vec<Placed> = Vec::with_capacity(count);
    for number in 0..count {
        let mut rng = key.stream("object").at(number as u64).rng();
        let (class, radius) = match number {
            0 => (main, largest),
            _ => (
                rng.below(FIGURES.len() as u64) as usize,
                largest * between(&mut rng, 0.6, 0.95),
            ),
        };
        let radius = radius.max(MIN_RADIUS);
        let shape = Placed::draw(&mut rng, class, radius, difficulty);
        let placed = (0..PLACING_ATTEMPTS).find_map(|_| {
            let center = [width, height].map(|side| place(&mut rng, side, radius, difficulty));
            let placed = Placed { center, ..shape };
            objects
                .iter()
                .all(|other| placed.is_clear_of(other, difficulty))
                .then_some(placed)
        });
        objects.extend(placed);
    }
    objects
}

/// A coordinate at which a circle lies inside the image; at high difficulty it may reach out of it
/// a little.
fn place(rng: &mut Rng, side: f32, radius: f32, difficulty: f32) -> f32 {
    let margin = (radius * mix(1.0, 0.85, difficulty)).min(side / 2.0);
    between(rng, margin, side - margin)
}

impl Placed {
    fn draw(rng: &mut Rng, class: usize, radius: f32, difficulty: f32) -> Self {
        let largest_turn = mix(0.1, PI, difficulty * difficulty);
        let (sin, cos) = libm::sincosf(between(rng, -largest_turn, largest_turn));
        let squeeze = between(rng, mix(0.95, 0.8, difficulty), 1.0);
        let stretch = if rng.bernoulli(0.5) {
            [1.0, squeeze]
        } else {
            [squeeze, 1.0]
        };
        Self {
            class,
            center: [0.0; 2],
            radius,
            stretch,
            turn: [sin, cos],
        }
    }

    /// A point of the image in the object's frame, in pixels: turned back, unscaled.
    pub(super) fn inward(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let x = x - self.center[0];
        let y = y - self.center[1];
        let [sin, cos] = self.turn;
        [cos * x + sin * y, cos * y - sin * x]
    }

    /// Distance of a point of the image from the outline in pixels, negative inside.
    pub(super) fn distance(&self, at: [f32; 2]) -> f32 {
        let [x, y] = self.inward(at);
        let [along, across] = self.stretch.map(|stretch| stretch * self.radius);
        self.figure().distance([x / along, y / across]) * along.min(across)
    }

    fn figure(&self) -> Figure {
        FIGURES
            .get(self.class)
            .map_or(Figure::Circle, |(_, figure)| *figure)
    }

    fn is_clear_of(&self, other: &Self, difficulty: f32) -> bool {
        let [x, y] = [
            self.center[0] - other.center[0],
            self.center[1] - other.center[1],
        ];
        let apart = (self.radius + other.radius) * mix(0.98, 0.84, difficulty);
        x * x + y * y >= apart * apart
    }
}

impl Stroke {
    fn draw(rng: &mut Rng, sides: [f32; 2], short: f32, longest: f32) -> Self {
        let from = sides.map(|side| between(rng, 0.0, side));
        let (sin, cos) = libm::sincosf(between(rng, 0.0, TAU));
        let pebble = rng.bernoulli(0.3);
        let (length, half_width) = if pebble {
            (between(rng, 0.0, 0.06), between(rng, 0.015, 0.04))
        } else {
            (between(rng, 0.15, longest), between(rng, 0.008, 0.02))
        };
        let to = [
            from[0] + cos * length * short,
            from[1] + sin * length * short,
        ];
        Self {
            from,
            to,
            half_width: (short * half_width).max(0.4),
        }
    }

    /// Distance of a point from the stroke's edge, negative inside.
    pub(super) fn distance(&self, [x, y]: [f32; 2]) -> f32 {
        let along = [self.to[0] - self.from[0], self.to[1] - self.from[1]];
        let point = [x - self.from[0], y - self.from[1]];
        let squared = along[0] * along[0] + along[1] * along[1];
        let at = ((point[0] * along[0] + point[1] * along[1]) / squared.max(1e-6)).clamp(0.0, 1.0);
        let beside = [point[0] - along[0] * at, point[1] - along[1] * at];
        (beside[0] * beside[0] + beside[1] * beside[1]).sqrt() - self.half_width
    }

    /// Left, top, right and bottom.
    pub(super) fn bounds(&self) -> [f32; 4] {
        let [from, to, grow] = [self.from, self.to, [self.half_width; 2]];
        let low = |axis: usize| from[axis].min(to[axis]) - grow[axis];
        let high = |axis: usize| from[axis].max(to[axis]) + grow[axis];
        [low(0), low(1), high(0), high(1)]
    }
}
