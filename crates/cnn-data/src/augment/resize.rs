//! Bringing samples to one size.

use cnn_core::{Interpolation, Rng};

use super::Transform;
use super::arguments::size;
use crate::{Affine, Error, Sample};

/// Resizes image, boxes and mask without regard to the aspect ratio. The image is antialiased as by
/// [`resize`](crate::resize()), and the mask takes its nearest pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Resize {
    size: [usize; 2],
    interpolation: Interpolation,
}

impl Resize {
    /// Resizes to `height` and `width`, bilinearly.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if a side is zero, [`Error::TooLarge`] beyond the default
    /// [`Limits`](crate::Limits).
    pub fn new(height: usize, width: usize) -> Result<Self, Error> {
        Ok(Self {
            size: size(height, width)?,
            interpolation: Interpolation::Bilinear,
        })
    }

    /// How the image is resampled. Default bilinear.
    pub fn with_interpolation(self, interpolation: Interpolation) -> Self {
        Self {
            interpolation,
            ..self
        }
    }
}

impl Transform for Resize {
    fn apply(&self, sample: Sample, _: &mut Rng) -> Result<Sample, Error> {
        resize_sample(sample, self.size, self.interpolation)
    }
}

pub(super) fn resize_sample(
    sample: Sample,
    [height, width]: [usize; 2],
    interpolation: Interpolation,
) -> Result<Sample, Error> {
    let vertical = height as f64 / sample.image.height() as f64;
    let horizontal = width as f64 / sample.image.width() as f64;
    sample.transformed(
        &Affine::scaling(horizontal, vertical),
        |image| crate::resize(&image, height, width, interpolation),
        |mask| crate::resize(&mask, height, width, Interpolation::Nearest),
    )
}
