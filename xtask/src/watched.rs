//! The graph of a network of any kind.

use cnn_graph::{Error, Graph};
use cnn_layers::{Classifier, Detector, FeatureMap, Segmenter};
use cnn_models::ModelKind;

/// A network whose graph can be had by watching it.
pub(crate) trait Watched: ModelKind {
    /// Its graph on these images.
    fn graph(&self, images: &FeatureMap) -> Result<Graph, Error>;
}

impl Watched for dyn Classifier {
    fn graph(&self, images: &FeatureMap) -> Result<Graph, Error> {
        Graph::of_classifier(self, images)
    }
}

impl Watched for dyn Detector {
    fn graph(&self, images: &FeatureMap) -> Result<Graph, Error> {
        Graph::of_detector(self, images)
    }
}

impl Watched for dyn Segmenter {
    fn graph(&self, images: &FeatureMap) -> Result<Graph, Error> {
        Graph::of_segmenter(self, images)
    }
}
