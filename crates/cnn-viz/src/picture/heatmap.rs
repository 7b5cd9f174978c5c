//! A map of values over an image.

use super::ColorMap;
use crate::Error;

/// Values over an image, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Heatmap {
    height: usize,
    width: usize,
    values: Vec<f32>,
    signed: bool,
}

impl Heatmap {
    /// Values of which `signed` says whether they may be negative.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are not `height` × `width` values, or none.
    pub fn new(height: usize, width: usize, values: Vec<f32>, signed: bool) -> Result<Self, Error> {
        if values.is_empty() || values.len() != height * width {
            let expected = format!("{height}x{width}, at least one");
            return Err(Error::argument(
                "values",
                format!("{} values", values.len()),
                expected,
            ));
        }
        Ok(Self {
            height,
            width,
            values,
            signed,
        })
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The values row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Whether the values may be negative.
    pub fn is_signed(&self) -> bool {
        self.signed
    }

    /// The colours that show it.
    pub fn color_map(&self) -> ColorMap {
        if self.signed {
            ColorMap::Diverging
        } else {
            ColorMap::Sequential
        }
    }

    /// The values as colours show them: in units of the 99th percentile of their magnitudes, cut
    /// off at ±1. A few pixels of a gradient are so much larger than the others that nothing else
    /// would be seen.
    pub fn normalized(&self) -> Self {
        let unit = self.unit();
        let values = self.values.iter().map(|value| {
            if unit > 0. {
                (value / unit).clamp(-1., 1.)
            } else {
                0.
            }
        });
        Self {
            values: values.collect(),
            ..self.clone()
        }
    }

    /// What ±1 of [`Heatmap::normalized`] stands for: the 99th percentile of the magnitudes, or the
    /// largest where that is 0.
    pub fn unit(&self) -> f32 {
        let mut magnitudes: Vec<f32> = self.values.iter().map(|value| value.abs()).collect();
        let last = magnitudes.len() - 1;
        let (_, &mut percentile, above) =
            magnitudes.select_nth_unstable_by(last * 99 / 100, f32::total_cmp);
        if percentile > 0. {
            percentile
        } else {
            above.iter().copied().fold(0., f32::max)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_unit_is_a_high_percentile_that_is_not_zero() {
        let mut values: Vec<f32> = (0..200).map(|value| value as f32 / 100.).collect();
        values[7] = -1e6;
        let map = Heatmap::new(10, 20, values, true).unwrap();
        assert_eq!(map.unit(), 1.98);
        let normalized = map.normalized();
        assert_eq!(
            (
                normalized.values()[7],
                normalized.values()[199],
                normalized.values()[99]
            ),
            (-1., 1., 0.5)
        );
        let mut single = vec![0.; 200];
        single[3] = 4.;
        assert_eq!(Heatmap::new(10, 20, single, false).unwrap().unit(), 4.);
        assert_eq!(
            Heatmap::new(1, 2, vec![0., 0.], false)
                .unwrap()
                .normalized()
                .values(),
            [0., 0.]
        );
        assert!(
            Heatmap::new(0, 3, vec![], false).is_err()
                && Heatmap::new(2, 2, vec![0.], false).is_err()
        );
    }
}
