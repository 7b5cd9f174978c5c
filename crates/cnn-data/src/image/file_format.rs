//! The image file formats that are read, and what a file's header says.

use std::fmt;

use serde::Serialize;

use crate::Error;

/// A file format, recognised by the first bytes and never by the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[non_exhaustive]
pub enum FileFormat {
    /// JPEG, baseline and progressive.
    #[serde(rename = "JPEG")]
    Jpeg,
    /// Portable Network Graphics.
    #[serde(rename = "PNG")]
    Png,
    /// Windows bitmap.
    #[serde(rename = "BMP")]
    Bmp,
    /// Graphics Interchange Format; of an animation the first frame.
    #[serde(rename = "GIF")]
    Gif,
    /// WebP, lossy and lossless; of an animation the first frame.
    #[serde(rename = "WebP")]
    WebP,
}

impl FileFormat {
    /// The formats' names, for messages.
    pub const ACCEPTED: &str = "JPEG, PNG, BMP, GIF, WebP";

    /// Recognises a format by the first bytes of a file.
    ///
    /// # Errors
    ///
    /// [`Error::NotAnImage`], showing what the bytes begin with.
    pub fn recognise(bytes: &[u8]) -> Result<Self, Error> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Self::Png),
            [b'B', b'M', ..] => Ok(Self::Bmp),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Self::Gif),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Ok(Self::WebP),
            _ => Err(Error::NotAnImage {
                found: describe_start(bytes),
            }),
        }
    }
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
        })
    }
}

/// How a file stores color.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ColorModel {
    /// One channel.
    Grey,
    /// One channel and transparency.
    GreyAlpha,
    /// Numbers of colors in a table.
    Palette,
    /// Red, green, blue, or luma and chroma that stand for them.
    Rgb,
    /// Red, green, blue and transparency.
    Rgba,
    /// Four inks.
    Cmyk,
}

impl fmt::Display for ColorModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grey => "grey",
            Self::GreyAlpha => "grey+alpha",
            Self::Palette => "palette",
            Self::Rgb => "RGB",
            Self::Rgba => "RGB+alpha",
            Self::Cmyk => "CMYK",
        })
    }
}

/// What a file's header says about the image in it, before decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ImageInfo {
    /// The file's format.
    pub format: FileFormat,
    /// Width in pixels as stored, before any turning by the EXIF orientation.
    pub width: usize,
    /// Height in pixels as stored, before any turning by the EXIF orientation.
    pub height: usize,
    /// How color is stored.
    pub color: ColorModel,
    /// Bits of each channel, or of each number of a palette.
    pub bits: u8,
}

fn describe_start(bytes: &[u8]) -> String {
    const SHOWN: usize = 12;
    match bytes.get(..SHOWN.min(bytes.len())) {
        None | Some([]) => "the file is empty".to_owned(),
        Some(start) => format!("starts with `{}`", start.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn the_first_bytes_decide() {
        let cases: [(&[u8], FileFormat); 6] = [
            (b"\xff\xd8\xff\xe0", FileFormat::Jpeg),
            (b"\x89PNG\r\n\x1a\n\0\0", FileFormat::Png),
            (b"BM\x36\0", FileFormat::Bmp),
            (b"GIF87a\x01", FileFormat::Gif),
            (b"GIF89a\x01", FileFormat::Gif),
            (b"RIFF\x10\0\0\0WEBPVP8 ", FileFormat::WebP),
        ];
        for (bytes, expected) in cases {
            assert_eq!(FileFormat::recognise(bytes).unwrap(), expected);
        }
    }

    #[test]
    fn anything_else_is_shown() {
        let cases: [(&[u8], &str); 4] = [
            (b"", "the file is empty"),
            (b"not a photo at all\n", "starts with `not a photo `"),
            (
                b"II*\0\x08\0\0\0",
                "starts with `II*\\x00\\x08\\x00\\x00\\x00`",
            ),
            (b"GIF80a", "starts with `GIF80a`"),
        ];
        for (bytes, expected) in cases {
            let message = FileFormat::recognise(bytes).unwrap_err().to_string();
            assert_eq!(
                message,
                format!("not an image: {expected}; accepted: JPEG, PNG, BMP, GIF, WebP")
            );
        }
    }
}
