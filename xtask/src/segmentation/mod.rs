//! Networks for pixels in the commands: their arguments, data and augmentation.

mod best;
mod evaluate;
mod measure;
mod pictures;
mod predict;

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use cnn_data::{
    Augmentation, ClassCrop, ColorJitter, Dataset, ElasticDeformation, RandomHorizontalFlip,
    RandomRotation,
};
use cnn_models::SegmentationNetwork;
use cnn_train::{
    PixelCounts, PixelLossKind, PixelLossSum, PixelLossTerm, PixelWeighting, SegmentOptions,
    Tiling, TrainingData, check_mask_datasets,
};
use serde::{Deserialize, Serialize};

pub(crate) use self::best::BestSegmentation;
pub(crate) use self::evaluate::{Evaluation, evaluate};
pub(crate) use self::predict::predict;
use crate::args::{Unusable, positive};
use crate::datasets::{MaskOptions, Source};
use crate::training::{Augment, MOSAIC_NEEDS_BOXES, TrainingArgs};

/// The network that a classifier's weights become the backbone of, and that of fresh weights in
/// fine-tuning, where none is named.
pub(crate) const OVER_CLASSIFIER: &str = "smp_unet";

/// What is said of masks.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub(crate) struct MaskArgs {
    /// Of masks: a file with the names of their classes, or names and colors, as `classes.txt`
    #[arg(long, value_name = "FILE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    classes: Option<PathBuf>,

    /// Of masks: the number that stands for no class; 255 does already
    #[arg(long, value_name = "N")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ignore_index: Option<u8>,
}

impl MaskArgs {
    /// The same with paths that hold from anywhere.
    pub(crate) fn absolute(&self) -> Result<Self> {
        let classes = self.classes.as_ref();
        Ok(Self {
            classes: classes.map(std::path::absolute).transpose()?,
            ..self.clone()
        })
    }

    /// The data that `--data` names.
    pub(crate) fn source(&self, data: &str) -> Result<Source> {
        Source::parse(data)?.with_masks(&MaskOptions {
            classes: self.classes.clone(),
            ignored: self.ignore_index,
        })
    }
}

/// What is minimised.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub(crate) struct PixelLossArgs {
    /// Of segmentation: what is minimised, as `dice+0.5*focal:gamma=2`; default
    /// `cross-entropy+dice`
    #[arg(long, value_name = "LOSS")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loss: Option<PixelLossSum>,

    /// Of segmentation: how much the pixels of each class weigh in cross-entropy and focal loss:
    /// `inverse` to their share of the training masks, `median` (Eigen and Fergus 2015), or
    /// weights, as 1+2.5+4
    #[arg(long, value_name = "WEIGHTS")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class_weights: Option<PixelWeighting>,
}

impl PixelLossArgs {
    /// The loss for masks as those of this dataset.
    pub(crate) fn loss(&self, dataset: &dyn Dataset) -> Result<PixelLossSum> {
        let loss = self.loss.clone().unwrap_or_else(default_loss);
        let Some(weighting) = &self.class_weights else {
            return Ok(loss);
        };
        let counts = match weighting {
            PixelWeighting::Given(_) => PixelCounts::new(dataset.mask_classes().len()),
            PixelWeighting::Inverse | PixelWeighting::Median => pixel_counts(dataset, usize::MAX)?,
        };
        let weights = weighting.weights(&counts);
        weights
            .and_then(|weights| loss.with_class_weights(&weights))
            .context(Unusable)
    }
}

/// What [`MaskArgs`] are called.
pub(crate) const MASK_FLAGS: [&str; 2] = ["classes", "ignore_index"];

/// What [`SegmentArgs`] are called.
pub(crate) const SEGMENT_FLAGS: [&str; 4] = ["tile", "overlap", "mirror", "scales"];

/// How photos are segmented.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SegmentArgs {
    /// Of networks for pixels: cut photos into tiles of so many pixels a side, a multiple of 32, so
    /// that the memory does not grow with them
    #[arg(long, value_name = "PIXELS")]
    tile: Option<usize>,

    /// Of networks for pixels: pixels that neighbouring tiles share; default a quarter
    #[arg(long, value_name = "PIXELS", requires = "tile")]
    overlap: Option<usize>,

    /// Of networks for pixels: average with the mirrored photo
    #[arg(long)]
    mirror: bool,

    /// Of networks for pixels: average over these sizes, as 0.75,1,1.25
    #[arg(long, value_name = "SCALES", value_delimiter = ',', value_parser = positive)]
    scales: Vec<f64>,
}

impl SegmentArgs {
    pub(crate) fn options(&self) -> Result<SegmentOptions> {
        let tiling = match (self.tile, self.overlap) {
            (None, _) => None,
            (Some(size), None) => Some(Tiling::new(size).context(Unusable)?),
            (Some(size), Some(overlap)) => Some(
                Tiling::new(size)
                    .and_then(|tiling| tiling.with_overlap(overlap))
                    .context(Unusable)?,
            ),
        };
        let options = SegmentOptions {
            tiling,
            mirror: self.mirror,
            scales: match &self.scales[..] {
                [] => vec![1.],
                scales => scales.to_vec(),
            },
        };
        options.validate().context(Unusable)?;
        Ok(options)
    }
}

/// Opens the images of a run, with their masks.
pub(crate) fn open_data(
    data: &str,
    masks: &MaskArgs,
    training: &TrainingArgs,
) -> Result<TrainingData> {
    let opened = training.open_annotated(&masks.source(data)?, data)?;
    check_mask_datasets(opened.train().as_ref(), opened.val().as_ref())
        .with_context(|| data.to_string())?;
    Ok(opened)
}

/// What is minimised where nothing is said: the likelihood of every pixel's class and the overlap of
/// the regions.
pub(crate) fn default_loss() -> PixelLossSum {
    let terms = [
        PixelLossKind::CrossEntropy(Default::default()),
        PixelLossKind::Dice(Default::default()),
    ];
    PixelLossSum {
        terms: terms.map(|loss| PixelLossTerm { weight: 1., loss }).into(),
    }
}

/// Rows and columns of training images where nothing is said: those of the first image that can be
/// read, to a multiple of 32 and at most 512.
pub(crate) fn default_size(dataset: &dyn Dataset) -> [usize; 2] {
    const MOST: usize = 512;
    let mut images = (0..dataset.len()).map(|index| dataset.read(index));
    let first = images.find_map(Result::ok);
    let [height, width] = first.map_or([MOST; 2], |sample| {
        [sample.image.height(), sample.image.width()]
    });
    [height, width].map(|side| (side.min(MOST) / 32 * 32).max(32))
}

/// What is done to training images and masks: they are turned, deformed, cut at a random scale so
/// that rare classes are as often in the part as others, mirrored, and given other colors.
pub(crate) fn augmentation(
    training: &TrainingArgs,
    dataset: &dyn Dataset,
    network: &SegmentationNetwork,
) -> Result<Augmentation> {
    let [_, height, width] = network.preprocessing().input_size;
    let mut augmentation = Augmentation::new();
    if training.rotate != 0. {
        augmentation = augmentation.then(RandomRotation::new(training.rotate).context(Unusable)?);
    }
    if training.elastic != 0. {
        let elastic = ElasticDeformation::new(training.elastic).context(Unusable)?;
        augmentation = augmentation.then(elastic);
    }
    // The scales of the parts that are cut out; none are where images of few pixels show their
    // objects at one size, and whole.
    let scales = match training.augment {
        Augment::None => None,
        Augment::Auto if height.max(width) <= 64 => None,
        Augment::CropFlip => Some([1., 1.]),
        Augment::Auto | Augment::ResizedCrop => Some([0.5, 2.]),
        Augment::Mosaic => return Err(anyhow!(MOSAIC_NEEDS_BOXES).context(Unusable)),
    };
    if let Some([low, high]) = scales {
        let crop = ClassCrop::new(height, width, &shares(dataset)?)
            .and_then(|crop| crop.with_scale(low, high))
            .context(Unusable)?;
        augmentation = augmentation.then(crop);
    }
    if training.augment != Augment::None {
        augmentation = augmentation.then(RandomHorizontalFlip::new(0.5)?);
    }
    if training.color_jitter != 0. {
        let share = training.color_jitter;
        let jitter = ColorJitter::new(share, share, share, 0.).context(Unusable)?;
        augmentation = augmentation.then(jitter);
    }
    Ok(augmentation)
}

/// The share of each class of the pixels of some hundred masks.
fn shares(dataset: &dyn Dataset) -> Result<Vec<f64>> {
    let counts = pixel_counts(dataset, 200)?;
    let all: u64 = counts.pixels().iter().sum();
    let shares = counts.pixels().iter();
    Ok(shares
        .map(|&pixels| pixels as f64 / all.max(1) as f64)
        .collect())
}

/// How many pixels each class has in so many masks, taken at equal distances.
fn pixel_counts(dataset: &dyn Dataset, masks: usize) -> Result<PixelCounts> {
    let mut counts = PixelCounts::new(dataset.mask_classes().len());
    let step = dataset.len().div_ceil(masks).max(1);
    for index in (0..dataset.len()).step_by(step) {
        // What cannot be read is skipped and named in training.
        let Ok(sample) = dataset.read(index) else {
            continue;
        };
        if let Some(mask) = sample.mask {
            counts.add(mask.bytes())?;
        }
    }
    Ok(counts)
}
