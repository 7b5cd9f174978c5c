//! Fewer levels of each value (Xu, Evans & Qi 2018, arXiv:1704.01155, section III-A).

use super::InputTransform;
use crate::{Error, Images};

/// The most levels that a picture has.
const MOST: u8 = 8;

/// Rounds values in 0..1 to `2^bits` levels: `round(x (2^bits − 1)) / (2^bits − 1)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitDepth {
    bits: u8,
}

impl BitDepth {
    /// Keeps so many bits of each value.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not in 1..=8.
    pub fn new(bits: u8) -> Result<Self, Error> {
        if !(1..=MOST).contains(&bits) {
            return Err(Error::argument("bits", bits, "a whole number from 1 to 8"));
        }
        Ok(Self { bits })
    }
}

impl InputTransform for BitDepth {
    fn name(&self) -> String {
        format!("bits:{}", self.bits)
    }

    fn apply(&self, images: &Images) -> Result<Images, Error> {
        let highest = f64::from((1u16 << self.bits) - 1);
        Ok(images.map(|value| (value.clamp(0., 1.) * highest).round() / highest))
    }
}
