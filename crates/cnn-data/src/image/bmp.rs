//! Bitmaps of Windows and OS/2, with the conversions of Pillow: packed colors become eight bits
//! rounded down, what a compressed bitmap leaves out has the first color of the table.

use image::metadata::Orientation;

use super::{ColorModel, Decoded, FileFormat, Image, ImageInfo, Limits};
use crate::Error;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    let header = Header::read(bytes).map_err(broken)?;
    limits.check(header.width, header.height)?;
    let layout = Layout::of(&header).map_err(broken)?;
    let width = header.width as usize;
    let height = header.height as usize;
    let data = bytes.get(header.data..).unwrap_or_default();
    let rows = match layout.compression {
        Compression::None => Rows::raw(data, &header),
        Compression::Runs => Rows::of_runs(bytes, &header),
    };
    let rows = rows.map_err(broken)?;
    let palette = Palette::read(bytes, &header);
    let mut pixels = vec![0; width * height * 3];
    for (y, out) in pixels.chunks_exact_mut(width * 3).enumerate() {
        let row = rows.row(if header.is_top_down {
            y
        } else {
            height - 1 - y
        });
        let out = out.as_chunks_mut().0;
        match layout.channels {
            None => {
                for (x, out) in out.iter_mut().enumerate() {
                    *out = palette.color(rows.index(row, x));
                }
            }
            Some(channels) => {
                let size = usize::from(header.bits / 8);
                for (pixel, out) in row.chunks_exact(size).zip(out) {
                    let word = pixel
                        .iter()
                        .rev()
                        .fold(0, |word, &byte| word << 8 | u32::from(byte));
                    *out = channels.map(|channel| channel.value(word));
                }
            }
        }
    }
    let image =
        Image::from_pixels(height, width, 3, pixels).map_err(|error| broken(error.to_string()))?;
    let (color, bits) = match header.bits {
        bits @ 1..=8 => (ColorModel::Palette, bits as u8),
        16 => (ColorModel::Rgb, 5),
        _ => (ColorModel::Rgb, 8),
    };
    let info = ImageInfo {
        format: FileFormat::Bmp,
        width,
        height,
        color,
        bits,
    };
    Ok(Decoded {
        image,
        info,
        orientation: Orientation::NoTransforms,
    })
}

/// Width and height, from the headers.
pub(super) fn sides(bytes: &[u8]) -> Result<[u64; 2], Error> {
    let header = Header::read(bytes).map_err(broken)?;
    Ok([header.width, header.height])
}

/// The file and the bitmap header.
struct Header {
    width: u64,
    height: u64,
    is_top_down: bool,
    bits: u16,
    compression: u32,
    /// Masks of red, green and blue, as far as the header has them.
    masks: Option<[u32; 3]>,
    is_os2: bool,
    /// Where the color table begins, how many colors it has, and how many bytes each takes.
    palette: usize,
    colors: usize,
    color_size: usize,
    /// Where the pixels begin.
    data: usize,
}

impl Header {
    /// Where the bitmap header begins.
    const START: usize = 14;

    fn read(bytes: &[u8]) -> Result<Self, String> {
        Self::fields(bytes).ok_or("no whole header")?
    }

    fn fields(bytes: &[u8]) -> Option<Result<Self, String>> {
        const OS2: usize = 12;
        const OS2_SHORT: usize = 16;
        const WINDOWS: usize = 40;
        const OS2_LONG: usize = 64;
        let size = u32_le(bytes, Self::START)? as usize;
        if !matches!(
            size,
            OS2 | OS2_SHORT | WINDOWS | 52 | 56 | OS2_LONG | 108 | 124
        ) {
            return Some(Err(format!(
                "a header of {size} bytes, accepted are 12, 16, 40, 52, 56, 64, 108 and 124"
            )));
        }
        let mut header = if size == OS2 {
            Self {
                width: u16_le(bytes, 18)?.into(),
                height: u16_le(bytes, 20)?.into(),
                is_top_down: false,
                bits: u16_le(bytes, 24)?,
                compression: 0,
                masks: None,
                is_os2: true,
                palette: Self::START + size,
                colors: 0,
                color_size: 3,
                data: 0,
            }
        } else {
            let width = u32_le(bytes, 18)?.cast_signed();
            let height = u32_le(bytes, 22)?.cast_signed();
            if width < 0 {
                return Some(Err(format!("a width of {width}")));
            }
            let has_rest = size >= WINDOWS;
            Self {
                width: width.unsigned_abs().into(),
                height: height.unsigned_abs().into(),
                is_top_down: height < 0,
                bits: u16_le(bytes, 28)?,
                compression: if has_rest { u32_le(bytes, 30)? } else { 0 },
                masks: None,
                is_os2: size == OS2_SHORT || size == OS2_LONG,
                palette: Self::START + size,
                colors: if has_rest {
                    u32_le(bytes, 46)? as usize
                } else {
                    0
                },
                color_size: 4,
                data: 0,
            }
        };
        // Masks lie behind the smallest header and within the greater ones, at the same place.
        let mask_count = match (header.compression, header.is_os2) {
            (3, false) => 3,
            (6, false) => 4,
            _ => 0,
        };
        if mask_count > 0 {
            header.masks = Some([u32_le(bytes, 54)?, u32_le(bytes, 58)?, u32_le(bytes, 62)?]);
            if size == WINDOWS {
                header.palette += 4 * mask_count;
            }
        }
        let has_palette = header.bits <= 8;
        if has_palette && header.colors == 0 {
            header.colors = 1 << header.bits;
        }
        let palette_size = header.colors.saturating_mul(header.color_size);
        let declared = u32_le(bytes, 10)? as usize;
        header.data = if declared == 0 {
            let size = if has_palette { palette_size } else { 0 };
            header.palette.saturating_add(size)
        } else if has_palette && declared == Self::START + size {
            // Some writers forget the color table when they say where the pixels begin.
            declared.saturating_add(palette_size)
        } else {
            declared
        };
        Some(Ok(header))
    }

    /// Bytes of a row's pixels.
    fn row_size(&self) -> usize {
        (self.width as usize * usize::from(self.bits)).div_ceil(8)
    }
}

/// How the pixels are stored.
struct Layout {
    compression: Compression,
    /// Red, green and blue in the bits of a pixel; none if a pixel is a number of a color.
    channels: Option<[Channel; 3]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Runs,
}

impl Layout {
    fn of(header: &Header) -> Result<Self, String> {
        let five = |shift| Channel { shift, max: 31 };
        let eight = |shift| Channel { shift, max: 255 };
        let channels = match header.bits {
            // A whole file of another format has no bits of its own.
            0 | 1 | 2 | 4 | 8 => None,
            16 => Some([five(10), five(5), five(0)]),
            24 | 32 => Some([eight(16), eight(8), eight(0)]),
            bits => {
                return Err(format!(
                    "{bits} bits a pixel, accepted are 1, 2, 4, 8, 16, 24 and 32"
                ));
            }
        };
        let name = match (header.compression, header.bits, header.is_os2) {
            (0, 1.., _) => {
                return Ok(Self {
                    compression: Compression::None,
                    channels,
                });
            }
            (1, 8, _) | (2, 4, _) => {
                return Ok(Self {
                    compression: Compression::Runs,
                    channels,
                });
            }
            (3 | 6, 16.., false) => {
                let masks = header.masks.filter(|masks| *masks != [0; 3]);
                let channels = match masks {
                    None => channels,
                    Some([red, green, blue]) => {
                        Some([Channel::of(red)?, Channel::of(green)?, Channel::of(blue)?])
                    }
                };
                return Ok(Self {
                    compression: Compression::None,
                    channels,
                });
            }
            (3, _, true) => "Huffman".to_owned(),
            (4, _, true) => "24-bit run-length".to_owned(),
            (4, _, false) => "JPEG".to_owned(),
            (5, _, false) => "PNG".to_owned(),
            (number, bits, _) => format!("number {number} for {bits} bits a pixel"),
        };
        Err(format!(
            "compression {name}, accepted are none, run-length of 4 or 8 bits, and bit masks"
        ))
    }
}

/// Where a color channel lies in a pixel, and its greatest value.
#[derive(Clone, Copy)]
struct Channel {
    shift: u32,
    max: u32,
}

impl Channel {
    fn of(mask: u32) -> Result<Self, String> {
        let shift = if mask == 0 { 0 } else { mask.trailing_zeros() };
        let max = mask >> shift;
        if max & max.wrapping_add(1) != 0 {
            return Err(format!("a mask {mask:#010x} with gaps"));
        }
        Ok(Self { shift, max })
    }

    /// The value in 0 to 255, rounded down.
    fn value(self, pixel: u32) -> u8 {
        let max = u64::from(self.max);
        let value = u64::from(pixel >> self.shift) & max;
        (value * 255).checked_div(max).unwrap_or(0) as u8
    }
}

/// The colors of numbers. Those that the table lacks are black.
struct Palette(Vec<[u8; 3]>);

impl Palette {
    fn read(bytes: &[u8], header: &Header) -> Self {
        let table = bytes.get(header.palette..).unwrap_or_default();
        let colors = table.chunks_exact(header.color_size);
        let colors = colors.take(header.colors.min(256));
        Self(colors.map(|color| [color[2], color[1], color[0]]).collect())
    }

    fn color(&self, index: u8) -> [u8; 3] {
        self.0.get(usize::from(index)).copied().unwrap_or_default()
    }
}

/// Rows in the order of the file.
struct Rows<'a> {
    bytes: std::borrow::Cow<'a, [u8]>,
    stride: usize,
    row_size: usize,
    bits: u16,
}

impl<'a> Rows<'a> {
    fn raw(data: &'a [u8], header: &Header) -> Result<Self, String> {
        let row_size = header.row_size();
        let stride = row_size.next_multiple_of(4);
        let (width, height) = (header.width, header.height as usize);
        if width == 0 || height == 0 {
            return Err(format!("{width}x{height} pixels"));
        }
        // The bytes that fill the last row may be missing.
        let needed = (height - 1) * stride + row_size;
        if data.len() < needed {
            return Err(format!(
                "truncated, {} of {needed} bytes of pixels",
                data.len()
            ));
        }
        Ok(Self {
            bytes: data.into(),
            stride,
            row_size,
            bits: header.bits,
        })
    }

    /// Numbers of colors, a byte each, of run-length codes.
    fn of_runs(bytes: &[u8], header: &Header) -> Result<Self, String> {
        let width = header.width as usize;
        let size = width * header.height as usize;
        if size == 0 {
            return Err(format!("{width}x{} pixels", header.height));
        }
        let mut numbers = Vec::new();
        let mut at = header.data;
        let mut x = 0;
        let truncated = "truncated before its last row";
        while numbers.len() < size {
            let &[count, value] = bytes
                .get(at..)
                .and_then(<[u8]>::first_chunk)
                .ok_or(truncated)?;
            at += 2;
            let number = |index: usize, byte: u8| match (header.bits, index % 2) {
                (8, _) => byte,
                (_, 0) => byte >> 4,
                _ => byte & 15,
            };
            match (count, value) {
                (0, 0) => {
                    numbers.resize(numbers.len().next_multiple_of(width), 0);
                    x = 0;
                }
                (0, 1) => break,
                (0, 2) => {
                    let &[right, up] = bytes
                        .get(at..)
                        .and_then(<[u8]>::first_chunk)
                        .ok_or(truncated)?;
                    at += 2;
                    let skipped = usize::from(right) + usize::from(up) * width;
                    numbers.resize((numbers.len() + skipped).min(size), 0);
                    x = numbers.len() % width;
                }
                (0, count) => {
                    let count = usize::from(count).min(size - numbers.len());
                    let stored = if header.bits == 8 {
                        count
                    } else {
                        count.div_ceil(2)
                    };
                    let content = bytes
                        .get(at..)
                        .and_then(|rest| rest.get(..stored))
                        .ok_or(truncated)?;
                    let per_byte = if header.bits == 8 { 1 } else { 2 };
                    numbers
                        .extend((0..count).map(|index| number(index, content[index / per_byte])));
                    x += count;
                    // Data go on at an even byte of the file.
                    at = (at + stored).next_multiple_of(2);
                }
                (count, value) => {
                    let count = usize::from(count).min(width.saturating_sub(x));
                    numbers.extend((0..count).map(|index| number(index, value)));
                    x += count;
                }
            }
        }
        numbers.resize(size, 0);
        Ok(Self {
            bytes: numbers.into(),
            stride: width,
            row_size: width,
            bits: 8,
        })
    }

    fn row(&self, row: usize) -> &[u8] {
        &self.bytes[row * self.stride..][..self.row_size]
    }

    /// The number of a pixel's color.
    fn index(&self, row: &[u8], x: usize) -> u8 {
        let per_byte = usize::from(8 / self.bits);
        let shift = 8 - usize::from(self.bits) * (x % per_byte + 1);
        row[x / per_byte] >> shift & (u8::MAX >> (8 - self.bits))
    }
}

fn u16_le(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn broken(reason: impl Into<String>) -> Error {
    Error::BrokenImage {
        format: FileFormat::Bmp,
        reason: reason.into(),
    }
}
