//! Boxes over a photo, each with a word.

use cnn_data::{Image, MaskPalette};
use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts as _};

use crate::Error;

/// Pixels of a letter along each axis, before it is enlarged.
const LETTER: usize = 8;
/// The shorter side of a photo for each step by which lines and letters are enlarged.
const STEP: usize = 400;

/// A box with a word, to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureBox {
    /// Its edges `[x_min, y_min, x_max, y_max]` in pixels of the photo.
    pub edges: [f32; 4],
    /// What stands at its upper edge; empty for nothing.
    pub word: String,
    /// Which colour it has: boxes with one number have one colour.
    pub color: usize,
}

/// A photo in colour with boxes, the last on top. Lines and letters grow with the photo.
///
/// # Errors
/// [`Error::Picture`] if the photo cannot be made one of colours.
pub fn draw_boxes(photo: &Image, boxes: &[PictureBox]) -> Result<Image, Error> {
    let failed = |source| Error::picture("boxes", source);
    let photo = photo.to_rgb();
    let [height, width] = [photo.height(), photo.width()];
    let scale = (height.min(width) / STEP).max(1);
    let mut canvas = Canvas {
        bytes: photo.into_bytes(),
        height,
        width,
    };
    let palette = MaskPalette::distinct();
    for shown in boxes {
        // The first colours are the strongest; the last number is none of a class.
        let color = palette.color((shown.color % 255) as u8);
        canvas.draw_frame(&shown.edges, 2 * scale, color);
        canvas.draw_word(shown, scale, color);
    }
    Image::from_pixels(height, width, 3, canvas.bytes).map_err(failed)
}

struct Canvas {
    bytes: Vec<u8>,
    height: usize,
    width: usize,
}

impl Canvas {
    /// Fills the pixels from `[left, top]` to before `[right, bottom]` that there are.
    fn fill(&mut self, [left, top]: [i64; 2], [right, bottom]: [i64; 2], color: [u8; 3]) {
        let within = |value: i64, most: usize| value.clamp(0, most as i64) as usize;
        let columns = within(left, self.width)..within(right, self.width);
        for row in within(top, self.height)..within(bottom, self.height) {
            for column in columns.clone() {
                let at = 3 * (row * self.width + column);
                self.bytes[at..at + 3].copy_from_slice(&color);
            }
        }
    }

    fn draw_frame(&mut self, edges: &[f32; 4], line: usize, color: [u8; 3]) {
        let [left, top, right, bottom] = edges.map(|edge| edge.round() as i64);
        let line = line as i64;
        self.fill([left, top], [right, top + line], color);
        self.fill([left, bottom - line], [right, bottom], color);
        self.fill([left, top], [left + line, bottom], color);
        self.fill([right - line, top], [right, bottom], color);
    }

    /// Above the box, or below its upper edge where there is no place above.
    fn draw_word(&mut self, shown: &PictureBox, scale: usize, color: [u8; 3]) {
        let letters: Vec<char> = shown.word.chars().collect();
        if letters.is_empty() {
            return;
        }
        let side = (LETTER * scale) as i64;
        let margin = scale as i64;
        let tall = side + 2 * margin;
        let long = side * letters.len() as i64 + 2 * margin;
        let above = shown.edges[1].round() as i64 - tall;
        let top = if above >= 0 { above } else { above + tall };
        let left = (shown.edges[0].round() as i64)
            .min(self.width as i64 - long)
            .max(0);
        self.fill([left, top], [left + long, top + tall], color);
        let ink = if is_light(color) { [0; 3] } else { [255; 3] };
        for (number, letter) in letters.into_iter().enumerate() {
            let left = left + margin + side * number as i64;
            self.draw_letter(letter, [left, top + margin], scale, ink);
        }
    }

    fn draw_letter(&mut self, letter: char, [left, top]: [i64; 2], scale: usize, ink: [u8; 3]) {
        let known = BASIC_FONTS.get(letter).or_else(|| LATIN_FONTS.get(letter));
        let Some(rows) = known.or_else(|| BASIC_FONTS.get('?')) else {
            return;
        };
        let scale = scale as i64;
        for (row, bits) in rows.into_iter().enumerate() {
            for column in (0..LETTER).filter(|column| bits >> column & 1 == 1) {
                let corner = [left + column as i64 * scale, top + row as i64 * scale];
                self.fill(corner, corner.map(|place| place + scale), ink);
            }
        }
    }
}

/// Whether black is read better on it than white.
fn is_light([red, green, blue]: [u8; 3]) -> bool {
    let [red, green, blue] = [red, green, blue].map(u32::from);
    299 * red + 587 * green + 114 * blue > 140_000
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_follow_the_edges_and_stay_within_the_photo() {
        let photo = Image::from_pixels(40, 60, 1, vec![128; 2400]).unwrap();
        let shown = |edges, word: &str| PictureBox {
            edges,
            word: word.to_string(),
            color: 0,
        };
        let plain = draw_boxes(&photo, &[shown([10., 12., 30., 36.], "")]).unwrap();
        let pixel = |image: &Image, row: usize, column: usize| {
            let at = 3 * (row * 60 + column);
            [
                image.bytes()[at],
                image.bytes()[at + 1],
                image.bytes()[at + 2],
            ]
        };
        let color = MaskPalette::distinct().color(0);
        for (row, column) in [(12, 10), (13, 29), (35, 20), (34, 28), (20, 11)] {
            assert_eq!(pixel(&plain, row, column), color, "{row} {column}");
        }
        for (row, column) in [(11, 10), (36, 20), (20, 30), (20, 20), (14, 12)] {
            assert_eq!(pixel(&plain, row, column), [128; 3], "{row} {column}");
        }
        // Words are above the box; what lies beyond the photo is not drawn.
        let odd = [
            shown([10., 12., 30., 36.], "a"),
            shown([-90., -5., 500., 1e9], "ü 漢 long"),
            shown([5., 5., 5., 5.], "x"),
        ];
        let named = draw_boxes(&photo, &odd).unwrap();
        assert_eq!([named.height(), named.width()], [40, 60]);
        let alone = draw_boxes(&photo, &odd[..1]).unwrap();
        assert_eq!(pixel(&alone, 3, 10), color);
        assert_eq!(pixel(&alone, 1, 10), [128; 3]);
    }
}
