//! How well a network finds the objects of a dataset.

use std::sync::Arc;

use cnn_data::{Dataset, Skipped};
use cnn_layers::{DetectionLimits, Mode};
use cnn_metrics::DetectionMetrics;
use cnn_models::DetectionNetwork;
use cnn_train::{PhotoObjects, score_detections};

use crate::{ClassMatch, Error, match_object_classes};

/// What [`measure_detection`] finds.
pub struct DetectionMeasured {
    /// What the metrics are counted from.
    pub metrics: DetectionMetrics,
    /// Every photo that could be read, in the dataset's order, with classes as the dataset has them.
    pub photos: Vec<PhotoObjects>,
    /// The photos that could not be read.
    pub skipped: Vec<Skipped>,
    /// What whoever reads the figures has to know, in sentences.
    pub notes: Vec<String>,
}

/// Finds the objects in all photos of a dataset, `batch_size` at a time, and compares with its
/// boxes. Which class of the network is which of the dataset, [`match_object_classes`] says; found
/// objects of other classes are left out. After each photo `progress` is told.
///
/// # Errors
/// [`Error::NoBoxes`] if the images have none, and as [`match_object_classes`] and
/// [`score_detections`].
pub fn measure_detection(
    network: &DetectionNetwork,
    dataset: &Arc<dyn Dataset>,
    limits: &DetectionLimits,
    batch_size: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<DetectionMeasured, Error> {
    if !dataset.has_boxes() {
        return Err(Error::NoBoxes);
    }
    let ClassMatch { numbers, note } = match_object_classes(network, dataset.as_ref())?;
    let class_of = |of_network: usize| {
        numbers
            .iter()
            .position(|&number| number == Some(of_network))
    };
    let model = network.build(Mode::Inference)?;
    let mut photos = Vec::with_capacity(dataset.len());
    let (scores, skipped) = score_detections(
        model.as_ref(),
        dataset,
        network.preprocessing(),
        limits,
        batch_size,
        &class_of,
        &mut |photo| {
            progress(1);
            photos.push(photo);
        },
    )?;
    Ok(DetectionMeasured {
        metrics: scores.into_metrics(),
        photos,
        skipped,
        notes: note.into_iter().collect(),
    })
}
