//! The report of a run.

use cnn_data::Skipped;
use cnn_metrics::Reliability;

use super::{
    BoxGroup, ClassResults, DataPart, DetectionResults, Fact, FileLink, FilterReport, ImageStrip,
    MaskGroup, PictureGroup, RatePoint, RegionResults, ReportEpoch, ReportFreezeProof,
    ReportNextStep, ReportPhase, ReportSection, RobustnessResults, ScoreGrid, Timing,
};

/// What the report of a run shows, in the order of the page. What is empty or `None` is left out.
///
/// Fields will be added: end a literal with `..Report::default()`. See the [crate's
/// example](crate).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The page's title: model and data, or the run's name.
    pub title: String,
    /// A line below it: what made the run, and when it ended.
    pub byline: Option<String>,
    /// What came out, in a sentence or two that stand before everything else.
    pub result: Option<String>,
    /// The headline, shown as cards: best accuracy with its interval, epoch, model, data, seconds,
    /// images per second.
    pub summary: Vec<Fact>,
    /// Sentences that a reader must not miss: "interrupted after epoch 3", "the val split was taken
    /// from train".
    pub notes: Vec<String>,
    /// The curves' points, in the order of their numbers.
    pub epochs: Vec<ReportEpoch>,
    /// What the scores of the epochs are, as "mIoU"; `None` for accuracy, the share of samples
    /// predicted right.
    pub score: Option<String>,
    /// The learning rate update by update, of the fastest parameter group, in the order of the
    /// updates; the page draws at most some hundreds of them and never leaves out a peak or a dip.
    /// Where it is empty, the rates of `epochs` are drawn.
    pub learning_rates: Vec<RatePoint>,
    /// What stands below the chart of the losses, such as why training and validation are not
    /// alike.
    pub loss_note: Option<String>,
    /// The epoch whose weights were kept, marked in the curves.
    pub best_epoch: Option<usize>,
    /// What the command puts together for itself.
    pub sections: Vec<ReportSection>,
    /// Confusion matrix, most confused pairs, table of classes, of each network.
    pub classes: Vec<ClassResults>,
    /// How sure the network was of the same samples, and how often it was right: reliability
    /// diagram and expected calibration error.
    pub calibration: Option<Reliability>,
    /// The same where every pixel has a class: regions instead of samples.
    pub regions: Option<RegionResults>,
    /// Photos with their masks, by kind: worst ones. A group without photos is left out.
    pub masks: Vec<MaskGroup>,
    /// The same where objects are found by their boxes: average precision, precision and recall by
    /// score, kinds of errors.
    pub detections: Option<DetectionResults>,
    /// Photos with boxes, by kind: worst ones. A group without photos is left out.
    pub boxes: Vec<BoxGroup>,
    /// What attacks leave of the accuracy.
    pub robustness: Option<RobustnessResults>,
    /// Scores under many conditions, as corruptions of the images.
    pub score_grids: Vec<ScoreGrid>,
    /// Pictures by kind: worst mistakes, right examples. A group without pictures is left out.
    pub pictures: Vec<PictureGroup>,
    /// What the network saw in the same images after each epoch, or other networks did.
    pub strip: Option<ImageStrip>,
    /// Filters that do nothing, and what the stages see.
    pub filters: Option<FilterReport>,
    /// What was frozen and what trained, and from when to when; also shown as bands in the curves.
    pub phases: Vec<ReportPhase>,
    /// The proof that what was frozen has not changed.
    pub freeze_proof: Option<ReportFreezeProof>,
    /// Samples that could not be read.
    pub skipped: Vec<Skipped>,
    /// What to try next.
    pub next_steps: Vec<ReportNextStep>,
    /// What else there is of the run, as files beside the page.
    pub files: Vec<FileLink>,
    /// The parts of the data with their fingerprints.
    pub data: Vec<DataPart>,
    /// The resolved configuration.
    pub configuration: Vec<Fact>,
    /// Where the time went.
    pub timings: Vec<Timing>,
    /// The command that reproduces the run.
    pub command: Option<String>,
    /// Versions of the program and of what it was made with, instruction set, number of threads.
    pub versions: Vec<Fact>,
}
