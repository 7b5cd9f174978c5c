//! Normal noise on what a network sees.

use cnn_core::{Preprocessing, Rng};

use super::Transform;
use super::arguments::within;
use crate::{Error, Image, Sample, resize_and_crop};

/// Adds normal noise to each value by itself: `x + σ n`, rounded to bytes and clipped to their range.
///
/// A network that learns from such images keeps its answers under noise, which randomised smoothing
/// (Cohen et al. 2019, arXiv:1902.02918) makes certificates of. An image that has not a network's input
/// size yet is resized and cropped to it first, so that the noise is that of the input. Boxes and masks
/// are left out: it is for classifiers.
///
/// ```
/// use cnn_core::{Key, Preprocessing};
/// use cnn_data::{GaussianNoise, Image, Sample, Transform};
///
/// let record = Preprocessing {
///     input_size: [1, 32, 32],
///     ..Preprocessing::default()
/// };
/// let grey = Image::from_pixels(32, 32, 1, vec![128; 1024])?;
/// let noise = GaussianNoise::new(0.1, record)?;
/// let noisy = noise.apply(Sample::new(grey, None), &mut Key::new(0).rng())?;
/// let square = |byte: &u8| (f64::from(*byte) - 128.).powi(2);
/// let variance = noisy.image.bytes().iter().map(square).sum::<f64>() / 1024.;
/// assert!((variance.sqrt() - 25.5).abs() < 2.);
/// # Ok::<(), cnn_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianNoise {
    sigma: f64,
    record: Preprocessing,
}

impl GaussianNoise {
    /// Noise of a standard deviation, as a share of the range from black to white, for a network that
    /// takes its images as `record` says.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `sigma` is not in `0..=1`.
    pub fn new(sigma: f64, record: Preprocessing) -> Result<Self, Error> {
        Ok(Self {
            sigma: within("noise", sigma, 0.0..=1.0)?,
            record,
        })
    }

    /// The image at the input's size.
    fn seen(&self, image: Image) -> Result<Image, Error> {
        let size = [image.height(), image.width()];
        if size == [self.record.height(), self.record.width()] {
            return Ok(image);
        }
        resize_and_crop(&image, &self.record)
    }
}

impl Transform for GaussianNoise {
    fn apply(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        let seen = self.seen(sample.image)?;
        let [height, width, channels] = [seen.height(), seen.width(), seen.channels()];
        let scale = 255. * self.sigma;
        let noisy = |byte: u8| (f64::from(byte) + scale * rng.normal()).round() as u8;
        let bytes = seen.into_bytes().into_iter().map(noisy).collect();
        let image = Image::from_pixels(height, width, channels, bytes)?;
        Ok(Sample::new(image, sample.label))
    }
}
