//! A rectangle around an object.

use super::Affine;

/// What is left of a box must have this area in square pixels.
const LEAST_AREA: f32 = 1.0;
/// What is left of a box must be this share of the area that it had before it was cut.
const LEAST_SHARE: f32 = 0.1;

/// An object's extent in pixels and its class.
///
/// Coordinates are edges of pixels, not centres. The box of a whole image of `height` and `width`
/// is `(0, 0, width, height)`, and the box of the single pixel in row 0 and column 0 is `(0, 0, 1,
/// 1)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoundingBox {
    /// Left edge.
    pub x_min: f32,
    /// Upper edge.
    pub y_min: f32,
    /// Right edge, one past the last column.
    pub x_max: f32,
    /// Lower edge, one past the last row.
    pub y_max: f32,
    /// The object's class as an index into [`Dataset::classes`](crate::Dataset::classes), from 0.
    pub class: usize,
}

impl BoundingBox {
    /// An object of a class, from the edges `[x_min, y_min, x_max, y_max]` in pixels.
    pub fn new([x_min, y_min, x_max, y_max]: [f32; 4], class: usize) -> Self {
        Self {
            x_min,
            y_min,
            x_max,
            y_max,
            class,
        }
    }

    /// The edges `[x_min, y_min, x_max, y_max]`.
    pub fn edges(&self) -> [f32; 4] {
        [self.x_min, self.y_min, self.x_max, self.y_max]
    }

    /// Width in pixels, 0 where the edges are crossed.
    pub fn width(&self) -> f32 {
        (self.x_max - self.x_min).max(0.0)
    }

    /// Height in pixels, 0 where the edges are crossed.
    pub fn height(&self) -> f32 {
        (self.y_max - self.y_min).max(0.0)
    }

    /// Area in square pixels.
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// The part of the box that lies inside an image of this size; its area is 0 if no part does.
    pub fn clip(&self, height: usize, width: usize) -> Self {
        let height = height as f32;
        let width = width as f32;
        Self {
            x_min: self.x_min.clamp(0.0, width),
            y_min: self.y_min.clamp(0.0, height),
            x_max: self.x_max.clamp(0.0, width),
            y_max: self.y_max.clamp(0.0, height),
            class: self.class,
        }
    }

    /// The smallest upright box around the four corners after `map`.
    pub fn mapped(&self, map: &Affine) -> Self {
        let [x_min, y_min, x_max, y_max] = self.edges().map(f64::from);
        let corners = [
            [x_min, y_min],
            [x_max, y_min],
            [x_min, y_max],
            [x_max, y_max],
        ];
        let [first, rest @ ..] = corners.map(|corner| map.apply(corner).map(|value| value as f32));
        let hull = |of: fn(f32, f32) -> f32, axis: usize| {
            rest.iter()
                .fold(first[axis], |edge, corner| of(edge, corner[axis]))
        };
        Self {
            x_min: hull(f32::min, 0),
            y_min: hull(f32::min, 1),
            x_max: hull(f32::max, 0),
            y_max: hull(f32::max, 1),
            class: self.class,
        }
    }

    /// The part of the box inside an image of this size, after `map`; `None` if too little is left.
    ///
    /// Too little is less than one square pixel, or less than a tenth of the area that the box had
    /// before it was cut. All transforms of this crate and [`Batch`](crate::Batch) go by this rule.
    /// A box whose edges are crossed or not numbers has no area, and is left out too.
    pub fn placed(&self, map: &Affine, height: usize, width: usize) -> Option<Self> {
        let whole = self.mapped(map);
        let left = whole.clip(height, width);
        let is_seen = self.area() > 0.0
            && left.area() >= LEAST_AREA
            && left.area() >= LEAST_SHARE * whole.area();
        is_seen.then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounding_box(edges: [f32; 4]) -> BoundingBox {
        BoundingBox::new(edges, 3)
    }

    #[test]
    fn sides_and_clipping() {
        let cases = [
            ([0.0, 0.0, 7.0, 5.0], 35.0, [0.0, 0.0, 7.0, 5.0]),
            ([-2.0, 1.5, 4.0, 9.0], 45.0, [0.0, 1.5, 4.0, 5.0]),
            ([8.0, 1.0, 9.0, 2.0], 1.0, [7.0, 1.0, 7.0, 2.0]),
            ([3.0, 3.0, 2.0, 2.0], 0.0, [3.0, 3.0, 2.0, 2.0]),
        ];
        for (edges, area, clipped) in cases {
            assert_eq!(bounding_box(edges).area(), area, "{edges:?}");
            assert_eq!(
                bounding_box(edges).clip(5, 7),
                bounding_box(clipped),
                "{edges:?}"
            );
        }
    }

    #[test]
    fn boxes_of_which_little_is_left_go() {
        let nan = f32::NAN;
        let far = f32::INFINITY;
        // In an image of 10 rows and 20 columns: what is placed and what is left.
        let cases = [
            ([0.0, 0.0, 20.0, 10.0], Some([0.0, 0.0, 20.0, 10.0])),
            ([-10.0, 2.0, 10.0, 4.0], Some([0.0, 2.0, 10.0, 4.0])),
            ([-10.0, 2.0, 1.0, 4.0], None),
            ([3.0, 3.0, 4.0, 4.0], Some([3.0, 3.0, 4.0, 4.0])),
            ([3.0, 3.0, 3.9, 4.0], None),
            ([20.0, 0.0, 30.0, 10.0], None),
            ([9.0, 9.0, 3.0, 3.0], None),
            ([nan, 0.0, 5.0, 5.0], None),
            ([0.0, 0.0, far, 5.0], None),
        ];
        for (edges, expected) in cases {
            let placed = bounding_box(edges).placed(&Affine::IDENTITY, 10, 20);
            assert_eq!(placed, expected.map(bounding_box), "{edges:?}");
        }
    }

    #[test]
    fn a_turned_box_becomes_its_hull() {
        // A quarter turn clockwise about the origin: (x, y) goes to (−y, x).
        let turned = Affine::about([0.0; 2], 90.0, [0.0; 2], 1.0, [0.0; 2]);
        let found = bounding_box([2.0, 1.0, 6.0, 4.0]).mapped(&turned);
        let expected = [-4.0, 2.0, -1.0, 6.0];
        assert!(
            found
                .edges()
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-6),
            "{found:?}"
        );
    }
}
