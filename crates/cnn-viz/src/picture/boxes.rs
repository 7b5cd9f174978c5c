//! Boxes over a photo, each with a word.

use cnn_data::{Image, MaskPalette};
use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts as _};

use super::thumbnail;
use crate::Error;

/// Pixels of a letter along each axis, before it is enlarged.
const LETTER: usize = 8;
/// The shorter side of a photo for each step by which lines and letters are enlarged.
const STEP: usize = 400;
/// The length of a dash, and of what is between two, for each pixel of the line's width.
const DASH: usize = 3;

/// A box with a word, to be drawn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PictureBox {
    /// Its edges `[x_min, y_min, x_max, y_max]` in pixels of the photo.
    pub edges: [f32; 4],
    /// What stands at its upper edge; empty for nothing.
    pub word: String,
    /// Which colour it has: boxes with one number have one colour.
    pub color: usize,
    /// Whether its line is dashed, which sets errors apart: an object that was missed, a detection
    /// of what is not there.
    pub is_dashed: bool,
}

/// A photo in colour with boxes, the last on top, and their words above all lines. Lines and
/// letters grow with the photo.
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
    // The first colours are the strongest; the last number is none of a class.
    let color = |shown: &PictureBox| palette.color((shown.color % 255) as u8);
    for shown in boxes {
        canvas.draw_frame(shown, 2 * scale, color(shown));
    }
    for shown in boxes {
        canvas.draw_word(shown, scale, color(shown));
    }
    Image::from_pixels(height, width, 3, canvas.bytes).map_err(failed)
}

/// A copy of a photo with its longer side reduced to `longest` pixels, in colour and with boxes,
/// the last on top; the edges are those in the photo itself.
///
/// The boxes are drawn on the copy, so that lines and letters are not reduced with the photo: a
/// letter has 8 pixels.
///
/// # Errors
/// [`Error::Picture`] if the photo cannot be made smaller or one of colours.
pub fn draw_small_boxes(
    photo: &Image,
    longest: usize,
    boxes: &[PictureBox],
) -> Result<Image, Error> {
    let small = thumbnail(photo, longest).map_err(|source| Error::picture("boxes", source))?;
    let across = small.width() as f32 / photo.width() as f32;
    let down = small.height() as f32 / photo.height() as f32;
    let boxes = boxes.iter().map(|shown| {
        let [x_min, y_min, x_max, y_max] = shown.edges;
        PictureBox {
            edges: [x_min * across, y_min * down, x_max * across, y_max * down],
            ..shown.clone()
        }
    });
    draw_boxes(&small, &boxes.collect::<Vec<_>>())
}

struct Canvas {
    bytes: Vec<u8>,
    height: usize,
    width: usize,
}

impl Canvas {
    /// Fills the pixels from `[left, top]` to before `[right, bottom]` that there are.
    fn fill(&mut self, from: [i64; 2], to: [i64; 2], color: [u8; 3]) {
        self.paint(from, to, |_| color);
    }

    /// The same with a colour for each diagonal, by the sum of row and column.
    fn paint(
        &mut self,
        [left, top]: [i64; 2],
        [right, bottom]: [i64; 2],
        color: impl Fn(usize) -> [u8; 3],
    ) {
        let within = |value: i64, most: usize| value.clamp(0, most as i64) as usize;
        let columns = within(left, self.width)..within(right, self.width);
        for row in within(top, self.height)..within(bottom, self.height) {
            for column in columns.clone() {
                let at = 3 * (row * self.width + column);
                self.bytes[at..at + 3].copy_from_slice(&color(row + column));
            }
        }
    }

    fn draw_frame(&mut self, shown: &PictureBox, line: usize, color: [u8; 3]) {
        let [left, top, right, bottom] = shown.edges.map(|edge| edge.round() as i64);
        // Between its dashes a line has what its word is written in, since on a restless ground
        // gaps would not be seen.
        let paint = |diagonal: usize| {
            if shown.is_dashed && diagonal / (DASH * line) % 2 == 1 {
                ink(color)
            } else {
                color
            }
        };
        let wide = line as i64;
        self.paint([left, top], [right, top + wide], paint);
        self.paint([left, bottom - wide], [right, bottom], paint);
        self.paint([left, top], [left + wide, bottom], paint);
        self.paint([right - wide, top], [right, bottom], paint);
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
        let ink = ink(color);
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

/// Black or white, whichever is read better on it.
fn ink([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let [red, green, blue] = [red, green, blue].map(u32::from);
    if 299 * red + 587 * green + 114 * blue > 140_000 {
        [0; 3]
    } else {
        [255; 3]
    }
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
            is_dashed: false,
        };
        let plain = draw_boxes(&photo, &[shown([10., 12., 30., 36.], "")]).unwrap();
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

    fn pixel(image: &Image, row: usize, column: usize) -> [u8; 3] {
        let at = 3 * (row * image.width() + column);
        std::array::from_fn(|channel| image.bytes()[at + channel])
    }

    #[test]
    fn no_line_crosses_a_word() {
        let photo = Image::from_pixels(40, 60, 1, vec![128; 2400]).unwrap();
        let named = PictureBox {
            edges: [10., 20., 50., 36.],
            word: "word".to_string(),
            ..PictureBox::default()
        };
        let crossing = PictureBox {
            edges: [5., 5., 30., 15.],
            color: 1,
            ..PictureBox::default()
        };
        let alone = draw_boxes(&photo, std::slice::from_ref(&named)).unwrap();
        let both = draw_boxes(&photo, &[named, crossing]).unwrap();
        for (row, column) in (10..20).flat_map(|row| (10..44).map(move |column| (row, column))) {
            assert_eq!(pixel(&both, row, column), pixel(&alone, row, column));
        }
        assert_eq!(pixel(&both, 14, 8), MaskPalette::distinct().color(1));
    }

    #[test]
    fn dashes_take_turns_with_what_is_seen_beside_them() {
        let photo = Image::from_pixels(90, 120, 3, vec![128; 32_400]).unwrap();
        let of = |is_dashed| PictureBox {
            edges: [12., 24., 96., 72.],
            is_dashed,
            ..PictureBox::default()
        };
        let plain = draw_boxes(&photo, &[of(false)]).unwrap();
        let dashed = draw_boxes(&photo, &[of(true)]).unwrap();
        let frame = pixel(&plain, 24, 12);
        let is_of = |image: &Image, color: [u8; 3]| {
            image
                .bytes()
                .chunks(3)
                .filter(|bytes| **bytes == color)
                .count()
        };
        let line = 2 * 2 * (84 + 44);
        assert_eq!(is_of(&plain, frame), line);
        let between = ink(frame);
        let [dashes, gaps] = [frame, between].map(|color| is_of(&dashed, color));
        assert_eq!(dashes + gaps, line);
        assert!(dashes.abs_diff(gaps) <= 24, "{dashes} {gaps}");
        // Six pixels each along the upper edge and down the left one.
        let row = [12, 17, 18, 23, 24].map(|column| pixel(&dashed, 24, column));
        assert_eq!(row, [frame, frame, between, between, frame]);
        let column = [24, 29, 30, 35, 36].map(|row| pixel(&dashed, row, 12));
        assert_eq!(column, row);
    }

    #[test]
    fn on_a_small_copy_boxes_keep_their_place_and_their_lines() {
        let photo = Image::from_pixels(300, 800, 1, vec![128; 240_000]).unwrap();
        let shown = PictureBox {
            edges: [200., 60., 600., 260.],
            ..PictureBox::default()
        };
        let small = draw_small_boxes(&photo, 400, std::slice::from_ref(&shown)).unwrap();
        assert_eq!([small.height(), small.width()], [150, 400]);
        let halved = PictureBox {
            edges: shown.edges.map(|edge| edge / 2.),
            ..shown
        };
        let expected = draw_boxes(&thumbnail(&photo, 400).unwrap(), &[halved]).unwrap();
        assert_eq!(small, expected);
        let color = MaskPalette::distinct().color(0);
        for (row, column) in [(30, 100), (31, 101), (129, 299), (128, 200)] {
            assert_eq!(pixel(&small, row, column), color, "{row} {column}");
        }
        assert_eq!(pixel(&small, 32, 102), [128; 3]);
    }
}
