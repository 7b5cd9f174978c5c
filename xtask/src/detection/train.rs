//! What training networks that find objects needs: its arguments, data and augmentation.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;
use cnn_data::{Augmentation, Dataset};
use cnn_models::{DetectionNetwork, ModelSpec};
use cnn_train::{BoxAugmentationPolicy, BoxCropping, TrainingData, check_box_datasets};
use serde::{Deserialize, Serialize};

use crate::args::{Unusable, share, share_or_all};
use crate::datasets::Source;
use crate::training::{Augment, TrainingArgs};

/// What is said of training with boxes.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub(crate) struct BoxTrainingArgs {
    /// Of detection: how many epochs at the end have no mosaics, and the network's loss for them;
    /// default a third
    #[arg(long, value_name = "EPOCHS")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    late_epochs: Option<usize>,

    /// Of detection: train on inputs that are smaller and larger by up to this share, drawn for
    /// every ten batches; default 0, YOLOX has about 0.3
    #[arg(long, value_name = "SHARE", value_parser = share)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    multi_scale: Option<f64>,

    /// Of detection: the probability that two images with their objects are laid over each other, as
    /// YOLOX does for its larger networks; default 0
    #[arg(long, value_name = "P", value_parser = share_or_all)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    box_mixup: Option<f64>,
}

/// Up to so many pixels an input is small.
const SMALL: usize = 128;

/// How a network is trained with boxes.
pub(crate) struct BoxTraining {
    pub(crate) augmentation: Augmentation,
    /// Of the last epochs.
    pub(crate) late_augmentation: Augmentation,
    pub(crate) late_epochs: usize,
    /// Of inputs; empty where they have one size.
    pub(crate) sizes: Vec<[usize; 2]>,
}

impl BoxTrainingArgs {
    /// What training a network for so many epochs takes.
    pub(crate) fn resolve(
        &self,
        training: &TrainingArgs,
        network: &DetectionNetwork,
        dataset: &Arc<dyn Dataset>,
        epochs: usize,
    ) -> Result<BoxTraining> {
        let record = network.preprocessing();
        let [_, height, width] = record.input_size;
        let policy = BoxAugmentationPolicy {
            cropping: match training.augment {
                // What is small already is not to be seen at half its size.
                Augment::Auto if height.max(width) <= SMALL => BoxCropping::Mirror,
                Augment::Auto | Augment::Mosaic => BoxCropping::Mosaic,
                Augment::CropFlip | Augment::ResizedCrop => BoxCropping::Crop,
                Augment::None => BoxCropping::None,
            },
            mixup: self.box_mixup.unwrap_or(0.),
            rotation: training.rotate,
            color_jitter: training.color_jitter,
            ..BoxAugmentationPolicy::default()
        };
        let augmentation = |policy: BoxAugmentationPolicy| {
            let augmentation = policy.augmentation(record, dataset);
            augmentation.context(Unusable)
        };
        let step = network.model().size_step();
        Ok(BoxTraining {
            augmentation: augmentation(policy)?,
            late_augmentation: augmentation(policy.late())?,
            late_epochs: self.late_epochs.unwrap_or(epochs / 3),
            sizes: sizes([height, width], step, self.multi_scale.unwrap_or(0.)),
        })
    }
}

/// Sizes around one, whose longer side differs by whole steps and by up to a share; none where
/// there is only that one.
fn sizes([height, width]: [usize; 2], step: usize, share: f64) -> Vec<[usize; 2]> {
    let longer = height.max(width);
    let steps = (share * longer as f64 / step as f64) as i64;
    if steps == 0 {
        return Vec::new();
    }
    let size = |more: i64| {
        let factor = (longer as i64 + more * step as i64) as f64 / longer as f64;
        [height, width].map(|side| {
            let steps = (factor * side as f64 / step as f64).round() as usize;
            steps.max(1) * step
        })
    };
    (-steps..=steps).map(size).collect()
}

/// Opens the images of a run, with their boxes.
pub(crate) fn open_data(data: &str, training: &TrainingArgs) -> Result<TrainingData> {
    let opened = training.open_annotated(&Source::parse(data)?, data)?;
    check_box_datasets(opened.train().as_ref(), opened.val().as_ref())
        .with_context(|| data.to_string())?;
    Ok(opened)
}

/// Rows and columns of the input where nothing is said: of the network's own where photos are
/// larger; of smaller ones three times their size, at most that, so that the places that a detector
/// looks at are near enough to each other for what is in them.
pub(crate) fn input_size(dataset: &dyn Dataset, spec: &ModelSpec) -> [usize; 2] {
    let [_, height, width] = spec.preprocessing().input_size;
    let own = [height, width];
    let mut images = (0..dataset.len()).map(|index| dataset.read(index));
    let Some(first) = images.find_map(Result::ok) else {
        return own;
    };
    let sides = [first.image.height(), first.image.width()];
    [0, 1].map(|axis| {
        let wanted = (3 * sides[axis]).next_multiple_of(32);
        wanted.min(own[axis])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_lie_around_the_inputs() {
        assert_eq!(sizes([416, 416], 32, 0.), Vec::<[usize; 2]>::new());
        assert_eq!(sizes([416, 416], 32, 0.05), Vec::<[usize; 2]>::new());
        assert_eq!(
            sizes([416, 416], 32, 0.1),
            [[384, 384], [416, 416], [448, 448]]
        );
        assert_eq!(
            sizes([192, 416], 32, 0.1),
            [[192, 384], [192, 416], [192, 448]]
        );
    }
}
