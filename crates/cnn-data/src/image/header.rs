//! What the fixed part of a PNG, GIF or WebP header declares, read before any decoder sees the
//! file.

use std::borrow::Cow;

use super::ColorModel;

/// Declared dimensions and color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) width: u64,
    pub(super) height: u64,
    pub(super) color: ColorModel,
    pub(super) bits: u8,
}

/// Reads the `IHDR` chunk, which has to be the first.
pub(super) fn png(bytes: &[u8]) -> Option<Header> {
    let header = bytes.get(12..26)?.strip_prefix(b"IHDR")?;
    let color = match header[9] {
        0 => ColorModel::Grey,
        2 => ColorModel::Rgb,
        3 => ColorModel::Palette,
        4 => ColorModel::GreyAlpha,
        6 => ColorModel::Rgba,
        _ => return None,
    };
    let side = |at: usize| {
        u64::from(u32::from_be_bytes([
            header[at],
            header[at + 1],
            header[at + 2],
            header[at + 3],
        ]))
    };
    Some(Header {
        width: side(0),
        height: side(4),
        color,
        bits: header[8],
    })
}

/// Reads the size of the logical screen.
pub(super) fn gif(bytes: &[u8]) -> Option<Header> {
    let bits = (bytes.get(10)? & 7) + 1;
    Some(Header {
        width: u16_le(bytes, 6)?.into(),
        height: u16_le(bytes, 8)?.into(),
        color: ColorModel::Palette,
        bits,
    })
}

/// Reads the first chunk, which is that of an extended, a lossless or a lossy file.
pub(super) fn webp(bytes: &[u8]) -> Option<Header> {
    let rgb = |width, height| Header {
        width,
        height,
        color: ColorModel::Rgb,
        bits: 8,
    };
    let rgba = |width, height| Header {
        width,
        height,
        color: ColorModel::Rgba,
        bits: 8,
    };
    match bytes.get(12..16)? {
        b"VP8X" => {
            let has_alpha = bytes.get(20)? & 0x10 != 0;
            let of = if has_alpha { rgba } else { rgb };
            // Both sides, each stored as one less, in three bytes.
            let width = u32_le(bytes, 24)? & 0x00ff_ffff;
            let height = u32_le(bytes, 26)? >> 8;
            Some(of(u64::from(width) + 1, u64::from(height) + 1))
        }
        b"VP8L" => {
            let packed = u64::from(u32_le(bytes, 21)?);
            let has_alpha = packed >> 28 & 1 != 0;
            let of = if has_alpha { rgba } else { rgb };
            Some(of((packed & 0x3fff) + 1, (packed >> 14 & 0x3fff) + 1))
        }
        b"VP8 " => Some(rgb(
            u64::from(u16_le(bytes, 26)? & 0x3fff),
            u64::from(u16_le(bytes, 28)? & 0x3fff),
        )),
        _ => None,
    }
}

/// Whether the chunks of a WebP file lie within it. This is checked because the decoder allocates
/// as much as they claim.
pub(super) fn check_webp_chunks(bytes: &[u8]) -> Result<(), String> {
    const CHUNK_HEADER: usize = 8;
    let declared = u32_le(bytes, 4).map_or(0, |size| size as usize + CHUNK_HEADER);
    if declared > bytes.len() {
        return Err(format!("truncated, {} of {declared} bytes", bytes.len()));
    }
    let mut position = 12;
    while position + CHUNK_HEADER <= declared {
        let size = u32_le(bytes, position + 4).map_or(0, |size| size as usize);
        let left = declared - position - CHUNK_HEADER;
        if size > left {
            return Err(format!(
                "a chunk at byte {position} claims {size} bytes where {left} are left"
            ));
        }
        position += CHUNK_HEADER + size + size % 2;
    }
    Ok(())
}

/// Where an extended WebP file says which kinds of metadata it has.
const WEBP_FLAGS: usize = 20;
const WEBP_EXIF: u8 = 0x08;
const WEBP_XMP: u8 = 0x04;
const WEBP_PROFILE: u8 = 0x20;

/// The file as if it had no metadata. The decoder does not need them, and refuses a file that
/// promises some and has none.
pub(super) fn webp_without_metadata(bytes: &[u8]) -> Cow<'_, [u8]> {
    const METADATA: u8 = WEBP_EXIF | WEBP_XMP | WEBP_PROFILE;
    let mut file = Cow::Borrowed(bytes);
    if webp_flags(bytes) & METADATA != 0 {
        file.to_mut()[WEBP_FLAGS] &= !METADATA;
    }
    file
}

/// EXIF of a WebP file.
pub(super) fn webp_exif(bytes: &[u8]) -> Option<&[u8]> {
    webp_chunk(bytes, WEBP_EXIF, b"EXIF")
}

/// XMP of a WebP file.
pub(super) fn webp_xmp(bytes: &[u8]) -> Option<&[u8]> {
    webp_chunk(bytes, WEBP_XMP, b"XMP ")
}

fn webp_flags(bytes: &[u8]) -> u8 {
    let is_extended = bytes.get(12..16) == Some(b"VP8X");
    bytes
        .get(WEBP_FLAGS)
        .filter(|_| is_extended)
        .copied()
        .unwrap_or(0)
}

/// The content of the first chunk of this name, if the header promises it.
fn webp_chunk<'a>(bytes: &'a [u8], flag: u8, name: &[u8; 4]) -> Option<&'a [u8]> {
    const CHUNK_HEADER: usize = 8;
    if webp_flags(bytes) & flag == 0 {
        return None;
    }
    let mut position = 12;
    loop {
        let start = position + CHUNK_HEADER;
        let size = u32_le(bytes, position + 4)? as usize;
        let content = bytes.get(start..start.checked_add(size)?)?;
        if bytes.get(position..position + 4)? == name {
            return Some(content);
        }
        position = start + size + size % 2;
    }
}

fn u16_le(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
