//! Corruption of what a network sees.

use cnn_core::{Key, Preprocessing, Rng};
use cnn_data::{Sample, Transform, resize_and_crop};

use super::{Corruption, Severity};

/// Corrupts each image after it was resized and cropped to a network's input size, as CIFAR-10-C
/// and ImageNet-C are corrupted at 32 and 224 pixels. Boxes and masks stay those of the photo: it
/// is for classifiers.
///
/// Given to `BatchPlan::with_augmentation` of `cnn-data` it makes batches of
/// corrupted images.
#[derive(Clone, Debug)]
pub struct Corrupt {
    kind: Corruption,
    severity: Severity,
    record: Preprocessing,
}

impl Corrupt {
    /// A corruption of the images that `record` makes.
    pub fn new(kind: Corruption, severity: Severity, record: Preprocessing) -> Self {
        Self {
            kind,
            severity,
            record,
        }
    }
}

impl Transform for Corrupt {
    fn apply(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, cnn_data::Error> {
        let seen = resize_and_crop(&sample.image, &self.record)?;
        let key = Key::new(rng.next_u64());
        let image = self.kind.apply(&seen, self.severity, key);
        let image = image.map_err(cnn_data::Error::other)?;
        Ok(Sample::new(image, sample.label))
    }
}
