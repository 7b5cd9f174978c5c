//! A baseline JPEG file (ITU-T T.81, "Digital compression and coding of continuous-tone still
//! images", 1992).
//!
//! Its codes all have nine bits: how small the file is does not matter to what it loses.

use cnn_data::Image;

use super::bits::Bits;
use super::blocks::Plane;
use super::cosines::{Block, SIDE, transformed};
use crate::Error;

/// The tables of T.81's annex K, for luma and chroma.
#[rustfmt::skip]
const TABLES: [[u16; 64]; 2] = [
    [
        16, 11, 10, 16, 24, 40, 51, 61,
        12, 12, 14, 19, 26, 58, 60, 55,
        14, 13, 16, 24, 40, 57, 69, 56,
        14, 17, 22, 29, 51, 87, 80, 62,
        18, 22, 37, 56, 68, 109, 103, 77,
        24, 35, 55, 64, 81, 104, 113, 92,
        49, 64, 78, 87, 103, 121, 120, 101,
        72, 92, 95, 98, 112, 100, 103, 99,
    ],
    [
        17, 18, 24, 47, 99, 99, 99, 99,
        18, 21, 26, 66, 99, 99, 99, 99,
        24, 26, 56, 99, 99, 99, 99, 99,
        47, 66, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
    ],
];

/// Bits of a code, which is the symbol's number.
const CODE: u32 = 9;
/// Symbols of a block's mean, how many bits its change has, and of the others, with the zeros
/// before them.
const MEAN_SYMBOLS: u8 = 12;
const OTHER_SYMBOLS: u8 = 255;
/// A run of sixteen zeros.
const SIXTEEN_ZEROS: u32 = 0xf0;
const END_OF_BLOCK: u32 = 0;

/// The file of an image at a quality.
pub(super) fn encode(image: &Image, quality: u8) -> Result<Vec<u8>, Error> {
    if !(1..=100).contains(&quality) {
        return Err(Error::argument("quality", quality, "1 to 100"));
    }
    let side = |side: usize| {
        let found = u16::try_from(side);
        found.map_err(|_| Error::argument("image", side, "at most 65535 pixels on a side"))
    };
    let sides = [side(image.height())?, side(image.width())?];
    let order = zigzag();
    let divisors = TABLES.map(|table| table.map(|entry| scaled(entry, quality)));
    let mut file = vec![0xff, 0xd8];
    for (number, divisors) in divisors.iter().enumerate() {
        let bytes = order.map(|place| divisors[place] as u8);
        segment(&mut file, 0xdb, &[&[number as u8], &bytes[..]].concat());
    }
    let components: &[[u8; 3]] = match image.channels() {
        1 => &[[1, 0x11, 0]],
        _ => &[[1, 0x22, 0], [2, 0x11, 1], [3, 0x11, 1]],
    };
    let mut frame = vec![8];
    frame.extend(sides.iter().flat_map(|side| side.to_be_bytes()));
    frame.push(components.len() as u8);
    frame.extend(components.as_flattened());
    segment(&mut file, 0xc0, &frame);
    segment(&mut file, 0xc4, &codes(0x00, MEAN_SYMBOLS));
    segment(&mut file, 0xc4, &codes(0x10, OTHER_SYMBOLS));
    let mut scan = vec![components.len() as u8];
    scan.extend(components.iter().flat_map(|[id, ..]| [*id, 0]));
    scan.extend([0, 63, 0]);
    segment(&mut file, 0xda, &scan);
    let coder = Coder {
        order,
        divisors,
        bits: Bits::default(),
        last: [0; 3],
    };
    file.extend(coder.coded(image));
    file.extend([0xff, 0xd9]);
    Ok(file)
}

fn segment(file: &mut Vec<u8>, marker: u8, content: &[u8]) {
    file.extend([0xff, marker]);
    file.extend(((content.len() + 2) as u16).to_be_bytes());
    file.extend(content);
}

/// A table in which the symbols 0, 1, 2, … have codes of the same length.
fn codes(class: u8, symbols: u8) -> Vec<u8> {
    let of_length = |bits: u32| if bits == CODE { symbols } else { 0 };
    let mut table = vec![class];
    table.extend((1..=16).map(of_length));
    table.extend(0..symbols);
    table
}

/// A divisor at a quality as libjpeg scales it.
fn scaled(entry: u16, quality: u8) -> i32 {
    let quality = i32::from(quality);
    let percent = if quality < 50 {
        5000 / quality
    } else {
        200 - 2 * quality
    };
    ((i32::from(entry) * percent + 50) / 100).clamp(1, 255)
}

/// The places of a block from low to high frequencies.
fn zigzag() -> [usize; SIDE * SIDE] {
    let mut places: [usize; SIDE * SIDE] = std::array::from_fn(|place| place);
    places.sort_by_key(|place| {
        let row = place / SIDE;
        let diagonal = row + place % SIDE;
        let along = if diagonal.is_multiple_of(2) {
            SIDE - row
        } else {
            row
        };
        (diagonal, along)
    });
    places
}

/// Writes blocks.
struct Coder {
    order: [usize; SIDE * SIDE],
    divisors: [[i32; SIDE * SIDE]; 2],
    bits: Bits,
    /// The last block's mean of each component.
    last: [i32; 3],
}

impl Coder {
    fn coded(mut self, image: &Image) -> Vec<u8> {
        let planes = Plane::all_of(image);
        // Four blocks of luma go with one of each other component.
        let across = if planes.len() == 1 { 1 } else { 2 };
        let units = |side: usize| side.div_ceil(SIDE * across);
        for row in 0..units(image.height()) {
            for column in 0..units(image.width()) {
                for place in 0..across * across {
                    let row = across * row + place / across;
                    let column = across * column + place % across;
                    self.add(0, planes[0].block(row, column));
                }
                for (component, plane) in planes.iter().enumerate().skip(1) {
                    self.add(component, plane.block(row, column));
                }
            }
        }
        self.bits.finish()
    }

    fn add(&mut self, component: usize, block: Block) {
        let coefficients = transformed(block);
        let divisors = &self.divisors[component.min(1)];
        let quantized = self.order.map(|place| {
            // The transform is eight times too large.
            let divisor = 8 * divisors[place];
            let size = (coefficients[place].abs() + divisor / 2) / divisor;
            size * coefficients[place].signum()
        });
        let mean = quantized[0];
        self.number(0, mean - self.last[component]);
        self.last[component] = mean;
        let mut zeros = 0;
        for &coefficient in &quantized[1..] {
            if coefficient == 0 {
                zeros += 1;
                continue;
            }
            while zeros >= 16 {
                self.bits.push(SIXTEEN_ZEROS, CODE);
                zeros -= 16;
            }
            self.number(zeros, coefficient);
            zeros = 0;
        }
        if zeros > 0 {
            self.bits.push(END_OF_BLOCK, CODE);
        }
    }

    /// A number behind so many zeros: how many bits it has, then these.
    fn number(&mut self, zeros: u32, number: i32) {
        let count = i32::BITS - number.abs().leading_zeros();
        self.bits.push((zeros << 4) | count, CODE);
        let bits = if number < 0 { number - 1 } else { number };
        self.bits.push(bits as u32, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_standard() {
        let order = zigzag();
        assert_eq!(order[..10], [0, 1, 8, 16, 9, 2, 3, 10, 17, 24]);
        assert_eq!(order[60..], [47, 55, 62, 63]);
    }
}
