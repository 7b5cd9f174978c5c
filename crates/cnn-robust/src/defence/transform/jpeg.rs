//! JPEG compression (Dziugaite et al. 2016, arXiv:1608.00853; Das et al. 2017, arXiv:1705.02900).

use cnn_data::Image;

use super::InputTransform;
use crate::corruption::jpeg_round_trip;
use crate::{Error, Images};

/// Stores each image as a JPEG file and reads it again; see [`jpeg_round_trip`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jpeg {
    quality: u8,
}

impl Jpeg {
    /// Of a quality as libjpeg counts it; 75 is common.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not in 1..=100.
    pub fn new(quality: u8) -> Result<Self, Error> {
        if !(1..=100).contains(&quality) {
            let expected = "a whole number from 1 to 100";
            return Err(Error::argument("quality", quality, expected));
        }
        Ok(Self { quality })
    }
}

impl InputTransform for Jpeg {
    fn name(&self) -> String {
        format!("jpeg:{}", self.quality)
    }

    fn apply(&self, images: &Images) -> Result<Images, Error> {
        let [height, width, channels] = images.size();
        let mut stored = images.clone();
        for index in 0..images.len() {
            let values = images.image(index).iter();
            let bytes = values.map(|value| (255. * value).round() as u8).collect();
            let image = Image::from_pixels(height, width, channels, bytes)?;
            let read = jpeg_round_trip(&image, self.quality)?;
            let values = read.bytes().iter().map(|&byte| f64::from(byte) / 255.);
            stored
                .image_mut(index)
                .iter_mut()
                .zip(values)
                .for_each(|(to, value)| *to = value);
        }
        Ok(stored)
    }
}
