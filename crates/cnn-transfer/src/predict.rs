//! Which classes a network sees in photos.

use std::sync::Arc;

use cnn_data::{Dataset, Image, Skipped};
use cnn_layers::Mode;
use cnn_metrics::{Ranked, top_k};
use cnn_models::Network;
use cnn_train::PredictImages;
use serde::Serialize;

use crate::measure::for_each_batch;
use crate::{Error, known_class_names};

/// A class that a network sees in a photo.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PredictedClass {
    /// Its number, which is the place of its score.
    pub index: usize,
    /// Its name, where the network's names are known ([`known_class_names`]).
    pub name: Option<String>,
    /// Its probability, in 0..=1.
    pub probability: f64,
}

/// The classes that a network sees in the images of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetPredictions {
    /// Those of each image that could be read, in the dataset's order.
    pub images: Vec<PredictedImage>,
    /// What could not be read.
    pub skipped: Vec<Skipped>,
}

/// The classes that a network sees in an image of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictedImage {
    /// Its number in the dataset.
    pub index: usize,
    /// Its most probable classes, the most probable first.
    pub classes: Vec<PredictedClass>,
}

/// The most probable classes of photos, by name, from a [`Network`].
///
/// Each photo has its `min(k, classes)` most probable classes, the most probable first; of equal
/// ones the lower number first. Photos may be of any size: the network knows what it takes.
///
/// Each call builds the network for inference anew, since its weights may have changed: many photos
/// are faster in one call. [`PredictImages`] is the same for a
/// [`Classifier`](cnn_layers::Classifier), which is built once and kept.
///
/// ```
/// use cnn_data::Image;
/// use cnn_models::{ModelConfig, Network};
/// use cnn_transfer::Predict;
///
/// // `Network::load(path, &LoadOptions::default())` gives one that has learnt something, and
/// // `cnn_data::open_image("photo.jpg")` a photo.
/// let mut network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let names = [
///     "plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
/// ];
/// network.set_label_names(names.map(String::from).to_vec())?;
///
/// let photo = Image::from_pixels(30, 40, 3, vec![90; 30 * 40 * 3])?;
/// let classes = network.predict(&photo, 5)?;
/// assert_eq!(classes.len(), 5);
/// assert_eq!(classes[0].name.as_deref(), Some(names[classes[0].index]));
/// assert!(classes[0].probability >= classes[1].probability);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Predict {
    /// The most probable classes of a photo.
    ///
    /// # Errors
    /// As [`Predict::predict_images`].
    fn predict(&self, photo: &Image, k: usize) -> Result<Vec<PredictedClass>, Error>;

    /// The most probable classes of each photo, in their order.
    ///
    /// # Errors
    /// [`Error::Metrics`] if `k` is 0 or the network gives scores that are not numbers,
    /// [`Error::Data`] if a photo cannot be prepared, [`Error::Layer`] if the inputs do not fit the
    /// network.
    fn predict_images(&self, photos: &[Image], k: usize)
    -> Result<Vec<Vec<PredictedClass>>, Error>;

    /// The most probable classes of each readable image of a dataset, `batch_size` images at a
    /// time. After each batch `progress` is told how many images it had.
    ///
    /// # Errors
    /// As [`Predict::predict_images`]; [`Error::NothingReadable`], and [`Error::Data`] if the batch
    /// size is 0.
    fn predict_dataset(
        &self,
        dataset: &Arc<dyn Dataset>,
        batch_size: usize,
        k: usize,
        progress: &mut dyn FnMut(usize),
    ) -> Result<DatasetPredictions, Error>;
}

impl Predict for Network {
    fn predict(&self, photo: &Image, k: usize) -> Result<Vec<PredictedClass>, Error> {
        let predictions = self.predict_images(std::slice::from_ref(photo), k)?;
        Ok(predictions.into_iter().next().unwrap_or_default())
    }

    fn predict_images(
        &self,
        photos: &[Image],
        k: usize,
    ) -> Result<Vec<Vec<PredictedClass>>, Error> {
        let model = self.build(Mode::Inference)?;
        let names = known_class_names(self);
        let ranked = model.predict_images(photos, self.preprocessing(), k)?;
        let classes = |ranked: Vec<Ranked>| named(ranked, names.as_deref());
        Ok(ranked.into_iter().map(classes).collect())
    }

    fn predict_dataset(
        &self,
        dataset: &Arc<dyn Dataset>,
        batch_size: usize,
        k: usize,
        progress: &mut dyn FnMut(usize),
    ) -> Result<DatasetPredictions, Error> {
        let names = known_class_names(self);
        let count = self.model().num_classes();
        let mut images = Vec::new();
        let skipped = for_each_batch(self, dataset, batch_size, progress, |batch| {
            let rows = batch.values.chunks_exact(count);
            for (index, row) in batch.indices.into_iter().zip(rows) {
                images.push(PredictedImage {
                    index,
                    classes: named(top_k(row, k)?, names.as_deref()),
                });
            }
            Ok(())
        })?;
        Ok(DatasetPredictions { images, skipped })
    }
}

fn named(ranked: Vec<Ranked>, names: Option<&[String]>) -> Vec<PredictedClass> {
    let class = |Ranked { index, probability }| PredictedClass {
        index,
        name: names.and_then(|names| names.get(index).cloned()),
        probability,
    };
    ranked.into_iter().map(class).collect()
}
