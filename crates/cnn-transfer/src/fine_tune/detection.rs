//! What fine-tuning a network that finds objects has of its own.

use std::collections::BTreeMap;
use std::path::Path;

use cnn_data::{Augmentation, Dataset};
use cnn_layers::{Detector, LayerGroup};
use cnn_models::ModelKind;
use cnn_train::{Detection, TrainSummary, check_box_datasets};

use super::{DetectionFineTune, Tunable};
use crate::{Error, Phase};

/// What can be chosen for networks that find objects alone.
#[derive(Default)]
pub struct DetectionOptions {
    /// The epochs at the end of each phase that are another kind, and what is done to images there.
    late: Option<(usize, Augmentation)>,
    sizes: Vec<[usize; 2]>,
}

impl Tunable for dyn Detector {
    type Options = DetectionOptions;

    fn classes(data: &dyn Dataset) -> &[String] {
        data.classes()
    }

    fn check(train: &dyn Dataset, val: &dyn Dataset) -> Result<(), cnn_train::Error> {
        check_box_datasets(train, val)
    }

    fn tuned_groups(&self) -> Vec<LayerGroup> {
        ModelKind::layer_groups(self).to_vec()
    }

    fn reads_features(_: &DetectionFineTune<'_>, _: &Phase) -> Result<bool, Error> {
        Ok(false)
    }

    fn run_phase(
        tune: &mut DetectionFineTune<'_>,
        phase: &Phase,
        place: Option<usize>,
        directory: &Path,
        skipped: &mut BTreeMap<String, String>,
    ) -> Result<Option<TrainSummary>, Error> {
        let mut step = tune.gradient_step();
        let task = |tune: &DetectionFineTune<'_>| {
            let train = tune.train.clone();
            let val = tune.val.clone();
            let record = tune.network.preprocessing().clone();
            let task = Detection::new(train, val, record, |mode| tune.network.build(mode))?
                .with_batch_size(tune.batch_size())?
                .with_augmentation(tune.augmentation.clone())
                .with_sizes(tune.options.sizes.clone())?;
            Ok(match &tune.options.late {
                Some((epochs, augmentation)) => {
                    let from = phase.epochs.saturating_sub(*epochs);
                    task.with_late_augmentation(from, augmentation.clone())
                }
                None => task,
            })
        };
        tune.run_on_images(phase, place, directory, skipped, task, &mut step)
    }
}

impl DetectionFineTune<'_> {
    /// What to do to each training image in the last epochs of each phase, so many, in which the
    /// network has the loss of its last epochs, too; as
    /// [`Detection::with_late_augmentation`].
    #[must_use]
    pub fn with_late_augmentation(mut self, epochs: usize, augmentation: Augmentation) -> Self {
        self.options.late = Some((epochs, augmentation));
        self
    }

    /// Heights and widths of inputs, one of which is drawn for every ten batches; as
    /// [`Detection::with_sizes`].
    #[must_use]
    pub fn with_sizes(mut self, sizes: Vec<[usize; 2]>) -> Self {
        self.options.sizes = sizes;
        self
    }
}
