//! Networks that find objects in the commands: their arguments, what is measured and drawn.

mod best;
mod dataset;
mod evaluate;
mod explained;
mod figures;
mod photo;
mod pictures;
mod predict;
mod train;

use clap::Args;
use cnn_layers::DetectionLimits;

pub(crate) use self::best::BestDetection;
pub(crate) use self::dataset::{export, folder_of, print_boxes, tile};
pub(crate) use self::evaluate::{BoxEvaluation, evaluate, evaluate_file};
pub(crate) use self::predict::{BoxPrediction, predict};
pub(crate) use self::train::{BoxTraining, BoxTrainingArgs, input_size, open_data};
use crate::args::share;

/// The network where none is named.
pub(crate) const MODEL: &str = "yolox_nano";

/// The network that a classifier's weights become the backbone of, where none is named.
pub(crate) const OVER_CLASSIFIER: &str = "ssdlite";

/// The published weights that are fine-tuned where none are named.
pub(crate) const WEIGHTS: &str = "yolox_nano.coco";

/// The decay of the moving average of weights that are trained to find objects, where none is given.
pub(crate) const AVERAGE: f64 = 0.998;

/// The least score of what `predict` shows.
const SHOWN: f32 = 0.25;

/// What [`DetectArgs`] are called.
pub(crate) const DETECT_FLAGS: [&str; 2] = ["score", "iou"];

/// What becomes a detection.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DetectArgs {
    /// Of networks that find objects: the least score; default 0.25 where objects are shown, and
    /// what the network was published with where they are measured, as 0.001
    #[arg(long, value_name = "SCORE", value_parser = share)]
    score: Option<f64>,

    /// Of networks that find objects: of two boxes of a class that overlap more than this, the
    /// better one stays; default what the network was published with, as 0.65
    #[arg(long, value_name = "IOU", value_parser = share)]
    iou: Option<f64>,
}

impl DetectArgs {
    /// For what is measured, where doubtful detections count, too.
    pub(crate) fn to_measure(&self, published: DetectionLimits) -> DetectionLimits {
        DetectionLimits {
            score: self.score.map_or(published.score, |score| score as f32),
            iou: self.iou.unwrap_or(published.iou),
            ..published
        }
    }

    /// For what is shown to people.
    pub(crate) fn to_show(&self, published: DetectionLimits) -> DetectionLimits {
        DetectionLimits {
            score: self.score.map_or(SHOWN, |score| score as f32),
            ..self.to_measure(published)
        }
    }
}
