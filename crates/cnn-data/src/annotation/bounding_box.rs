//! A rectangle around an object.

/// An object's extent in pixels and its class.
///
/// Coordinates are edges, not centres of pixels: the box of a whole image of `height` and `width`
/// is `(0, 0, width, height)`, that of the single pixel in row 0 and column 0 is `(0, 0, 1, 1)`.
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
    /// The object's class as a number into [`Dataset::classes`](crate::Dataset::classes).
    pub class: usize,
}

impl BoundingBox {
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

    /// The part of the box inside an image of this size; its area is 0 where nothing is.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounding_box([x_min, y_min, x_max, y_max]: [f32; 4]) -> BoundingBox {
        BoundingBox {
            x_min,
            y_min,
            x_max,
            y_max,
            class: 3,
        }
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
}
