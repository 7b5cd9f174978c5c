//! JPEG, baseline, extended and progressive, of every sampling and order of scans: to the last bit
//! what libjpeg-turbo makes of it, with Pillow's conversions of color.
//!
//! ITU-T T.81 (1992) has the format. Data that contradict it are refused where libjpeg goes on with
//! a warning, with two exceptions, which are harmless or common: bytes between segments are passed
//! over, and pixels that are missing before an end marker are grey.

mod arithmetic;
mod color;
mod huffman;
mod scan;
mod segments;
mod store;
mod transform;
mod upsample;

use image::metadata::Orientation;

use self::arithmetic::Arithmetic;
use self::color::Space;
use self::huffman::{BitReader, HuffmanTable, standard_tables};
use self::scan::{BlockStore, Progressive, Sequential, read_blocks};
use self::segments::{Frame, Scan, Segments};
use self::store::{Coefficients, Samples};
use super::orientation::Orientations;
use super::{ColorModel, Decoded, FileFormat, Image, ImageInfo, Limits};
use crate::Error;

/// The most pixels that a byte of compressed data can stand for, as a block of 8×8 pixels takes at
/// least one bit.
const MAX_PIXELS_PER_BYTE: u64 = 8 * 64;

/// The most scans of an image. A progressive encoder writes about ten; without a bound, a small
/// file could ask for hours of work.
const MAX_SCANS: usize = 500;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    let mut segments = Segments::new(bytes);
    let first = segments
        .next_scan()
        .map_err(broken)?
        .ok_or_else(|| broken("no pixels before its end marker"))?;
    let frame = segments
        .frame
        .clone()
        .ok_or_else(|| broken("a scan before its frame"))?;
    let (width, height) = (frame.width as u64, frame.height as u64);
    limits.check(width, height)?;
    if width * height > MAX_PIXELS_PER_BYTE.saturating_mul(bytes.len() as u64) {
        return Err(broken(format!(
            "{} bytes cannot hold the declared {width}x{height} pixels",
            bytes.len()
        )));
    }
    let space = Space::of(&segments, &frame);
    let samples = read_samples(bytes, &mut segments, first).map_err(broken)?;
    let orientations = Orientations {
        exif: Some(&segments.exif),
        xmp: segments.xmp,
    };
    let orientation = orientations.first();
    let image = Image::from_pixels(
        frame.height,
        frame.width,
        space.channels(),
        color::pixels(&frame, &samples, space),
    )
    .map_err(|error| broken(error.to_string()))?
    .oriented(orientation);
    let info = ImageInfo {
        format: FileFormat::Jpeg,
        width: frame.width,
        height: frame.height,
        color: space.model(),
        bits: 8,
    };
    Ok(Decoded {
        image,
        info,
        orientation,
    })
}

/// Width and height, and how the picture is to be turned, from the segments before its pixels.
pub(super) fn sides_and_orientation(bytes: &[u8]) -> Result<([u64; 2], Orientation), Error> {
    let mut segments = Segments::new(bytes);
    let first = segments.next_scan().map_err(broken)?;
    first.ok_or_else(|| broken("no pixels before its end marker"))?;
    let frame = frame_of(&segments).map_err(broken)?;
    let orientations = Orientations {
        exif: Some(&segments.exif),
        xmp: segments.xmp,
    };
    let sides = [frame.width, frame.height].map(|side| side as u64);
    Ok((sides, orientations.first()))
}

/// The samples of all components, from the first scan on.
fn read_samples(bytes: &[u8], segments: &mut Segments, first: Scan) -> Result<Samples, String> {
    let frame = frame_of(segments)?;
    let is_whole = first.components.len() == frame.components.len();
    if is_whole && !frame.process.is_progressive {
        let mut samples = Samples::grey(&frame);
        let end = read_scan(bytes, segments, &first, &mut samples)?;
        segments.seek(end.position);
        // Trailers of cameras may have taken the place of the end marker. Without one, the file is
        // accepted only if its data show that they are not cut.
        if segments.has_end() || end.is_evident(bytes) {
            return Ok(samples);
        }
        return Err(segments.truncated());
    }
    let mut coefficients = Coefficients::zero(&frame);
    let mut scans = 1;
    let mut scan = first;
    loop {
        coefficients.begin(&scan)?;
        let end = read_scan(bytes, segments, &scan, &mut coefficients)?;
        segments.seek(end.position);
        match segments.next_scan()? {
            None => break,
            Some(_) if scans == MAX_SCANS => return Err(format!("more than {MAX_SCANS} scans")),
            Some(next) => scan = next,
        }
        scans += 1;
    }
    coefficients.check_complete()?;
    // Later scans may have brought the quantization of later components.
    Ok(coefficients.into_samples(&frame_of(segments)?))
}

fn frame_of(segments: &Segments) -> Result<Frame, String> {
    Ok(segments.frame.clone().ok_or("a scan before its frame")?)
}

/// Where the data of a scan end.
struct ScanEnd {
    start: usize,
    /// The first byte behind the data.
    position: usize,
    /// Whether every pixel had its data, and the last byte is filled as encoders fill it.
    is_complete: bool,
}

impl ScanEnd {
    /// Whether it can be seen that nothing is missing, though no end marker follows: at least as
    /// many bytes do, and the last of the data do not look like a hole that was filled.
    fn is_evident(&self, bytes: &[u8]) -> bool {
        const COMPARED: usize = 16;
        const END_MARKER: usize = 2;
        let data = &bytes[self.start..self.position];
        let last = &data[data.len().saturating_sub(COMPARED)..];
        let is_hole = last.iter().all(|byte| Some(byte) == last.first());
        self.is_complete && !is_hole && bytes.len() - self.position >= END_MARKER
    }
}

fn read_scan(
    bytes: &[u8],
    segments: &Segments,
    scan: &Scan,
    store: &mut impl BlockStore,
) -> Result<ScanEnd, String> {
    let frame = frame_of(segments)?;
    let start = segments.position();
    if frame.process.is_arithmetic {
        let mut reader = Arithmetic::new(bytes, segments, &frame, scan)?;
        read_blocks(&frame, scan, &mut reader, store)?;
        reader.check_end()?;
        return Ok(ScanEnd {
            start,
            position: reader.position(),
            // Arithmetic coding leaves out zeros at its end, so that a cut does not show.
            is_complete: false,
        });
    }
    let standard = standard_tables();
    let table = |is_dc: bool, slot: usize| -> Result<&HuffmanTable, String> {
        let (own, standard) = match (is_dc, &standard) {
            (true, [luma, chroma, _, _]) => (&segments.dc_tables, [luma, chroma]),
            (false, [_, _, luma, chroma]) => (&segments.ac_tables, [luma, chroma]),
        };
        let own = own.get(slot).and_then(Option::as_ref);
        let found = own
            .or(standard.get(slot).copied())
            .ok_or("no Huffman table")?;
        if is_dc && !found.is_of_differences() {
            return Err("a Huffman table of too long differences".to_owned());
        }
        Ok(found)
    };
    let bits = BitReader::new(bytes, start);
    let bits = if frame.process.is_progressive {
        let of_band = |component: &segments::ScanComponent| match (scan.first, scan.high) {
            // Refined means need no table.
            (0, 1..) => table(false, 0),
            (0, 0) => table(true, component.dc),
            _ => table(false, component.ac),
        };
        let tables = scan.components.iter().map(of_band);
        let mut reader = Progressive {
            bits,
            tables: tables.collect::<Result<_, _>>()?,
            first: scan.first,
            last: scan.last,
            low: scan.low,
            is_refinement: scan.high > 0,
            means: [0; 4],
            ended: 0,
        };
        read_blocks(&frame, scan, &mut reader, store)?;
        reader.bits
    } else {
        let tables = scan
            .components
            .iter()
            .map(|component| Ok([table(true, component.dc)?, table(false, component.ac)?]));
        let mut reader = Sequential {
            bits,
            tables: tables.collect::<Result<_, String>>()?,
            means: [0; 4],
        };
        read_blocks(&frame, scan, &mut reader, store)?;
        reader.bits
    };
    bits.check_end()?;
    Ok(ScanEnd {
        start,
        position: bits.position(),
        is_complete: !bits.is_starved() && bits.is_padded_with_ones(),
    })
}

fn broken(reason: impl Into<String>) -> Error {
    Error::BrokenImage {
        format: FileFormat::Jpeg,
        reason: reason.into(),
    }
}
