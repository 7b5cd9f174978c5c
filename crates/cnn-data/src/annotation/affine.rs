//! Affine maps of the plane.

use crate::Error;

/// The map `(x, y) ↦ (a·x + b·y + c, d·x + e·y + f)` from the pixels of one image to those of
/// another.
///
/// Coordinates are edges of pixels, as in [`BoundingBox`](crate::BoundingBox): the centre of the
/// first pixel is (½, ½), and the whole image reaches from (0, 0) to its width and height.
///
/// ```
/// use cnn_data::Affine;
///
/// // A crop that begins in column 20 and row 10, and a resize to twice the size.
/// let crop = Affine::new([[1.0, 0.0, -20.0], [0.0, 1.0, -10.0]])?;
/// let double = Affine::new([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])?;
/// let map = crop.then(&double);
/// assert_eq!(map.apply([25.0, 11.0]), [10.0, 2.0]);
/// assert_eq!(map.inverse().apply([10.0, 2.0]), [25.0, 11.0]);
/// # Ok::<(), cnn_data::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    rows: [[f64; 3]; 2],
}

impl Affine {
    /// The map that leaves every point where it is.
    pub const IDENTITY: Self = Self {
        rows: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
    };

    /// The map with the rows `[a, b, c]` and `[d, e, f]`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if a number is not finite, or if there is no way back because
    /// `a·e − b·d` is 0 or not finite.
    pub fn new(rows: [[f64; 3]; 2]) -> Result<Self, Error> {
        let map = Self { rows };
        let determinant = map.determinant();
        let is_finite = rows.as_flattened().iter().all(|value| value.is_finite());
        if is_finite && determinant.is_finite() && determinant != 0.0 {
            return Ok(map);
        }
        Err(Error::argument(
            "rows",
            format!("{rows:?}"),
            "finite numbers whose determinant a·e − b·d is finite and not 0",
        ))
    }

    /// Moves every point by `x` to the right and by `y` down.
    pub(crate) const fn translation(x: f64, y: f64) -> Self {
        Self {
            rows: [[1.0, 0.0, x], [0.0, 1.0, y]],
        }
    }

    /// Stretches both axes; neither factor may be 0.
    pub(crate) const fn scaling(x: f64, y: f64) -> Self {
        Self {
            rows: [[x, 0.0, 0.0], [0.0, y, 0.0]],
        }
    }

    /// torchvision's affine map, which shears, scales and turns about `center`, and then moves.
    /// Angles are in degrees, and `angle` turns clockwise as seen, because the second axis points
    /// down.
    pub(crate) fn about(
        center: [f64; 2],
        angle: f64,
        translation: [f64; 2],
        scale: f64,
        shear: [f64; 2],
    ) -> Self {
        let (sin, cos) = libm::sincos(angle.to_radians());
        let [tan_x, tan_y] = shear.map(|degrees| libm::tan(degrees.to_radians()));
        // rotation · scale · [[1, 0], [-tan_y, 1]] · [[1, -tan_x], [0, 1]]
        let sheared = [[1.0, -tan_x], [-tan_y, 1.0 + tan_x * tan_y]];
        let column = |j: usize| {
            let x = sheared[0][j];
            let y = sheared[1][j];
            [scale * (cos * x - sin * y), scale * (sin * x + cos * y)]
        };
        let first = column(0);
        let second = column(1);
        let row = |i: usize| {
            let moved = center[i] + translation[i] - first[i] * center[0] - second[i] * center[1];
            [first[i], second[i], moved]
        };
        Self {
            rows: [row(0), row(1)],
        }
    }

    /// This map, and `next` after it.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let [[a, b, c], [d, e, f]] = self.rows;
        let row = |[p, q, r]: [f64; 3]| [p * a + q * d, p * b + q * e, p * c + q * f + r];
        Self {
            rows: next.rows.map(row),
        }
    }

    /// The map back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let [[a, b, c], [d, e, f]] = self.rows;
        let determinant = self.determinant();
        let [a, b, d, e] = [
            e / determinant,
            -b / determinant,
            -d / determinant,
            a / determinant,
        ];
        Self {
            rows: [[a, b, -(a * c + b * f)], [d, e, -(d * c + e * f)]],
        }
    }

    /// Where the point `[x, y]` goes.
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        self.rows.map(|[a, b, c]| a * x + b * y + c)
    }

    fn determinant(&self) -> f64 {
        let [[a, b, _], [d, e, _]] = self.rows;
        a * e - b * d
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn close(found: [f64; 2], expected: [f64; 2]) -> bool {
        found
            .iter()
            .zip(expected)
            .all(|(found, expected)| (found - expected).abs() < 1e-9)
    }

    #[test]
    fn the_inverse_leads_back() {
        for (angle, scale, shear) in [
            (0.0, 1.0, [0.0, 0.0]),
            (33.0, 0.7, [12.0, -5.0]),
            (-170.0, 2.5, [0.0, 40.0]),
        ] {
            let map = Affine::about([3.5, 8.0], angle, [2.0, -1.0], scale, shear);
            for point in [[0.0, 0.0], [7.0, 1.5], [-3.0, 11.0]] {
                assert!(
                    close(map.inverse().apply(map.apply(point)), point),
                    "{angle} {point:?}"
                );
            }
        }
    }

    #[test]
    fn the_centre_moves_by_the_translation_and_a_quarter_turn_is_clockwise() {
        let map = Affine::about([4.0, 3.0], 90.0, [2.0, -1.0], 1.0, [0.0, 0.0]);
        assert!(close(map.apply([4.0, 3.0]), [6.0, 2.0]));
        // Right of the centre becomes below it.
        assert!(close(map.apply([5.0, 3.0]), [6.0, 3.0]));
    }

    #[test]
    fn maps_are_applied_in_the_order_in_which_they_are_said() {
        let turned = Affine::about([3.0, 5.0], 30.0, [1.0, 2.0], 1.5, [4.0, 0.0]);
        let flipped = Affine::new([[-1.0, 0.0, 20.0], [0.0, 1.0, 0.0]]).unwrap();
        let stretched = Affine::scaling(0.5, 3.0);
        let all = turned.then(&flipped).then(&stretched);
        for point in [[0.0, 0.0], [7.0, 1.5], [-3.0, 11.0]] {
            let one_by_one = stretched.apply(flipped.apply(turned.apply(point)));
            assert!(close(all.apply(point), one_by_one), "{point:?}");
            assert!(close(all.inverse().apply(one_by_one), point), "{point:?}");
        }
        assert_eq!(Affine::IDENTITY.then(&flipped), flipped);
        assert_eq!(flipped.then(&flipped), Affine::IDENTITY);
    }

    #[test]
    fn a_map_without_a_way_back_is_refused() {
        let cases = [
            [[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]],
            [[f64::NAN, 0.0, 0.0], [0.0, 1.0, 0.0]],
            [[1.0, 0.0, f64::INFINITY], [0.0, 1.0, 0.0]],
            [[1e300, 0.0, 0.0], [0.0, 1e300, 0.0]],
        ];
        for rows in cases {
            let message = Affine::new(rows).unwrap_err().to_string();
            assert!(message.starts_with("`rows`: found [["), "{message}");
        }
    }
}
