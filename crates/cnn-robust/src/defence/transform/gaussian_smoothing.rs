//! A Gaussian blur.

use super::InputTransform;
use crate::corruption::smoothed;
use crate::{Error, Images};

/// The largest standard deviation in pixels.
const LARGEST: f64 = 100.;

/// Blurs each channel with a Gaussian that is cut at four standard deviations, with images mirrored
/// at their edges, as `scipy.ndimage.gaussian_filter` does.
///
/// It is linear, and its matrix is symmetric: a kernel that is the same in both directions,
/// mirrored at the outer edge of the last pixel, weighs a pair of pixels alike either way. So the
/// gradient is blurred as the image was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaussianSmoothing {
    sigma: f64,
}

impl GaussianSmoothing {
    /// A standard deviation in pixels.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not above 0 and at most 100.
    pub fn new(sigma: f64) -> Result<Self, Error> {
        if !(sigma > 0. && sigma <= LARGEST) {
            let expected = format!("a number above 0, at most {LARGEST}");
            return Err(Error::argument("sigma", sigma, expected));
        }
        Ok(Self { sigma })
    }
}

impl InputTransform for GaussianSmoothing {
    fn name(&self) -> String {
        format!("gaussian:{}", self.sigma)
    }

    fn apply(&self, images: &Images) -> Result<Images, Error> {
        let mut blurred = images.clone();
        for index in 0..images.len() {
            let values = smoothed(images.image(index), images.size(), self.sigma);
            blurred.image_mut(index).copy_from_slice(&values);
        }
        Ok(blurred)
    }

    fn backward(&self, _: &Images, gradient: Images) -> Result<Images, Error> {
        self.apply(&gradient)
    }
}
