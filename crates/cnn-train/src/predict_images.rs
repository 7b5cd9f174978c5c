//! The most probable classes of images.

use cnn_core::Preprocessing;
use cnn_data::{Batch, Image};
use cnn_layers::{Classifier, Context, FeatureMap};
use cnn_metrics::{Ranked, top_k};

use crate::Error;
use crate::classification::to_vec;

/// Images at a time, which bounds the memory.
const BATCH: usize = 32;

/// The most probable classes of images, for every [`Classifier`].
///
/// `cnn_transfer::Predict` is the same for a network that knows its preprocessing and its classes'
/// names.
pub trait PredictImages {
    /// For each image its `min(k, classes)` most probable classes, the most probable first; of
    /// equal ones the lower number first. The images may be of any size: `preprocessing` says what
    /// the network takes.
    ///
    /// # Errors
    /// [`Error::Metrics`] if `k` is 0 or the network gives scores that are not numbers,
    /// [`Error::Data`] if an image cannot be prepared, [`Error::Layer`] if the inputs do not fit the
    /// network.
    ///
    /// ```
    /// use cnn_core::Preprocessing;
    /// use cnn_data::Image;
    /// use cnn_layers::{
    ///     Activation, BatchNorm2dConfig, Conv2dConfig, ConvNormActConfig, Mode, StagedBuilder, Store,
    /// };
    /// use cnn_train::PredictImages;
    ///
    /// let root = Store::new(0).builder(Mode::Eval);
    /// let mut net = StagedBuilder::new(&root, 3);
    /// let unit = ConvNormActConfig::new(
    ///     Conv2dConfig::new(3, 8, 3),
    ///     BatchNorm2dConfig::new(8),
    ///     Activation::Relu,
    /// );
    /// net.group("conv", &["conv"]);
    /// net.add(unit.build(&root.pp("conv.0"), &root.pp("conv.1"))?)
    ///     .set_channels(8)
    ///     .end_stage("conv");
    /// let classifier = net.linear_classifier("fc", 10, 0.)?;
    ///
    /// let photos = [
    ///     Image::from_pixels(30, 40, 3, vec![90; 3600])?,
    ///     Image::from_pixels(9, 7, 1, vec![9; 63])?,
    /// ];
    /// let record = Preprocessing {
    ///     input_size: [3, 32, 32],
    ///     ..Preprocessing::default()
    /// };
    /// let predictions = classifier.predict_images(&photos, &record, 3)?;
    /// assert_eq!((predictions.len(), predictions[1].len()), (2, 3));
    /// assert!(predictions[0][0].probability >= predictions[0][1].probability);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn predict_images(
        &self,
        images: &[Image],
        preprocessing: &Preprocessing,
        k: usize,
    ) -> Result<Vec<Vec<Ranked>>, Error>;
}

impl<C: Classifier + ?Sized> PredictImages for C {
    fn predict_images(
        &self,
        images: &[Image],
        preprocessing: &Preprocessing,
        k: usize,
    ) -> Result<Vec<Vec<Ranked>>, Error> {
        let mut predictions = Vec::with_capacity(images.len());
        for images in images.chunks(BATCH) {
            let batch = Batch::of_images(images, preprocessing)?;
            let inputs = FeatureMap::from_nhwc(&batch.images)?;
            let logits = to_vec(&self.forward(&inputs, &Context::eval())?)?;
            let classes = logits.len() / images.len();
            for row in logits.chunks(classes.max(1)) {
                predictions.push(top_k(row, k)?);
            }
        }
        Ok(predictions)
    }
}
