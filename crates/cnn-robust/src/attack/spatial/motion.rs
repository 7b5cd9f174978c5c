//! A rotation with a shift.

/// What stands where nothing of an image comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Zeros.
    Black,
    /// The nearest pixel of the edge.
    Edge,
}

/// A rotation about the centre, and then a shift.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Motion {
    /// The angle, counter-clockwise.
    pub degrees: f64,
    /// How many pixels it goes down.
    pub down: f64,
    /// How many pixels it goes to the right.
    pub right: f64,
}

impl Motion {
    /// Writes an image `(H, W, C)` of this size after the motion; values between pixels are
    /// bilinear.
    pub(super) fn apply(self, size: [usize; 3], image: &[f64], fill: Fill, moved: &mut [f64]) {
        let [height, width, channels] = size;
        let (sine, cosine) = self.degrees.to_radians().sin_cos();
        let middle_row = (height as f64 - 1.) / 2.;
        let middle_column = (width as f64 - 1.) / 2.;
        for (place, pixel) in moved.chunks_exact_mut(channels.max(1)).enumerate() {
            let down = (place / width) as f64 - self.down - middle_row;
            let right = (place % width) as f64 - self.right - middle_column;
            let source = Source {
                size,
                image,
                fill,
                row: middle_row + cosine * down + sine * right,
                column: middle_column + cosine * right - sine * down,
            };
            for (channel, value) in pixel.iter_mut().enumerate() {
                *value = source.bilinear(channel);
            }
        }
    }
}

/// A point of an image.
struct Source<'a> {
    size: [usize; 3],
    image: &'a [f64],
    fill: Fill,
    row: f64,
    column: f64,
}

impl Source<'_> {
    fn bilinear(&self, channel: usize) -> f64 {
        let top = self.row.floor();
        let left = self.column.floor();
        let below = self.row - top;
        let beside = self.column - left;
        let row = |row: f64| {
            (1. - beside) * self.pixel(row, left, channel)
                + beside * self.pixel(row, left + 1., channel)
        };
        (1. - below) * row(top) + below * row(top + 1.)
    }

    fn pixel(&self, row: f64, column: f64, channel: usize) -> f64 {
        let [height, width, channels] = self.size;
        let last_row = height as f64 - 1.;
        let last_column = width as f64 - 1.;
        let nearest_row = row.clamp(0., last_row);
        let nearest_column = column.clamp(0., last_column);
        let is_inside = nearest_row == row && nearest_column == column;
        if self.fill == Fill::Black && !is_inside {
            return 0.;
        }
        self.image[(nearest_row as usize * width + nearest_column as usize) * channels + channel]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [usize; 3] = [2, 3, 1];
    const IMAGE: [f64; 6] = [1., 2., 3., 4., 5., 6.];

    fn moved(motion: Motion, fill: Fill) -> [f64; 6] {
        let mut moved = [0.; 6];
        motion.apply(SIZE, &IMAGE, fill, &mut moved);
        moved
    }

    #[test]
    fn an_image_moves_as_by_hand() {
        let none = Motion::default();
        assert_eq!(moved(none, Fill::Black), IMAGE);
        let right = Motion { right: 1., ..none };
        assert_eq!(moved(right, Fill::Black), [0., 1., 2., 0., 4., 5.]);
        assert_eq!(moved(right, Fill::Edge), [1., 1., 2., 4., 4., 5.]);
        let down = Motion { down: 0.5, ..none };
        assert_eq!(moved(down, Fill::Black), [0.5, 1., 1.5, 2.5, 3.5, 4.5]);
        let turned = Motion {
            degrees: 180.,
            ..none
        };
        for (found, expected) in moved(turned, Fill::Edge)
            .iter()
            .zip([6., 5., 4., 3., 2., 1.])
        {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn a_positive_angle_turns_counter_clockwise() {
        let quarter = Motion {
            degrees: 90.,
            ..Motion::default()
        };
        let mut moved = [0.; 4];
        quarter.apply([2, 2, 1], &[1., 2., 3., 4.], Fill::Edge, &mut moved);
        for (found, expected) in moved.iter().zip([2., 4., 1., 3.]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }
}
