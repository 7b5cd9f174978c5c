//! How large an image may claim to be before it is decoded.

use crate::Error;

/// Bounds on an image's declared dimensions, checked before anything is allocated for its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest side in pixels. Default 32,768.
    pub max_side: u64,
    /// The most pixels in all. Default 2²⁸.
    pub max_pixels: u64,
}

impl Limits {
    pub(crate) fn check(&self, width: u64, height: u64) -> Result<(), Error> {
        let within = width <= self.max_side
            && height <= self.max_side
            && width
                .checked_mul(height)
                .is_some_and(|pixels| pixels <= self.max_pixels);
        if within {
            return Ok(());
        }
        Err(Error::TooLarge {
            width,
            height,
            max_side: self.max_side,
            max_pixels: self.max_pixels,
        })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_side: 32_768,
            max_pixels: 1 << 28,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_and_pixels_are_limited() {
        let cases = [
            (32_768, 8_192, true),
            (8_192, 32_768, true),
            (32_769, 1, false),
            (1, 32_769, false),
            (32_768, 8_193, false),
            (u64::MAX, u64::MAX, false),
        ];
        for (width, height, accepted) in cases {
            assert_eq!(
                Limits::default().check(width, height).is_ok(),
                accepted,
                "{width}x{height}"
            );
        }
    }
}
