//! Normal noise on what a network sees.

use cnn_core::{Preprocessing, Rng};

use super::Transform;
use super::arguments::within;
use crate::{Error, Image, Sample, resize_and_crop};

/// Adds normal noise to each value by itself: `x + σ n`, rounded to bytes and clipped to their
/// range.
///
/// A network that learns from such images keeps its answers under noise, which randomised smoothing
/// (Cohen et al. 2019, arXiv:1902.02918) makes certificates of. An image that has not a network's
/// input size yet is resized and cropped to it first, so that the noise is that of the input; its
/// boxes and its mask are then left out, since they are the photo's.
///
/// ```
/// use cnn_core::{Key, Preprocessing};
/// use cnn_data::{GaussianNoise, Image, Sample, Transform};
///
/// let record = Preprocessing {
///     input_size: [1, 32, 32],
///     mean: vec![0.5],
///     std: vec![0.5],
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
    /// Noise of a standard deviation, as a share of the range from black to white, for a network
    /// that takes its images as `record` says.
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

    /// The sample at the input's size.
    fn seen(&self, sample: Sample) -> Result<Sample, Error> {
        let size = [sample.image.height(), sample.image.width()];
        if size == [self.record.height(), self.record.width()] {
            return Ok(sample);
        }
        let image = resize_and_crop(&sample.image, &self.record)?;
        Ok(Sample::new(image, sample.label))
    }
}

impl Transform for GaussianNoise {
    fn apply(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        let mut seen = self.seen(sample)?;
        let image = &seen.image;
        let [height, width, channels] = [image.height(), image.width(), image.channels()];
        let scale = 255. * self.sigma;
        let noisy = |byte: u8| (f64::from(byte) + scale * rng.normal()).round() as u8;
        let bytes = image.bytes().iter().copied().map(noisy).collect();
        seen.image = Image::from_pixels(height, width, channels, bytes)?;
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cnn_core::Key;

    use super::*;

    fn flat(height: usize, width: usize, value: u8) -> Sample {
        let bytes = vec![value; height * width];
        Sample::new(
            Image::from_pixels(height, width, 1, bytes).unwrap(),
            Some(2),
        )
    }

    fn noise(sigma: f64) -> GaussianNoise {
        let record = Preprocessing {
            input_size: [1, 40, 30],
            mean: vec![0.5],
            std: vec![0.5],
            ..Preprocessing::default()
        };
        GaussianNoise::new(sigma, record).unwrap()
    }

    fn deviation(bytes: &[u8], from: f64) -> f64 {
        let squares = bytes.iter().map(|&byte| (f64::from(byte) - from).powi(2));
        (squares.sum::<f64>() / bytes.len() as f64).sqrt()
    }

    #[test]
    fn a_photo_gets_the_noise_of_the_input_whatever_its_size() {
        for (height, width) in [(40, 30), (400, 300), (80, 30)] {
            let sample = flat(height, width, 100);
            let noisy = noise(0.05).apply(sample, &mut Key::new(3).rng()).unwrap();
            assert_eq!((noisy.image.height(), noisy.image.width()), (40, 30));
            assert_eq!(noisy.label, Some(2));
            let found = deviation(noisy.image.bytes(), 100.);
            assert!((found - 12.75).abs() < 1., "{found}");
        }
    }

    #[test]
    fn values_stay_bytes_and_no_noise_changes_none() {
        let black = |sigma| {
            let noisy = noise(sigma).apply(flat(40, 30, 0), &mut Key::new(1).rng());
            noisy.unwrap().image
        };
        assert!(black(0.).bytes().iter().all(|byte| *byte == 0));
        // Half of the noise is clipped away.
        let zeros = black(0.2).bytes().iter().filter(|byte| **byte == 0).count();
        assert!((500..700).contains(&zeros), "{zeros}");
        let error = GaussianNoise::new(-0.1, Preprocessing::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`noise`: found -0.1, expected a number from 0 to 1"
        );
    }
}
