//! How good a network for pixels is on photos with masks.

use cnn_data::{Dataset, Image, Mask, Skipped};
use cnn_layers::Mode;
use cnn_metrics::{Bootstrap, SegmentationIntervals, SegmentationMetrics};
use cnn_models::SegmentationNetwork;
use cnn_train::{MeasuredSegmentation, SegmentOptions, SegmentationScores};

use crate::Error;

/// What [`measure_segmentation`] finds.
pub struct SegmentationMeasured {
    /// Loss and metrics over all pixels that count.
    pub measured: MeasuredSegmentation,
    /// What they were counted from.
    pub metrics: SegmentationMetrics,
    /// The images that could not be read, or have no mask.
    pub skipped: Vec<Skipped>,
}

impl SegmentationMeasured {
    /// 95 % intervals of mean IoU and of each class's, by bootstrap over the images.
    ///
    /// # Errors
    /// [`Error::Metrics`] if there are too few images.
    pub fn intervals(&self) -> Result<SegmentationIntervals, Error> {
        Ok(self.metrics.intervals(&Bootstrap::default())?)
    }
}

/// A photo that was segmented and compared with its mask.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct MeasuredPhoto<'a> {
    /// The photo.
    pub image: &'a Image,
    /// Its mask.
    pub truth: &'a Mask,
    /// What was predicted.
    pub predicted: &'a Mask,
}

/// Segments all photos of a dataset, each whole and in its own size, and compares with their masks.
/// After each photo `each` gets its number in the dataset and what came of it; `None` where it could
/// not be read.
///
/// # Errors
/// [`Error::NoMasks`] if the images have none, [`Error::Classes`] if the network has another number
/// of classes than the masks, [`Error::UnknownClasses`] if they have other names, and what
/// segmenting reports; not for an image that cannot be read.
pub fn measure_segmentation(
    network: &SegmentationNetwork,
    dataset: &dyn Dataset,
    options: &SegmentOptions,
    each: &mut dyn FnMut(usize, Option<MeasuredPhoto<'_>>),
) -> Result<SegmentationMeasured, Error> {
    check_classes(network, dataset.mask_classes())?;
    let classes = dataset.mask_classes().len();
    let model = network.build(Mode::Inference)?;
    let mut scores = SegmentationScores::new(classes)?;
    let mut skipped = Vec::new();
    for index in 0..dataset.len() {
        let read = dataset.read(index);
        let with_mask = read.map(|sample| Some((sample.image, sample.mask?)));
        let reason = match with_mask {
            Ok(Some((image, mask))) => {
                let record = network.preprocessing();
                let predicted = scores.add(model.as_ref(), &image, &mask, record, options)?;
                let photo = MeasuredPhoto {
                    image: &image,
                    truth: &mask,
                    predicted: &predicted,
                };
                each(index, Some(photo));
                continue;
            }
            Ok(None) => "it has no mask".to_string(),
            Err(error) => error.to_string(),
        };
        each(index, None);
        skipped.push(Skipped {
            path: dataset.id(index),
            reason,
        });
    }
    Ok(SegmentationMeasured {
        measured: scores.result()?,
        metrics: scores.into_metrics(),
        skipped,
    })
}

/// Fails unless the network's classes are those of the masks, in their order.
fn check_classes(network: &SegmentationNetwork, of_data: &[String]) -> Result<(), Error> {
    if of_data.is_empty() {
        return Err(Error::NoMasks);
    }
    let of_network = network.model().num_classes().max(2);
    if of_network != of_data.len() {
        return Err(Error::Classes {
            network: of_network,
            data: of_data.len(),
        });
    }
    let Some(known) = network.label_names() else {
        return Ok(());
    };
    let pairs = of_data.iter().zip(known);
    let unknown: Vec<String> = pairs
        .filter(|(data, known)| data.to_lowercase() != known.to_lowercase())
        .map(|(data, _)| data.clone())
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::UnknownClasses {
        model: network.spec().name,
        unknown,
        known: known.to_vec(),
    })
}
