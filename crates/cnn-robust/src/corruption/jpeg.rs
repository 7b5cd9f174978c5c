//! What JPEG files of low quality lose.
//!
//! ITU-T T.81, "Digital compression and coding of continuous-tone still images", 1992. The coding of the
//! coefficients loses nothing, so it is left out.

use cnn_data::Image;

use super::Severity;
use super::chance::Chance;
use super::pixels::{Pixels, image as of_bytes};
use super::severity::Table;
use crate::Error;

/// Qualities as libjpeg counts them.
const QUALITIES: Table<u8> = Table {
    large: [25, 18, 15, 10, 7],
    small: [80, 65, 58, 50, 40],
};

/// Side of a block.
const BLOCK: usize = 8;

/// The tables of T.81's annex K.
#[rustfmt::skip]
const LUMA: [u16; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
];
#[rustfmt::skip]
const CHROMA: [u16; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
];

/// The round trip through a file as Pillow writes it: luma and chroma of half the resolution, cosines of
/// blocks of 8×8, divided by the standard tables at a quality and rounded, and all the way back as libjpeg
/// goes it.
pub(super) fn corrupt(image: &Image, severity: Severity, _: &Chance) -> Result<Image, Error> {
    let pixels = Pixels::of(image);
    let quality = QUALITIES.of(&pixels, severity);
    let cosines = Cosines::new();
    let luma = cosines.with_divisors(&LUMA, quality);
    let chroma = cosines.with_divisors(&CHROMA, quality);
    if image.channels() == 1 {
        let grey = luma.round_trip(&Plane::grey(image));
        let bytes = grey.values.iter().map(|&value| value as u8);
        return of_bytes(&pixels, bytes.collect());
    }
    let mut planes = [0, 1, 2].map(|component| Plane::of(image, component));
    planes[0] = luma.round_trip(&planes[0]);
    for plane in &mut planes[1..] {
        *plane = chroma.round_trip(&plane.halved()).doubled(plane);
    }
    let bytes = (0..pixels.area()).flat_map(|place| {
        let [y, blue, red] = [0, 1, 2].map(|component| planes[component].values[place]);
        let [blue, red] = [blue - 128., red - 128.];
        let rgb = [
            y + 1.402 * red,
            y - 0.344_136_286 * blue - 0.714_136_286 * red,
            y + 1.772 * blue,
        ];
        rgb.map(|value| value.round() as u8)
    });
    of_bytes(&pixels, bytes.collect())
}

/// One component of an image, with the values of bytes.
#[derive(Clone)]
struct Plane {
    height: usize,
    width: usize,
    values: Vec<f64>,
}

impl Plane {
    fn grey(image: &Image) -> Self {
        Self {
            height: image.height(),
            width: image.width(),
            values: image.bytes().iter().map(|&byte| f64::from(byte)).collect(),
        }
    }

    /// Luma, blueness or redness.
    fn of(image: &Image, component: usize) -> Self {
        const WEIGHTS: [[f64; 3]; 3] = [
            [0.299, 0.587, 0.114],
            [-0.168_735_892, -0.331_264_108, 0.5],
            [0.5, -0.418_687_589, -0.081_312_411],
        ];
        let offset = [0., 128., 128.][component];
        let value = |pixel: &[u8]| {
            let weighted = pixel.iter().zip(WEIGHTS[component]);
            let sum: f64 = weighted
                .map(|(&byte, weight)| f64::from(byte) * weight)
                .sum();
            (sum + offset).round().min(255.)
        };
        Self {
            height: image.height(),
            width: image.width(),
            values: image
                .bytes()
                .chunks_exact(image.channels())
                .map(value)
                .collect(),
        }
    }

    /// The value at a place, which beyond the edge is that of the edge.
    fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row.min(self.height - 1) * self.width + column.min(self.width - 1)]
    }

    /// The mean of each four values; a half is rounded down and up in turn, as libjpeg does.
    fn halved(&self) -> Self {
        let height = self.height.div_ceil(2);
        let width = self.width.div_ceil(2);
        let mean = |place: usize| {
            let row = 2 * (place / width);
            let column = 2 * (place % width);
            let corners = [(0, 0), (0, 1), (1, 0), (1, 1)];
            let values = corners.map(|(down, along)| self.at(row + down, column + along));
            let bias = [1., 2.][place % width % 2];
            ((values.iter().sum::<f64>() + bias) / 4.).floor()
        };
        Self {
            height,
            width,
            values: (0..height * width).map(mean).collect(),
        }
    }

    /// Twice as many rows and columns, as many as `size` has: three parts of the nearer value and one of the
    /// next in both directions; of planes that are narrower than three values each value four times.
    fn doubled(&self, size: &Self) -> Self {
        let near = |place: usize| place / 2;
        let next = |place: usize| match place % 2 {
            0 => (place / 2).saturating_sub(1),
            _ => place / 2 + 1,
        };
        let value = |place: usize| {
            let row = place / size.width;
            let column = place % size.width;
            if self.width <= 2 {
                return self.at(near(row), near(column));
            }
            let blended =
                |column: usize| 3. * self.at(near(row), column) + self.at(next(row), column);
            let sum = 3. * blended(near(column)) + blended(next(column));
            let bias = [8., 7.][column % 2];
            ((sum + bias) / 16.).floor()
        };
        Self {
            values: (0..size.height * size.width).map(value).collect(),
            ..*size
        }
    }
}

/// The transform of blocks: `table[frequency][place]`.
struct Cosines {
    table: [[f64; BLOCK]; BLOCK],
}

/// The transform with what its coefficients are divided by.
struct Quantized<'a> {
    cosines: &'a Cosines,
    divisors: [f64; 64],
}

type Block = [[f64; BLOCK]; BLOCK];

impl Cosines {
    fn new() -> Self {
        let cosine = |frequency: usize, place: usize| {
            let scale = if frequency == 0 { 0.125f64 } else { 0.25 }.sqrt();
            let angle = (2 * place + 1) as f64 * frequency as f64 * std::f64::consts::PI / 16.;
            scale * libm::cos(angle)
        };
        let table =
            std::array::from_fn(|frequency| std::array::from_fn(|place| cosine(frequency, place)));
        Self { table }
    }

    /// With a table scaled to a quality as libjpeg scales it.
    fn with_divisors(&self, table: &[u16; 64], quality: u8) -> Quantized<'_> {
        let quality = u32::from(quality);
        let percent = match quality {
            0..50 => 5000 / quality.max(1),
            _ => 200 - 2 * quality,
        };
        let divisor = |&entry: &u16| ((u32::from(entry) * percent + 50) / 100).clamp(1, 255);
        Quantized {
            cosines: self,
            divisors: std::array::from_fn(|place| f64::from(divisor(&table[place]))),
        }
    }

    /// `C X Cᵀ`.
    fn forward(&self, block: &Block) -> Block {
        self.twice(block, |frequency, place| self.table[frequency][place])
    }

    /// `Cᵀ X C`.
    fn backward(&self, block: &Block) -> Block {
        self.twice(block, |place, frequency| self.table[frequency][place])
    }

    fn twice(&self, block: &Block, weight: impl Fn(usize, usize) -> f64) -> Block {
        let mut turned = *block;
        for _ in 0..2 {
            let last = turned;
            let sum = |to: usize, line: usize| {
                let products = (0..BLOCK).map(|from| weight(to, from) * last[from][line]);
                products.sum()
            };
            // Each time the result is transposed, so that the second one goes along the other axis.
            turned = std::array::from_fn(|line| std::array::from_fn(|to| sum(to, line)));
        }
        turned
    }
}

impl Quantized<'_> {
    fn round_trip(&self, plane: &Plane) -> Plane {
        let mut result = plane.clone();
        for top in (0..plane.height).step_by(BLOCK) {
            for left in (0..plane.width).step_by(BLOCK) {
                let block: Block = std::array::from_fn(|row| {
                    std::array::from_fn(|column| plane.at(top + row, left + column) - 128.)
                });
                let block = self.block(&block);
                for (row, values) in block.iter().enumerate().take(plane.height - top) {
                    let start = (top + row) * plane.width + left;
                    let end = (left + BLOCK).min(plane.width) - left;
                    let to = &mut result.values[start..][..end];
                    for (to, value) in to.iter_mut().zip(values) {
                        *to = (value + 128.).round().clamp(0., 255.);
                    }
                }
            }
        }
        result
    }

    fn block(&self, block: &Block) -> Block {
        let mut coefficients = self.cosines.forward(block);
        for (value, divisor) in coefficients
            .as_flattened_mut()
            .iter_mut()
            .zip(self.divisors)
        {
            *value = (*value / divisor).round() * divisor;
        }
        self.cosines.backward(&coefficients)
    }
}
