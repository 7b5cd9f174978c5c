//! Colour maps for values.

use cnn_data::{Error, Image};
use colorous::{Color, Gradient, INFERNO, RED_BLUE};

/// Colours for the values of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorMap {
    /// 0 to 1 from black over red to light yellow: Inferno (N. Smith and S. van der Walt, 2015),
    /// perceptually uniform.
    Sequential,
    /// −1 to 1 from blue over white to red: ColorBrewer's RdBu (C. Brewer, 2003), the same
    /// lightness on both sides.
    Diverging,
}

impl ColorMap {
    /// The colour of a value; beyond the range that of its end, NaN as 0.
    pub fn color(self, value: f32) -> [u8; 3] {
        let value = if value.is_nan() { 0. } else { f64::from(value) };
        let Color { r, g, b } = match self {
            Self::Sequential => INFERNO.eval_continuous(value.clamp(0., 1.)),
            Self::Diverging => RED_BLUE.eval_continuous(0.5 - value.clamp(-1., 1.) / 2.),
        };
        [r, g, b]
    }

    /// The values of a map, row by row, as an image of its colours.
    ///
    /// # Errors
    /// If there are not `height` × `width` values.
    pub fn paint(self, values: &[f32], height: usize, width: usize) -> Result<Image, Error> {
        Image::from_pixels(
            height,
            width,
            3,
            values.iter().flat_map(|&value| self.color(value)).collect(),
        )
    }

    /// The map as a CSS gradient from left to right, for a legend.
    pub fn css_gradient(self) -> String {
        let gradient: Gradient = match self {
            Self::Sequential => INFERNO,
            Self::Diverging => RED_BLUE,
        };
        let stop = |stop: u8| {
            let share = f64::from(stop) / 16.;
            format!(
                "#{:x}",
                gradient.eval_continuous(if self == Self::Diverging {
                    1. - share
                } else {
                    share
                })
            )
        };
        format!(
            "linear-gradient(to right, {})",
            (0..=16).map(stop).collect::<Vec<_>>().join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lightness([red, green, blue]: [u8; 3]) -> f64 {
        0.2126 * f64::from(red) + 0.7152 * f64::from(green) + 0.0722 * f64::from(blue)
    }

    #[test]
    fn more_is_lighter_and_either_sign_is_as_far_from_white() {
        let sequential: Vec<f64> = (0..=50)
            .map(|step| lightness(ColorMap::Sequential.color(step as f32 / 50.)))
            .collect();
        assert!(sequential.windows(2).all(|pair| pair[0] < pair[1]));
        let [blue, white, red] = [-1., 0., 1.].map(|value| ColorMap::Diverging.color(value));
        assert!(blue[2] > blue[0] && red[0] > red[2] && lightness(white) > 230.);
        assert!((lightness(blue) - lightness(red)).abs() < 30.);
    }

    #[test]
    fn values_beyond_the_range_have_the_colour_of_its_end() {
        for map in [ColorMap::Sequential, ColorMap::Diverging] {
            assert_eq!(map.color(9.), map.color(1.));
            assert_eq!(map.color(f32::NEG_INFINITY), map.color(-1.));
            assert_eq!(map.color(f32::NAN), map.color(0.));
        }
    }
}
