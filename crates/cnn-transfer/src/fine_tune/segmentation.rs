//! What fine-tuning a network for pixels has of its own.

use std::collections::BTreeMap;
use std::path::Path;

use cnn_data::Dataset;
use cnn_layers::{LayerGroup, Segmenter};
use cnn_models::ModelKind;
use cnn_train::{
    PixelCrossEntropy, PixelLossKind, PixelLossSum, Segmentation, TrainSummary, check_mask_datasets,
};

use super::{SegmentationFineTune, Tunable};
use crate::{Error, Phase};

/// What can be chosen for networks for pixels alone.
pub struct SegmentationOptions {
    loss: PixelLossSum,
}

impl Default for SegmentationOptions {
    fn default() -> Self {
        let loss = PixelLossKind::CrossEntropy(PixelCrossEntropy::default());
        Self { loss: loss.into() }
    }
}

impl Tunable for dyn Segmenter {
    type Options = SegmentationOptions;

    fn classes(data: &dyn Dataset) -> &[String] {
        data.mask_classes()
    }

    fn check(train: &dyn Dataset, val: &dyn Dataset) -> Result<(), cnn_train::Error> {
        check_mask_datasets(train, val)
    }

    /// What lies behind the backbone is one group, for it starts anew together.
    fn tuned_groups(&self) -> Vec<LayerGroup> {
        let groups = ModelKind::layer_groups(self);
        let is_decoder = |group: &&LayerGroup| group.name == "decoder" || group.name == "head";
        let behind = groups.iter().filter(is_decoder);
        let modules: Vec<String> = behind.flat_map(|group| group.modules.clone()).collect();
        let backbone = groups.iter().filter(|group| !is_decoder(group)).cloned();
        backbone.chain([LayerGroup::new("head", modules)]).collect()
    }

    fn reads_features(_: &SegmentationFineTune<'_>, _: &Phase) -> Result<bool, Error> {
        Ok(false)
    }

    fn run_phase(
        tune: &mut SegmentationFineTune<'_>,
        phase: &Phase,
        place: Option<usize>,
        directory: &Path,
        skipped: &mut BTreeMap<String, String>,
    ) -> Result<Option<TrainSummary>, Error> {
        let mut step = tune.gradient_step();
        let task = |tune: &SegmentationFineTune<'_>| {
            let train = tune.train.clone();
            let val = tune.val.clone();
            let record = tune.network.preprocessing().clone();
            let task = Segmentation::new(train, val, record, |mode| tune.network.build(mode))?;
            Ok(task
                .with_batch_size(tune.batch_size())?
                .with_augmentation(tune.augmentation.clone())
                .with_loss(tune.options.loss.clone()))
        };
        tune.run_on_images(phase, place, directory, skipped, task, &mut step)
    }
}

impl SegmentationFineTune<'_> {
    /// What is minimised; default cross-entropy.
    #[must_use]
    pub fn with_loss(self, loss: PixelLossSum) -> Self {
        Self {
            options: SegmentationOptions { loss },
            ..self
        }
    }
}
