//! What is done to training images, from a few settings and the network's input.

use cnn_core::Preprocessing;
use cnn_data::{
    Augmentation, BatchMix, ColorJitter, CutMix, ElasticDeformation, GaussianNoise, Mixup,
    RandomCrop, RandomErasing, RandomHorizontalFlip, RandomResizedCrop, RandomRotation, Resize,
};

use crate::Error;

/// What is done to training images.
///
/// In this order: a rotation, a cut with a mirror image, a change of colours, an erased rectangle,
/// noise. Default: [`Cropping::Auto`] alone, with cuts of 8 to 100 % of the image.
///
/// ```
/// use cnn_core::Preprocessing;
/// use cnn_train::AugmentationPolicy;
///
/// let policy = AugmentationPolicy {
///     erasing: 0.25,
///     ..AugmentationPolicy::default()
/// };
/// let small = Preprocessing {
///     input_size: [3, 32, 32],
///     ..Preprocessing::default()
/// };
/// // Resize, shifted crop, mirror image, erasing.
/// assert_eq!(policy.augmentation(&small)?.steps().len(), 4);
/// # Ok::<(), cnn_train::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AugmentationPolicy {
    /// How images are cut and mirrored. Default [`Cropping::Auto`].
    pub cropping: Cropping,
    /// The least share of the image's area that [`Cropping::ResizedCrop`] leaves, above 0 and at
    /// most 1. Default 0.08, as for ImageNet (Szegedy et al. 2014).
    pub smallest_crop: f64,
    /// Images are turned by up to so many degrees either way. Default 0.
    pub rotation: f64,
    /// The standard deviation in pixels of a smooth random deformation (Ronneberger et al. 2015,
    /// <https://arxiv.org/abs/1505.04597>, who take 10 for images of 512 pixels). Default 0.
    pub elastic: f64,
    /// Brightness, contrast and saturation change by up to this share. Default 0.
    pub color_jitter: f64,
    /// The probability that a rectangle is erased (Zhong et al. 2017), in 0..=1. Default 0.
    pub erasing: f64,
    /// The standard deviation of normal noise, as a share of the range from black to white, in
    /// 0..=1. Default 0.
    pub noise: f64,
}

/// How training images are cut and mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cropping {
    /// [`None`](Self::None) for inputs of one channel, [`CropFlip`](Self::CropFlip) for inputs
    /// whose shorter side has up to 64 pixels, else [`ResizedCrop`](Self::ResizedCrop).
    #[default]
    Auto,
    /// Images are neither cut nor mirrored: the network's preprocessing alone resizes them.
    None,
    /// Images are resized to the input, shifted by up to an eighth of its shorter side, and half of
    /// them are mirrored, as is common for CIFAR.
    CropFlip,
    /// A part of random size and shape is cut out and resized to the input, and half of the images
    /// are mirrored, as is common for ImageNet.
    ResizedCrop,
}

/// How the images of a batch are mixed with each other. Default: they are not.
///
/// Where both are on, each batch has one of them, with equal probability.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MixPolicy {
    /// The parameter of mixup's beta distribution (Zhang et al. 2017): 0.2 is common, 0 is off.
    pub mixup: f64,
    /// The parameter of CutMix's beta distribution (Yun et al. 2019): 1 is common, 0 is off.
    pub cutmix: f64,
}

/// Up to this size of its shorter side an input is small.
const SMALL_INPUT: usize = 64;
/// A small image is shifted by up to this part of the input's shorter side.
const SHIFT: usize = 8;

impl Default for AugmentationPolicy {
    fn default() -> Self {
        Self {
            cropping: Cropping::Auto,
            smallest_crop: 0.08,
            rotation: 0.,
            elastic: 0.,
            color_jitter: 0.,
            erasing: 0.,
            noise: 0.,
        }
    }
}

impl AugmentationPolicy {
    /// The default for fine-tuning: cuts leave at least 35 % of the image, since less would often
    /// show another thing than the label says, and there are too few images to learn that from.
    pub fn fine_tuning() -> Self {
        Self {
            smallest_crop: 0.35,
            ..Self::default()
        }
    }

    /// The transforms for a network that takes its images as `record` says.
    ///
    /// # Errors
    /// [`Error::Data`] if a setting is out of its range; it is named.
    pub fn augmentation(&self, record: &Preprocessing) -> Result<Augmentation, Error> {
        let [_, height, width] = record.input_size;
        let mut augmentation = Augmentation::new();
        if self.rotation != 0. {
            augmentation = augmentation.then(RandomRotation::new(self.rotation)?);
        }
        if self.elastic != 0. {
            augmentation = augmentation.then(ElasticDeformation::new(self.elastic)?);
        }
        augmentation = match self.cropping.resolved(record) {
            Cropping::CropFlip => {
                let shift = height.min(width) / SHIFT;
                let crop = RandomCrop::new(height, width)?.with_padding(shift)?;
                augmentation
                    .then(Resize::new(height, width)?)
                    .then(crop)
                    .then(RandomHorizontalFlip::new(0.5)?)
            }
            Cropping::ResizedCrop => {
                let crop =
                    RandomResizedCrop::new(height, width)?.with_scale(self.smallest_crop, 1.)?;
                augmentation
                    .then(crop)
                    .then(RandomHorizontalFlip::new(0.5)?)
            }
            Cropping::None | Cropping::Auto => augmentation,
        };
        if self.color_jitter != 0. {
            let share = self.color_jitter;
            augmentation = augmentation.then(ColorJitter::new(share, share, share, 0.)?);
        }
        if self.erasing != 0. {
            augmentation = augmentation.then(RandomErasing::new(self.erasing)?);
        }
        if self.noise != 0. {
            augmentation = augmentation.then(GaussianNoise::new(self.noise, record.clone())?);
        }
        Ok(augmentation)
    }
}

impl Cropping {
    /// What [`Auto`](Self::Auto) comes to for a network that takes its images as `record` says; any
    /// other is itself.
    #[must_use]
    pub fn resolved(self, record: &Preprocessing) -> Self {
        let [channels, height, width] = record.input_size;
        match self {
            Self::Auto if channels == 1 => Self::None,
            Self::Auto if height.min(width) <= SMALL_INPUT => Self::CropFlip,
            Self::Auto => Self::ResizedCrop,
            other => other,
        }
    }
}

impl MixPolicy {
    /// How batches are mixed; `None` where nothing is on.
    ///
    /// # Errors
    /// [`Error::Data`] for a parameter that is no positive number.
    pub fn mix(&self) -> Result<Option<BatchMix>, Error> {
        let mixup = (self.mixup != 0.)
            .then(|| Mixup::new(self.mixup))
            .transpose()?;
        let cutmix = (self.cutmix != 0.)
            .then(|| CutMix::new(self.cutmix))
            .transpose()?;
        Ok(match (mixup, cutmix) {
            (Some(mixup), Some(cutmix)) => Some(BatchMix::either(mixup, cutmix)),
            (mixup, cutmix) => mixup.map(BatchMix::mixup).or(cutmix.map(BatchMix::cutmix)),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn record(input_size: [usize; 3]) -> Preprocessing {
        Preprocessing {
            input_size,
            ..Preprocessing::default()
        }
    }

    /// The names of the transforms.
    fn steps(policy: AugmentationPolicy, input_size: [usize; 3]) -> Vec<String> {
        let augmentation = policy.augmentation(&record(input_size)).unwrap();
        let name = |step| {
            format!("{step:?}")
                .split([' ', '('])
                .next()
                .map(String::from)
        };
        augmentation.steps().iter().filter_map(name).collect()
    }

    #[test]
    fn auto_depends_on_the_input() {
        let auto = AugmentationPolicy::default();
        assert!(steps(auto, [1, 224, 224]).is_empty());
        let small = ["Resize", "RandomCrop", "RandomHorizontalFlip"];
        assert_eq!(steps(auto, [3, 32, 32]), small);
        assert_eq!(steps(auto, [3, 64, 500]), small);
        let large = ["RandomResizedCrop", "RandomHorizontalFlip"];
        assert_eq!(steps(auto, [3, 65, 65]), large);
        // What is asked for is done, whatever the input.
        let asked = |cropping| AugmentationPolicy { cropping, ..auto };
        assert_eq!(steps(asked(Cropping::ResizedCrop), [1, 32, 32]), large);
        assert_eq!(steps(asked(Cropping::CropFlip), [3, 224, 224]), small);
        assert!(steps(asked(Cropping::None), [3, 224, 224]).is_empty());
    }

    #[test]
    fn settings_become_transforms_in_their_order() {
        let policy = AugmentationPolicy {
            rotation: 10.,
            elastic: 4.,
            color_jitter: 0.2,
            erasing: 0.5,
            noise: 0.25,
            ..AugmentationPolicy::default()
        };
        let expected = [
            "RandomRotation",
            "ElasticDeformation",
            "RandomResizedCrop",
            "RandomHorizontalFlip",
            "ColorJitter",
            "RandomErasing",
            "GaussianNoise",
        ];
        assert_eq!(steps(policy, [3, 224, 224]), expected);
        let fine_tuning = AugmentationPolicy::fine_tuning();
        let text = format!(
            "{:?}",
            fine_tuning.augmentation(&record([3, 224, 224])).unwrap()
        );
        assert!(text.contains("0.35"), "{text}");
    }

    #[test]
    fn settings_out_of_range_are_errors() {
        let auto = AugmentationPolicy::default();
        let wrong = [
            AugmentationPolicy {
                rotation: f64::NAN,
                ..auto
            },
            AugmentationPolicy {
                elastic: -1.,
                ..auto
            },
            AugmentationPolicy {
                color_jitter: -1.,
                ..auto
            },
            AugmentationPolicy {
                erasing: 1.5,
                ..auto
            },
            AugmentationPolicy { noise: 1.5, ..auto },
            AugmentationPolicy {
                smallest_crop: 0.,
                ..auto
            },
        ];
        for policy in wrong {
            let error = policy
                .augmentation(&record([3, 224, 224]))
                .map(|_| ())
                .unwrap_err();
            assert!(
                matches!(error, Error::Data(cnn_data::Error::Argument(_))),
                "{policy:?}: {error}"
            );
        }
    }

    #[test]
    fn mixing_is_off_one_of_two_or_either() {
        let mix = |mixup, cutmix| MixPolicy { mixup, cutmix }.mix();
        assert!(mix(0., 0.).unwrap().is_none());
        let text = |mixup, cutmix| format!("{:?}", mix(mixup, cutmix).unwrap().unwrap());
        assert!(text(0.2, 0.).contains("0.2") && !text(0.2, 0.).contains("CutMix"));
        assert!(text(0., 0.7).contains("0.7") && !text(0., 0.7).contains("Mixup"));
        assert!(text(0.2, 0.7).contains("0.2") && text(0.2, 0.7).contains("0.7"));
        assert!(mix(-1., 0.).is_err() && mix(0., f64::NAN).is_err());
    }
}
