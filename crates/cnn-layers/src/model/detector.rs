//! A network that finds objects.

use candle_core::{Result, Tensor};

use crate::detection::BoxEdges;
use crate::{Context, FeatureMap, LayerGroup, StageInfo};

/// A network that finds objects: boxes with classes. Object-safe.
///
/// All boxes are in pixels of its input; who made that input of a photo brings them back.
pub trait Detector: Send + Sync {
    /// Number of classes, counted from 0 without a background.
    fn num_classes(&self) -> usize;

    /// The stages of the backbone whose maps the network reads, from the input on.
    fn stages(&self) -> &[StageInfo];

    /// The parameters in groups by depth, from the input to the head, which is the last: what gives
    /// the scores of the classes. Each parameter is in exactly one.
    fn layer_groups(&self) -> &[LayerGroup];

    /// What a detection needs by default, as the network was published.
    fn limits(&self) -> DetectionLimits;

    /// Height and width of an input are multiples of this.
    fn size_step(&self) -> usize {
        1
    }

    /// The outputs of all [`stages`](Self::stages).
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>>;

    /// Goes on from the outputs of the first stages, of which the last one given is where it goes
    /// on, to the scores of boxes all over each image, before any is chosen: where a class activation
    /// map cuts the graph.
    ///
    /// # Errors
    /// If there is no map, or one does not fit.
    fn forward_from(
        &self,
        image: &FeatureMap,
        maps: Vec<FeatureMap>,
        cx: &Context<'_>,
    ) -> Result<Vec<ScoredBoxes>>;

    /// What the heads say of every place that they look at, by name, before anything is chosen: for
    /// comparison with another implementation.
    ///
    /// # Shapes
    /// `(N, places, values)` each.
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward_raw(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<RawOutput>>;

    /// The losses of a batch, each weighted as in their sum, which is what is minimised; the same
    /// names each time. One that counts in the last epochs only is 0 before.
    ///
    /// # Shapes
    /// Images `(N, H, W, C)`, and `targets` of `N` images.
    ///
    /// # Errors
    /// If the input does not fit, there are not as many targets as images, or a class is none of the
    /// network's.
    fn losses(
        &self,
        xs: &FeatureMap,
        targets: &DetectionTargets,
        cx: &Context<'_>,
    ) -> Result<Vec<NamedLoss>>;

    /// The objects that it finds in each image of a batch, by score, the highest first.
    ///
    /// # Errors
    /// If the input does not fit or a limit is out of its range.
    fn detect(
        &self,
        xs: &FeatureMap,
        limits: &DetectionLimits,
        cx: &Context<'_>,
    ) -> Result<Vec<Vec<DetectedObject>>>;
}

/// An object that a network has found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectedObject {
    /// Its edges in pixels of what it was found in: of the network's input, or of a photo.
    pub edges: BoxEdges,
    /// Its class, from 0.
    pub class: usize,
    /// From 0 to 1.
    pub score: f32,
}

/// What a network thinks of boxes all over an image, row by row: what detections are chosen from.
#[derive(Debug, Clone)]
pub struct ScoredBoxes {
    /// Edges in pixels of the input: one box for each row, or where each class has its own, one for
    /// each class of each row.
    pub boxes: Vec<BoxEdges>,
    /// `(rows, classes)`: what the scores are made of, the larger the surer; differentiable.
    pub logits: Tensor,
    /// From 0 to 1, for each class of each row.
    pub scores: Vec<f32>,
    /// For each row the deepest of the network's stages that it depends on.
    pub stages: Vec<usize>,
}

impl ScoredBoxes {
    /// The box of a row, as it is for an object of a class.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn edges(&self, row: usize, class: usize) -> &BoxEdges {
        let rows = self.logits.dims()[0].max(1);
        let of_row = self.boxes.len() / rows;
        &self.boxes[row * of_row + class.min(of_row - 1)]
    }
}

/// What becomes a detection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectionLimits {
    /// The least score.
    pub score: f32,
    /// Of two boxes of one class with a greater IoU, the one with the lower score is dropped.
    pub iou: f64,
    /// The most that an image has, those with the highest scores.
    pub count: usize,
}

/// The objects of a batch of images, for training.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DetectionTargets {
    /// Of each image.
    pub images: Vec<ImageObjects>,
    /// Whether training is in its last epochs, in which some networks have a further loss.
    pub is_late: bool,
}

/// The objects of an image.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImageObjects {
    /// Their edges in pixels of the input, each with a width and a height.
    pub boxes: Vec<BoxEdges>,
    /// Their classes, from 0.
    pub classes: Vec<usize>,
}

/// A part of what a network minimises.
#[derive(Debug, Clone)]
pub struct NamedLoss {
    /// Its name, as `objectness`.
    pub name: &'static str,
    /// Its value, weighted as in the sum: a scalar.
    pub value: Tensor,
}

/// What a head says of every place.
#[derive(Debug, Clone)]
pub struct RawOutput {
    /// Its name, as `boxes`.
    pub name: &'static str,
    /// `(N, places, values)`.
    pub values: Tensor,
}

impl NamedLoss {
    /// A part of this name.
    pub fn new(name: &'static str, value: Tensor) -> Self {
        Self { name, value }
    }
}

impl RawOutput {
    /// What a head of this name says.
    pub fn new(name: &'static str, values: Tensor) -> Self {
        Self { name, values }
    }
}
