//! What all transforms have in common.

use std::fmt;

use cnn_core::Rng;

use crate::{Error, Sample};

/// A change of a sample, usually a random one.
///
/// A geometric transform draws its geometry once and applies it to image, boxes, mask and origin
/// alike: it calls [`Sample::transformed`]. A photometric transform changes the image alone. The
/// same sample and the same state of `rng` give the same result, to the byte.
///
/// ```
/// use cnn_core::{Key, Rng};
/// use cnn_data::{Error, Image, Sample, Transform};
///
/// #[derive(Debug)]
/// struct RandomInvert;
///
/// impl Transform for RandomInvert {
///     fn apply(&self, mut sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
///         if rng.bernoulli(0.5) {
///             let (height, width, channels) = (
///                 sample.image.height(),
///                 sample.image.width(),
///                 sample.image.channels(),
///             );
///             let bytes = sample
///                 .image
///                 .into_bytes()
///                 .into_iter()
///                 .map(|byte| 255 - byte)
///                 .collect();
///             sample.image = Image::from_pixels(height, width, channels, bytes)?;
///         }
///         Ok(sample)
///     }
/// }
///
/// let sample = Sample::new(Image::from_pixels(1, 2, 1, vec![0, 200])?, None);
/// let inverted = RandomInvert.apply(sample, &mut Key::new(0).rng())?;
/// assert!(
///     [[0, 200], [255, 55]]
///         .iter()
///         .any(|bytes| inverted.image.bytes() == bytes)
/// );
/// # Ok::<(), cnn_data::Error>(())
/// ```
pub trait Transform: fmt::Debug + Send + Sync {
    /// The changed sample; whatever is random is drawn from `rng`.
    ///
    /// # Errors
    ///
    /// What the transform says. Transforms of this crate check their arguments when they are made,
    /// and fail here only if they would make an image beyond [`Limits`](crate::Limits).
    fn apply(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, Error>;
}
