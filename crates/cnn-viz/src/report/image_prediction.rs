//! One image with what the network said about it.

use cnn_data::Image;

/// An image, what it shows, and what it was taken for.
#[derive(Clone, Debug, PartialEq)]
pub struct ImagePrediction {
    /// The image at any size; the page holds a copy of at most 192 pixels on the longer side.
    pub image: Image,
    /// The image's file or its name in the data set.
    pub path: String,
    /// Name of the true class.
    pub label: String,
    /// Name of the predicted class.
    pub prediction: String,
    /// Probability given to the predicted class, in 0..1.
    pub probability: f64,
    /// Where the network saw it: an [`overlay`](crate::overlay) of the image's size.
    pub explanation: Option<Image>,
}
