//! From the components of a JPEG file to grey or RGB, in the integer arithmetic of libjpeg and of
//! Pillow.

use super::ColorModel;
use super::segments::{Frame, Segments};
use super::store::Samples;
use super::upsample::Upsampler;

/// What the components stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Grey,
    Rgb,
    Ycc,
    Cmyk,
    Ycck,
}

impl Space {
    /// As libjpeg decides: by the JFIF segment, else by Adobe's, else by the components' names.
    pub(super) fn of(segments: &Segments, frame: &Frame) -> Self {
        let ids = frame.components.iter().map(|component| component.id);
        match (frame.components.len(), segments.adobe_transform) {
            (1, _) => Self::Grey,
            (3, _) if segments.has_jfif => Self::Ycc,
            (3, Some(0)) => Self::Rgb,
            (3, None) if ids.eq(*b"RGB") => Self::Rgb,
            (3, _) => Self::Ycc,
            (_, None | Some(0)) => Self::Cmyk,
            _ => Self::Ycck,
        }
    }

    /// Channels of the image.
    pub(super) fn channels(self) -> usize {
        if self == Self::Grey { 1 } else { 3 }
    }

    pub(super) fn model(self) -> ColorModel {
        match self {
            Self::Grey => ColorModel::Grey,
            Self::Rgb | Self::Ycc => ColorModel::Rgb,
            Self::Cmyk | Self::Ycck => ColorModel::Cmyk,
        }
    }
}

/// The pixels of the whole image.
pub(super) fn pixels(frame: &Frame, samples: &Samples, space: Space) -> Vec<u8> {
    let channels = space.channels();
    let mut pixels = vec![0; frame.width * frame.height * channels];
    let mut upsamplers: Vec<_> = frame
        .components
        .iter()
        .zip(&samples.planes)
        .map(|(component, plane)| Upsampler::new(frame, component, plane))
        .collect();
    for (y, out) in pixels.chunks_exact_mut(frame.width * channels).enumerate() {
        match upsamplers.as_mut_slice() {
            [grey] => out.copy_from_slice(&grey.row(y)[..frame.width]),
            [a, b, c] => {
                let colors = a.row(y).iter().zip(b.row(y)).zip(c.row(y));
                let out = out.as_chunks_mut().0.iter_mut();
                if space == Space::Rgb {
                    for (out, ((&red, &green), &blue)) in out.zip(colors) {
                        *out = [red, green, blue];
                    }
                } else {
                    for (out, ((&luma, &blue), &red)) in out.zip(colors) {
                        *out = rgb_of_ycc(luma, blue, red);
                    }
                }
            }
            [a, b, c, d] => {
                let inks = a.row(y).iter().zip(b.row(y)).zip(c.row(y)).zip(d.row(y));
                let out = out.as_chunks_mut().0.iter_mut();
                for (out, (((&a, &b), &c), &black)) in out.zip(inks) {
                    let inks = match space {
                        Space::Ycck => rgb_of_ycc(a, b, c).map(|value| 255 - value),
                        _ => [a, b, c],
                    };
                    *out = rgb_of_inverted_inks(inks, black);
                }
            }
            _ => {}
        }
    }
    pixels
}

/// RGB of inks as Adobe stores them (255 is no ink), in Pillow's integer arithmetic.
fn rgb_of_inverted_inks(inks: [u8; 3], inverted_black: u8) -> [u8; 3] {
    let light = u32::from(inverted_black);
    inks.map(|inverted| {
        let product = (255 - u32::from(inverted)) * light + 128;
        let rounded = ((product >> 8) + product) >> 8;
        light.saturating_sub(rounded) as u8
    })
}

/// RGB of luma and chroma in libjpeg's fixed-point arithmetic.
#[inline(always)]
fn rgb_of_ycc(luma: u8, blue: u8, red: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let luma = i32::from(luma);
    let blue = i32::from(blue) - 128;
    let red = i32::from(red) - 128;
    [
        luma + ((91_881 * red + HALF) >> 16),
        luma + ((-22_554 * blue - 46_802 * red + HALF) >> 16),
        luma + ((116_130 * blue + HALF) >> 16),
    ]
    .map(|value| value.clamp(0, 255) as u8)
}
