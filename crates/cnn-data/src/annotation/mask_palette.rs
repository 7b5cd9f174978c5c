//! Colors to show classes in.

use std::fmt;

use super::Mask;

/// A color for each value of a [`Mask`].
///
/// ```
/// use cnn_data::{Mask, MaskPalette};
///
/// let voc = MaskPalette::voc();
/// assert_eq!((voc.color(0), voc.color(15)), ([0, 0, 0], [192, 128, 128])); // background, person
/// assert_eq!(voc.color(Mask::IGNORE), [224, 224, 192]);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct MaskPalette {
    colors: [[u8; 3]; 256],
}

impl MaskPalette {
    /// The color map of Pascal VOC: black for class 0, and for the others the bits of the number,
    /// dealt out to red, green and blue. Most programs show the masks of VOC in it.
    pub fn voc() -> Self {
        let color = |number: usize| {
            let mut color = [0_u8; 3];
            for step in 0..8 {
                for (channel, value) in color.iter_mut().enumerate() {
                    let bit = number >> (3 * step + channel) & 1;
                    *value |= (bit << (7 - step)) as u8;
                }
            }
            color
        };
        Self {
            colors: std::array::from_fn(color),
        }
    }

    /// Colors that tell classes with neighbouring numbers apart: the hue moves by the golden
    /// section from each class to the next, and its lightness changes every time. The color of
    /// [`Mask::IGNORE`] is grey, which no class has.
    pub fn distinct() -> Self {
        let color = |number: usize| {
            if number == usize::from(Mask::IGNORE) {
                return [128; 3];
            }
            // A turn has 1536 steps, of which the golden section is 587.
            hue(number * 587 % 1536).map(|value| match number % 3 {
                0 => value,
                1 => 64 + value / 4 * 3,
                _ => value / 3 * 2,
            })
        };
        Self {
            colors: std::array::from_fn(color),
        }
    }

    /// The same with these colors for the first classes.
    #[must_use]
    pub fn with_colors(mut self, colors: &[[u8; 3]]) -> Self {
        for (known, color) in self.colors.iter_mut().zip(colors) {
            *known = *color;
        }
        self
    }

    /// The color of a value as red, green and blue.
    pub fn color(&self, value: u8) -> [u8; 3] {
        self.colors[usize::from(value)]
    }

    /// The colors in the order of their values.
    pub fn colors(&self) -> &[[u8; 3]] {
        &self.colors
    }
}

impl fmt::Debug for MaskPalette {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, ..] = self.colors;
        write!(f, "MaskPalette({first:?}, {second:?}, {third:?}, ...)")
    }
}

/// The pure color at one of 1536 steps around the circle, from red over green and blue.
fn hue(step: usize) -> [u8; 3] {
    let rising = (step % 256) as u8;
    let falling = 255 - rising;
    match step / 256 {
        0 => [255, rising, 0],
        1 => [falling, 255, 0],
        2 => [0, 255, rising],
        3 => [0, falling, 255],
        4 => [rising, 0, 255],
        _ => [255, 0, falling],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    // The table of VOCdevkit's VOClabelcolormap.m.
    #[test]
    fn the_color_map_is_vocs() {
        let voc = MaskPalette::voc();
        let cases = [
            (0, [0, 0, 0]),
            (1, [128, 0, 0]),
            (2, [0, 128, 0]),
            (3, [128, 128, 0]),
            (7, [128, 128, 128]),
            (8, [64, 0, 0]),
            (20, [0, 64, 128]),
            (255, [224, 224, 192]),
        ];
        for (value, color) in cases {
            assert_eq!(voc.color(value), color, "{value}");
        }
    }

    #[test]
    fn distinct_colors_differ_and_those_of_neighbours_differ_much() {
        let distinct = MaskPalette::distinct();
        let first: HashSet<_> = distinct.colors()[..64].iter().collect();
        assert_eq!(first.len(), 64);
        for pair in distinct.colors()[..255].windows(2) {
            let apart: i32 = (0..3)
                .map(|at| (i32::from(pair[0][at]) - i32::from(pair[1][at])).abs())
                .sum();
            assert!(apart > 150, "{pair:?}");
        }
    }
}
