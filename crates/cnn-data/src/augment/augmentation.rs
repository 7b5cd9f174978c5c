//! A list of transforms.

use std::fmt;
use std::sync::Arc;

use cnn_core::Rng;

use super::Transform;
use crate::{Error, Sample};

/// Transforms that are applied one after the other; cheap to clone.
///
/// ```
/// use cnn_core::Key;
/// use cnn_data::{Augmentation, Image, RandomCrop, RandomHorizontalFlip, Sample, Transform};
///
/// let augmentation = Augmentation::new()
///     .then(RandomCrop::new(32, 32)?.with_padding(4)?)
///     .then(RandomHorizontalFlip::new(0.5)?);
/// let sample = Sample::new(
///     Image::from_pixels(32, 32, 3, vec![90; 32 * 32 * 3])?,
///     Some(7),
/// );
/// let key = Key::new(0).stream("augment").at(12);
/// let augmented = augmentation.apply(sample.clone(), &mut key.rng())?;
/// assert_eq!(augmented, augmentation.apply(sample, &mut key.rng())?);
/// # Ok::<(), cnn_data::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Augmentation {
    steps: Vec<Arc<dyn Transform>>,
}

impl Augmentation {
    /// No transforms: samples stay as they are.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same list with one transform more at its end.
    #[must_use]
    pub fn then(mut self, transform: impl Transform + 'static) -> Self {
        self.steps.push(Arc::new(transform));
        self
    }

    /// The transforms in the order of their application.
    pub fn steps(&self) -> &[Arc<dyn Transform>] {
        &self.steps
    }
}

impl Transform for Augmentation {
    fn apply(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        self.steps
            .iter()
            .try_fold(sample, |sample, step| step.apply(sample, rng))
    }
}

impl fmt::Debug for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.steps).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::{RandomHorizontalFlip, RandomVerticalFlip};

    #[test]
    fn its_steps_can_be_read() {
        let inner = Augmentation::new().then(RandomVerticalFlip::new(1.0).unwrap());
        let augmentation = Augmentation::new()
            .then(RandomHorizontalFlip::new(0.5).unwrap())
            .then(inner);
        assert_eq!(
            format!("{augmentation:?}"),
            "[RandomHorizontalFlip { p: 0.5 }, [RandomVerticalFlip { p: 1.0 }]]"
        );
        assert_eq!(augmentation.steps().len(), 2);
    }
}
