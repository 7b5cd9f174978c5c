//! Image files written byte by byte, of kinds that common encoders do not write.

use std::io::Write;

use flate2::Crc;
use flate2::write::ZlibEncoder;

/// How the blocks of a JPEG file are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scans {
    /// One scan of everything.
    One,
    /// A scan for each component.
    Separate,
    /// One scan for luma and one for both others.
    LumaThenChroma,
    /// Means of everything in two steps, then the other coefficients, which are zero.
    Progressive,
}

/// Luma of the block in this row and column of blocks, less 128.
pub(crate) fn level(row: usize, column: usize) -> i32 {
    (row * 37 + column * 61) as i32 % 200 - 100
}

/// A JPEG file of grey blocks of 8×8 pixels, [`level`] each, whose luma has `across` × `down`
/// samples for one of chroma.
pub(crate) fn jpeg(
    width: usize,
    height: usize,
    across: usize,
    down: usize,
    scans: Scans,
) -> Vec<u8> {
    let is_progressive = scans == Scans::Progressive;
    let mut file = b"\xff\xd8".to_vec();
    // A step of 8 makes the mean of a block its coefficient.
    segment(&mut file, 0xdb, &[&[0][..], &[8; 64]].concat());
    let sides = [height, width].map(|side| (side as u16).to_be_bytes());
    let sampling = (across << 4 | down) as u8;
    let components = [1, sampling, 0, 2, 0x11, 0, 3, 0x11, 0];
    let frame = [&[8][..], sides.as_flattened(), &[3], &components].concat();
    segment(&mut file, if is_progressive { 0xc2 } else { 0xc0 }, &frame);
    // Twelve codes of four bits are numbers of bits; the one code of one bit ends a block.
    let differences = [0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let symbols: Vec<u8> = (0..12).collect();
    segment(
        &mut file,
        0xc4,
        &[&[0][..], &differences, &symbols].concat(),
    );
    let others = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    segment(&mut file, 0xc4, &[&[0x10][..], &others, &[0]].concat());

    let parts: &[&[u8]] = match scans {
        Scans::One | Scans::Progressive => &[&[1, 2, 3]],
        Scans::Separate => &[&[1], &[2], &[3]],
        Scans::LumaThenChroma => &[&[1], &[2, 3]],
    };
    let size = Size {
        width,
        height,
        across,
        down,
    };
    for ids in parts {
        if is_progressive {
            scan(&mut file, ids, [0, 0, 0x01], &size, |bits, level, mean| {
                bits.difference((level >> 1) - *mean);
                *mean = level >> 1;
            });
            scan(&mut file, ids, [0, 0, 0x10], &size, |bits, level, _| {
                bits.put((level & 1) as u32, 1);
            });
        } else {
            scan(&mut file, ids, [0, 63, 0], &size, |bits, level, mean| {
                bits.difference(level - *mean);
                *mean = level;
                bits.put(0, 1);
            });
        }
    }
    if is_progressive {
        for id in 1..=3 {
            scan(&mut file, &[id], [1, 63, 0], &size, |bits, _, _| {
                bits.put(0, 1);
            });
        }
    }
    file.extend([0xff, 0xd9]);
    file
}

struct Size {
    width: usize,
    height: usize,
    across: usize,
    down: usize,
}

/// One scan; `code` gets the level of a block and the last mean of its component.
fn scan(
    file: &mut Vec<u8>,
    ids: &[u8],
    [first, last, approximation]: [u8; 3],
    size: &Size,
    mut code: impl FnMut(&mut Bits, i32, &mut i32),
) {
    let components = ids.iter().flat_map(|&id| [id, 0]);
    let header: Vec<u8> = [ids.len() as u8]
        .into_iter()
        .chain(components)
        .chain([first, last, approximation])
        .collect();
    segment(file, 0xda, &header);
    let mut bits = Bits::default();
    let mut means = [0; 4];
    let mut block = |id: u8, row, column| {
        let level = if id == 1 { level(row, column) } else { 0 };
        code(&mut bits, level, &mut means[usize::from(id)]);
    };
    let units_down = size.height.div_ceil(8 * size.down);
    let units_across = size.width.div_ceil(8 * size.across);
    match *ids {
        [1] => {
            for row in 0..size.height.div_ceil(8) {
                (0..size.width.div_ceil(8)).for_each(|column| block(1, row, column));
            }
        }
        [id] => {
            for row in 0..units_down {
                (0..units_across).for_each(|column| block(id, row, column));
            }
        }
        _ => {
            for row in 0..units_down {
                for column in 0..units_across {
                    for &id in ids {
                        let (across, down) = match id {
                            1 => (size.across, size.down),
                            _ => (1, 1),
                        };
                        for y in 0..down {
                            (0..across)
                                .for_each(|x| block(id, row * down + y, column * across + x));
                        }
                    }
                }
            }
        }
    }
    file.extend(bits.finished());
}

fn segment(file: &mut Vec<u8>, marker: u8, content: &[u8]) {
    file.extend([0xff, marker]);
    file.extend((content.len() as u16 + 2).to_be_bytes());
    file.extend(content);
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            self.pending = self.pending << 1 | value >> bit & 1;
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.pending as u8);
                if self.pending == 0xff {
                    self.bytes.push(0);
                }
                (self.pending, self.count) = (0, 0);
            }
        }
    }

    fn difference(&mut self, difference: i32) {
        let count = 32 - difference.unsigned_abs().leading_zeros();
        self.put(count, 4);
        let value = if difference < 0 {
            difference + (1 << count) - 1
        } else {
            difference
        };
        self.put(value as u32, count);
    }

    fn finished(mut self) -> Vec<u8> {
        while self.count > 0 {
            self.put(1, 1);
        }
        self.bytes
    }
}

/// Red, green, blue and white, as numbers 0 to 3 in a picture of five columns and three rows.
pub(crate) const COLORS: [[u8; 3]; 4] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255; 3]];

/// The numbers of [`COLORS`] in the pictures made here, from the top row to the bottom row.
pub(crate) const NUMBERS: [[u8; 5]; 3] = [[0, 1, 2, 3, 0], [3, 3, 3, 3, 1], [2, 0, 0, 1, 2]];

/// The start of a bitmap file whose header has these bytes behind its size.
fn bmp(header: &[u8], masks: &[u32], palette: &[u8], pixels: &[u8]) -> Vec<u8> {
    let size = header.len() as u32 + 4;
    let masks: Vec<u8> = masks.iter().flat_map(|mask| mask.to_le_bytes()).collect();
    let data = 14 + size + masks.len() as u32 + palette.len() as u32;
    let mut file = b"BM".to_vec();
    for number in [data + pixels.len() as u32, 0, data, size] {
        file.extend(number.to_le_bytes());
    }
    file.extend([header, &masks, palette, pixels].concat());
    file
}

fn windows_header(height: i32, bits: u16, compression: u32, colors: u32) -> Vec<u8> {
    let mut header = [5_i32, height].map(i32::to_le_bytes).concat();
    header.extend([1, bits].map(u16::to_le_bytes).as_flattened());
    for number in [compression, 0, 0, 0, colors, 0] {
        header.extend(number.to_le_bytes());
    }
    header
}

/// A bitmap of OS/2's first version: a header of 12 bytes, colors of three bytes, four bits a pixel.
pub(crate) fn bmp_os2() -> Vec<u8> {
    let header = [5_u16, 3, 1, 4].map(u16::to_le_bytes).concat();
    let mut palette: Vec<u8> = COLORS.iter().flat_map(|&[r, g, b]| [b, g, r]).collect();
    palette.resize(3 * 16, 0);
    let rows = NUMBERS.iter().rev();
    let pixels: Vec<u8> = rows
        .flat_map(|n| [n[0] << 4 | n[1], n[2] << 4 | n[3], n[4] << 4, 0])
        .collect();
    bmp(&header, &[], &palette, &pixels)
}

/// A bitmap of 4 or 8 bits a pixel in run-length codes: runs, numbers as they are, an end of a row,
/// and a step to the right and up.
pub(crate) fn bmp_of_runs(bits: u16) -> Vec<u8> {
    let palette: Vec<u8> = COLORS.iter().flat_map(|&[r, g, b]| [b, g, r, 0]).collect();
    let both = |first: u8, second: u8| match bits {
        4 => vec![first << 4 | second],
        _ => vec![first, second],
    };
    let run = |number: u8| {
        if bits == 4 {
            number << 4 | number
        } else {
            number
        }
    };
    // The bottom row: 2 0 0 1 2.
    let mut pixels = vec![1, run(2), 2, run(0)];
    pixels.extend([1, run(1), 1, run(2), 0, 0]);
    // The middle row: 3 3 3 3 1.
    pixels.extend([4, run(3), 1, run(1), 0, 0]);
    // The top row: a skipped 0, then 1 2 3 as they are, then 0.
    pixels.extend([0, 2, 1, 0, 0, 3]);
    pixels.extend([both(1, 2), both(3, 0)].concat());
    // An odd count of bytes is filled up; with eight bits `both` has written the filling.
    pixels.extend([1, run(0), 0, 1]);
    let compression = if bits == 4 { 2 } else { 1 };
    bmp(
        &windows_header(3, bits, compression, 4),
        &[],
        &palette,
        &pixels,
    )
}

/// A bitmap of 16 or 32 bits a pixel with these masks of red, green and blue.
pub(crate) fn bmp_packed(bits: u16, is_top_down: bool, masks: [u32; 3]) -> Vec<u8> {
    let mut rows = NUMBERS;
    if !is_top_down {
        rows.reverse();
    }
    let mut pixels = Vec::new();
    for row in rows {
        for number in row {
            let color = COLORS[usize::from(number)];
            let pixel = (0..3)
                .filter(|&channel| color[channel] != 0)
                .fold(0, |pixel, channel| pixel | masks[channel]);
            pixels.extend(&pixel.to_le_bytes()[..usize::from(bits / 8)]);
        }
        pixels.resize(pixels.len().next_multiple_of(4), 0);
    }
    let height = if is_top_down { -3 } else { 3 };
    bmp(&windows_header(height, bits, 3, 0), &masks, &[], &pixels)
}

/// A TIFF structure with an orientation of this type: 1 byte, 3 short, 4 long, 5 ratio, 9 signed
/// long, 2 text.
pub(crate) fn exif(orientation: u32, kind: u16) -> Vec<u8> {
    let mut tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12".to_vec();
    tiff.extend(kind.to_be_bytes());
    tiff.extend(1_u32.to_be_bytes());
    let value = match kind {
        1 => [orientation as u8, 0, 0, 0],
        2 => [b'0' + orientation as u8, 0, 0, 0],
        3 => (orientation << 16).to_be_bytes(),
        5 => 26_u32.to_be_bytes(),
        _ => orientation.to_be_bytes(),
    };
    tiff.extend(value);
    tiff.extend([0; 4]);
    if kind == 5 {
        tiff.extend((3 * orientation).to_be_bytes());
        tiff.extend(3_u32.to_be_bytes());
    }
    tiff
}

/// The content of a `zTXt` chunk with ImageMagick's text of EXIF.
pub(crate) fn raw_profile(exif: &[u8]) -> Vec<u8> {
    let mut text = format!("\nexif\n{:8}\n", exif.len());
    for line in exif.chunks(36) {
        text.extend(line.iter().map(|byte| format!("{byte:02x}")));
        text.push('\n');
    }
    let compressed = zlib(text.as_bytes());
    [b"Raw profile type exif\0\0", compressed.as_slice()].concat()
}

/// The content of an `iTXt` chunk with XMP, after its keyword `between`.
pub(crate) fn xmp(between: &[u8], orientation: u32) -> Vec<u8> {
    let packet = xmp_packet(orientation);
    [b"XML:com.adobe.xmp\0", between, packet.as_bytes()].concat()
}

pub(crate) fn xmp_packet(orientation: u32) -> String {
    format!("<x:xmpmeta><rdf:Description tiff:Orientation=\"{orientation}\"/></x:xmpmeta>")
}

pub(crate) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A PNG file with further chunks behind its header.
pub(crate) fn png_with_chunks(png: &[u8], chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    const HEADER_END: usize = 33;
    let mut file = png[..HEADER_END].to_vec();
    for (name, content) in chunks {
        file.extend((content.len() as u32).to_be_bytes());
        let named = [name.as_slice(), content].concat();
        let mut crc = Crc::new();
        crc.update(&named);
        file.extend(named);
        file.extend(crc.sum().to_be_bytes());
    }
    file.extend(&png[HEADER_END..]);
    file
}
