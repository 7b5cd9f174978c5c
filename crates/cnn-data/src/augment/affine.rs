//! Affine maps of the plane.

/// `(x, y) ↦ (a·x + b·y + c, d·x + e·y + f)`, coordinates being edges of pixels: the first pixel's
/// centre is (½, ½).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Affine {
    rows: [[f64; 3]; 2],
}

impl Affine {
    /// torchvision's affine map: shear, scale and turn about `center`, then move. Angles in
    /// degrees; `angle` turns clockwise as seen (the second axis points down).
    pub(super) fn about(
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

    /// The map back. The determinant must not be zero: it is the square of [`Affine::about`]'s
    /// scale.
    pub(super) fn inverse(&self) -> Self {
        let [[a, b, c], [d, e, f]] = self.rows;
        let determinant = a * e - b * d;
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

    pub(super) fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        self.rows.map(|[a, b, c]| a * x + b * y + c)
    }
}

#[cfg(test)]
mod tests {
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
}
