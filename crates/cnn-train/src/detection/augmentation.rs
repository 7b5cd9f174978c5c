//! What is done to training images with boxes, from a few settings and the network's input.

use std::sync::Arc;

use cnn_core::Preprocessing;
use cnn_data::{
    Augmentation, ColorJitter, Dataset, HsvJitter, Mosaic, ObjectMixup, PhotometricDistortion,
    RandomHorizontalFlip, RandomIouCrop, RandomRotation, RandomZoomOut,
};

use crate::Error;

/// What is done to training images with boxes. Default: mosaics of half to one and a half the size,
/// no mixup, as for the small networks of YOLOX.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoxAugmentationPolicy {
    /// How images are put together or cut, mirrored and recolored. Default
    /// [`BoxCropping::Mosaic`].
    pub cropping: BoxCropping,
    /// The probability that an image is part of a mosaic, where there are some. Default 1.
    pub mosaic: f64,
    /// The smallest and the largest factor of size in a mosaic. Default 0.5 and 1.5.
    pub scale: [f64; 2],
    /// The probability that two mosaics' images are laid over each other. Default 0.
    pub mixup: f64,
    /// Images are turned by up to so many degrees either way. Default 0.
    pub rotation: f64,
    /// Brightness, contrast and saturation change by up to this share. Default 0.
    pub color_jitter: f64,
}

/// How training images with boxes are put together or cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BoxCropping {
    /// Images stay as they are.
    None,
    /// Colors change a little, and half of the images are mirrored: how YOLOX ends its training.
    Mirror,
    /// SSD's: colors change, an image becomes a small one on a canvas or a part of it with some
    /// object is cut out, and half of the images are mirrored.
    Crop,
    /// YOLOX's: four images in one, colors change a little, half of the images are mirrored.
    #[default]
    Mosaic,
}

impl Default for BoxAugmentationPolicy {
    fn default() -> Self {
        Self {
            cropping: BoxCropping::Mosaic,
            mosaic: 1.,
            scale: [0.5, 1.5],
            mixup: 0.,
            rotation: 0.,
            color_jitter: 0.,
        }
    }
}

impl BoxAugmentationPolicy {
    /// The transforms for a network that takes its images as `record` says, with further images
    /// from `dataset`.
    ///
    /// # Errors
    /// [`Error::Data`] if a setting is out of its range; it is named.
    pub fn augmentation(
        &self,
        record: &Preprocessing,
        dataset: &Arc<dyn Dataset>,
    ) -> Result<Augmentation, Error> {
        let [_, height, width] = record.input_size;
        let mut augmentation = Augmentation::new();
        if self.rotation != 0. {
            augmentation = augmentation.then(RandomRotation::new(self.rotation)?);
        }
        if self.color_jitter != 0. {
            let share = self.color_jitter;
            augmentation = augmentation.then(ColorJitter::new(share, share, share, 0.)?);
        }
        augmentation = match self.cropping {
            BoxCropping::Mosaic => {
                let mosaic = Mosaic::new(dataset.clone(), height, width)?
                    .with_prob(self.mosaic)?
                    .with_scale(self.scale[0], self.scale[1])?;
                augmentation.then(mosaic)
            }
            BoxCropping::Crop => augmentation
                .then(PhotometricDistortion::new(0.5)?)
                .then(RandomZoomOut::new(0.5)?)
                .then(RandomIouCrop::default()),
            BoxCropping::Mirror | BoxCropping::None => augmentation,
        };
        if self.mixup != 0. {
            let mixup = ObjectMixup::new(dataset.clone())?.with_prob(self.mixup)?;
            augmentation = augmentation.then(mixup);
        }
        if matches!(self.cropping, BoxCropping::Mosaic | BoxCropping::Mirror) {
            let [hue, saturation, value] = [5. / 180., 30. / 255., 30. / 255.];
            augmentation = augmentation.then(HsvJitter::new(hue, saturation, value)?);
        }
        Ok(match self.cropping {
            BoxCropping::None => augmentation,
            _ => augmentation.then(RandomHorizontalFlip::new(0.5)?),
        })
    }

    /// The same for the last epochs, without mosaics and mixup, so that images are as those that the
    /// network will be used on.
    #[must_use]
    pub fn late(&self) -> Self {
        let cropping = match self.cropping {
            BoxCropping::Mosaic => BoxCropping::Mirror,
            other => other,
        };
        Self {
            cropping,
            mixup: 0.,
            ..*self
        }
    }
}
