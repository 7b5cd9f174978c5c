//! How a file says that its picture is to be turned: as EXIF or as XMP.

use image::metadata::Orientation;

/// What a file's metadata say of orientation.
#[derive(Clone, Copy, Default)]
pub(super) struct Orientations<'a> {
    /// EXIF, with or without the header that JPEG puts before it.
    pub(super) exif: Option<&'a [u8]>,
    /// An XMP packet.
    pub(super) xmp: Option<&'a [u8]>,
}

impl Orientations<'_> {
    /// The orientation that Pillow's `exif_transpose` applies: that of EXIF, or of XMP if EXIF has
    /// none. A meaningless one is none.
    pub(super) fn first(self) -> Orientation {
        let stored = self
            .exif
            .and_then(of_exif)
            .or_else(|| self.xmp.and_then(of_xmp));
        stored
            .and_then(|number| u8::try_from(number).ok())
            .and_then(Orientation::from_exif)
            .unwrap_or(Orientation::NoTransforms)
    }
}

/// The number of the tag, whatever it means; 0 if it is no number.
fn of_exif(exif: &[u8]) -> Option<i64> {
    const HEADER: &[u8] = b"Exif\0\0";
    let once = exif.strip_prefix(HEADER).unwrap_or(exif);
    let tiff = Tiff::open(once.strip_prefix(HEADER).unwrap_or(once))?;
    tiff.orientation()
}

/// The digit in `tiff:Orientation="6"` or `<tiff:Orientation>6</tiff:Orientation>`.
fn of_xmp(packet: &[u8]) -> Option<i64> {
    const NAME: &[u8] = b"tiff:Orientation";
    packet.windows(NAME.len() + 3).find_map(|window| {
        let digit = match window.strip_prefix(NAME)? {
            [b'=', b'"', digit, ..] | [b'>', digit, ..] => digit,
            _ => return None,
        };
        digit.is_ascii_digit().then(|| i64::from(digit - b'0'))
    })
}

/// A TIFF structure, of which only the first directory is read.
struct Tiff<'a> {
    bytes: &'a [u8],
    is_little_endian: bool,
    is_big: bool,
}

impl<'a> Tiff<'a> {
    fn open(bytes: &'a [u8]) -> Option<Self> {
        let is_little_endian = match bytes.get(..2)? {
            b"II" => true,
            b"MM" => false,
            _ => return None,
        };
        let tiff = Self {
            bytes,
            is_little_endian,
            is_big: false,
        };
        Some(Self {
            is_big: tiff.number(2, 2)? == 43,
            ..tiff
        })
    }

    fn orientation(&self) -> Option<i64> {
        const TAG: u64 = 274;
        let (directory, count_size, entry_size) = if self.is_big {
            (self.number(8, 8)?, 8, 20)
        } else {
            (self.number(4, 4)?, 2, 12)
        };
        let directory = usize::try_from(directory).ok()?;
        let count = usize::try_from(self.number(directory, count_size)?).ok()?;
        let first = directory.checked_add(count_size)?;
        let entries = self.bytes.get(first..)?;
        (0..count.min(entries.len() / entry_size))
            .rev()
            .map(|index| first + index * entry_size)
            .filter(|&entry| self.number(entry, 2) == Some(TAG))
            .find_map(|entry| self.value(entry))
    }

    /// The first number of an entry; 0 if it is text or bytes.
    fn value(&self, entry: usize) -> Option<i64> {
        let size_of_count = if self.is_big { 8 } else { 4 };
        let kind = self.number(entry + 2, 2)?;
        let count = self.number(entry + 4, size_of_count)?;
        let size = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 => 8,
            _ => return None,
        };
        if count == 0 {
            return None;
        }
        let inline = entry + 4 + size_of_count;
        let total = count.checked_mul(size)?;
        let at = if total <= size_of_count as u64 {
            inline
        } else {
            usize::try_from(self.number(inline, size_of_count)?).ok()?
        };
        let end = at.checked_add(usize::try_from(total).ok()?)?;
        self.bytes.get(at..end)?;
        Some(match kind {
            3 | 4 | 13 | 16 => i64::try_from(self.number(at, size as usize)?).unwrap_or(0),
            6 => i64::from(self.number(at, 1)? as i8),
            8 => i64::from(self.number(at, 2)? as i16),
            9 => i64::from(self.number(at, 4)? as i32),
            5 => whole_ratio(self.number(at, 4)? as i64, self.number(at + 4, 4)? as i64),
            10 => whole_ratio(
                i64::from(self.number(at, 4)? as i32),
                i64::from(self.number(at + 4, 4)? as i32),
            ),
            11 => whole(f32::from_bits(self.number(at, 4)? as u32).into()),
            12 => whole(f64::from_bits(self.number(at, 8)?)),
            _ => 0,
        })
    }

    /// A number without sign of up to 8 bytes.
    fn number(&self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(size)?)?;
        let append = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        Some(if self.is_little_endian {
            bytes.iter().rev().fold(0, append)
        } else {
            bytes.iter().fold(0, append)
        })
    }
}

fn whole_ratio(numerator: i64, denominator: i64) -> i64 {
    match numerator.checked_rem(denominator) {
        Some(0) => numerator / denominator,
        _ => 0,
    }
}

fn whole(value: f64) -> i64 {
    if value.fract() == 0.0 {
        value as i64
    } else {
        0
    }
}
