//! What the chunks of a PNG file say of orientation. Pillow reads it from the places that cameras,
//! ImageMagick and Adobe's programs write it to: `eXIf`, a text of hexadecimal digits, and XMP.

use std::borrow::Cow;
use std::io::Read;

use flate2::bufread::ZlibDecoder;

use super::orientation::Orientations;

/// The most bytes that a compressed text is read for; the orientation comes at its beginning.
const MAX_TEXT: u64 = 1 << 20;

/// EXIF and XMP of a PNG file.
#[derive(Default)]
pub(super) struct PngMetadata<'a> {
    exif: Option<Cow<'a, [u8]>>,
    /// EXIF in hexadecimal digits, which counts if there is no other.
    exif_as_text: Option<Vec<u8>>,
    xmp: Option<Cow<'a, [u8]>>,
}

impl PngMetadata<'_> {
    pub(super) fn orientations(&self) -> Orientations<'_> {
        Orientations {
            exif: self.exif.as_deref().or(self.exif_as_text.as_deref()),
            xmp: self.xmp.as_deref(),
        }
    }
}

/// Reads the chunks up to the first that is not whole. What a chunk says twice counts as last said.
pub(super) fn png(bytes: &[u8]) -> PngMetadata<'_> {
    let mut found = PngMetadata::default();
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((name, after)) = after.split_first_chunk::<4>() else {
            break;
        };
        let Some((content, after)) = after.split_at_checked(length) else {
            break;
        };
        let text = match name {
            b"eXIf" => {
                found.exif = Some(Cow::Borrowed(content));
                None
            }
            b"tEXt" => split_at_zero(content).map(|(key, text)| (key, Cow::Borrowed(text))),
            b"zTXt" => compressed_text(content),
            b"iTXt" => international_text(content),
            _ => None,
        };
        match text {
            Some((b"exif", exif)) if name != b"iTXt" => found.exif = Some(exif),
            Some((b"Raw profile type exif", text)) => found.exif_as_text = bytes_of_digits(&text),
            Some((b"XML:com.adobe.xmp", packet)) => found.xmp = Some(packet),
            _ => {}
        }
        rest = after.get(4..).unwrap_or_default();
    }
    found
}

type Text<'a> = (&'a [u8], Cow<'a, [u8]>);

/// A keyword, 0, the method 0, and compressed text.
fn compressed_text(content: &[u8]) -> Option<Text<'_>> {
    let (key, rest) = split_at_zero(content)?;
    Some((key, Cow::Owned(decompress(key, rest.strip_prefix(b"\0")?)?)))
}

/// A keyword, 0, whether the text is compressed, the method 0, a language, 0, the keyword in that
/// language, 0, and the text.
fn international_text(content: &[u8]) -> Option<Text<'_>> {
    let (key, rest) = split_at_zero(content)?;
    let (&[is_compressed, method], rest) = rest.split_first_chunk()?;
    let (_language, rest) = split_at_zero(rest)?;
    let (_translated, text) = split_at_zero(rest)?;
    match (is_compressed, method) {
        (0, _) => Some((key, Cow::Borrowed(text))),
        (_, 0) => Some((key, Cow::Owned(decompress(key, text)?))),
        _ => None,
    }
}

fn split_at_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The beginning of a text, if its keyword is one that can hold an orientation.
fn decompress(key: &[u8], compressed: &[u8]) -> Option<Vec<u8>> {
    if !matches!(
        key,
        b"exif" | b"Raw profile type exif" | b"XML:com.adobe.xmp"
    ) {
        return None;
    }
    let mut text = Vec::new();
    let mut decoder = ZlibDecoder::new(compressed).take(MAX_TEXT);
    // A text that is damaged later on is used as far as it goes.
    let _ = decoder.read_to_end(&mut text);
    Some(text)
}

/// The bytes of ImageMagick's text: an empty line, the kind, the length, and hexadecimal digits.
fn bytes_of_digits(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.splitn(4, |&byte| byte == b'\n').nth(3)?;
    let digits: Vec<u8> = digits
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map_while(|&byte| char::from(byte).to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    let (pairs, _) = digits.as_chunks();
    Some(pairs.iter().map(|&[high, low]| high << 4 | low).collect())
}
