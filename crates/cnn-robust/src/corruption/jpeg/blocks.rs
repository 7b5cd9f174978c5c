//! The components of an image in blocks.

use cnn_data::Image;

use super::cosines::{Block, SIDE};

/// One component of an image, with the values of bytes.
pub(super) struct Plane {
    height: usize,
    width: usize,
    values: Vec<i32>,
}

impl Plane {
    /// Grey, or luma, blueness and redness, of which the last two have half as many rows and
    /// columns.
    pub(super) fn all_of(image: &Image) -> Vec<Self> {
        if image.channels() == 1 {
            let grey = |pixel: &[u8]| i32::from(pixel[0]);
            return vec![Self::of(image, grey)];
        }
        let component = |component| Self::of(image, move |pixel| converted(pixel, component));
        vec![component(0), component(1).halved(), component(2).halved()]
    }

    fn of(image: &Image, value: impl Fn(&[u8]) -> i32) -> Self {
        let pixels = image.bytes().chunks_exact(image.channels());
        Self {
            height: image.height(),
            width: image.width(),
            values: pixels.map(value).collect(),
        }
    }

    /// The value at a place, which beyond the edge is that of the edge.
    fn at(&self, row: usize, column: usize) -> i32 {
        self.values[row.min(self.height - 1) * self.width + column.min(self.width - 1)]
    }

    /// The mean of each four values; a half is rounded down and up in turn, as libjpeg does.
    /// Columns fill whole blocks: beyond the edge they are means of the edge's values, not copies
    /// of the last mean.
    fn halved(&self) -> Self {
        let height = self.height.div_ceil(2);
        let width = self.width.div_ceil(2).next_multiple_of(SIDE);
        let mean = |place: usize| {
            let row = 2 * (place / width);
            let column = 2 * (place % width);
            let corners = [(0, 0), (0, 1), (1, 0), (1, 1)];
            let values = corners.map(|(down, along)| self.at(row + down, column + along));
            let bias = [1, 2][place % width % 2];
            (values.iter().sum::<i32>() + bias) >> 2
        };
        Self {
            height,
            width,
            values: (0..height * width).map(mean).collect(),
        }
    }

    /// The block in this row and column of blocks, around 0.
    pub(super) fn block(&self, row: usize, column: usize) -> Block {
        std::array::from_fn(|place| {
            let row = row * SIDE + place / SIDE;
            let column = column * SIDE + place % SIDE;
            self.at(row, column) - 128
        })
    }
}

/// Luma, blueness or redness of a pixel in libjpeg's fixed-point arithmetic.
fn converted(pixel: &[u8], component: usize) -> i32 {
    const WEIGHTS: [[i32; 3]; 3] = [
        [19_595, 38_470, 7_471],
        [-11_059, -21_709, 32_768],
        [32_768, -27_439, -5_329],
    ];
    const CENTER: i32 = (128 << 16) + 0x7fff;
    let offset = [0x8000, CENTER, CENTER][component];
    let weighted = pixel.iter().zip(WEIGHTS[component]);
    let sum: i32 = weighted
        .map(|(&byte, weight)| i32::from(byte) * weight)
        .sum();
    (sum + offset) >> 16
}
