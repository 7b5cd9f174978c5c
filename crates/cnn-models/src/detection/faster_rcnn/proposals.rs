//! The region proposal network: where objects may be, whatever their class (section 3.1 of the
//! paper).

use candle_core::{DType, Result, Tensor};
use cnn_core::Key;
use cnn_layers::detection::losses::{BinaryCrossEntropy, BinaryTargets, Reduction, SmoothL1Loss};
use cnn_layers::detection::{
    AnchorGenerator, BalancedSampler, BoxCoder, BoxEdges, LowQuality, Match, Matcher, Sampled,
    batched_nms, clip_box, iou_matrix,
};
use cnn_layers::{
    Activate, Activation, Builder, Context, Conv2d, Conv2dConfig, ConvAct, DetectionTargets,
    FeatureMap, ImageObjects, Init, Layer, Padding,
};
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use super::BETA;
use crate::detection::places::{four, numbers, rows_of, sigmoid};
use crate::detection::pyramid_backbone::{HeadChannels, grids};

/// A proposal's sides have at least so many pixels.
const LEAST_SIDE: f32 = 1e-3;
/// Of two proposals of a level with a greater IoU, the one with the lower score is dropped.
const NMS_IOU: f64 = 0.7;
/// An anchor is an object's from the first overlap on, and background below the second.
const OVERLAPS: [f32; 2] = [0.7, 0.3];
/// The largest share of the anchors in the loss that are objects'.
const POSITIVE_FRACTION: f64 = 0.5;

/// How many proposals there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Of a level, before suppression.
    pub(super) of_level: usize,
    /// Of an image, behind it.
    pub(super) of_image: usize,
}

/// What is chosen of the anchors.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProposalSettings {
    pub(super) training: Counts,
    pub(super) testing: Counts,
    /// The least probability of an object.
    pub(super) least_score: f32,
    /// Anchors of an image that the loss reads.
    pub(super) sampled: usize,
}

/// One head for all levels.
pub(super) struct RegionProposals {
    conv: ConvAct,
    objectness: Conv2d,
    codes: Conv2d,
    anchors: AnchorGenerator,
    settings: ProposalSettings,
    path: String,
}

/// What the head says of all anchors of a batch.
pub(super) struct ProposalOutputs {
    /// `(N, anchors, 1)`: logits.
    pub(super) objectness: Tensor,
    /// `(N, anchors, 4)`: shifts and scales of the anchors.
    pub(super) codes: Tensor,
    /// Those of each level, which are the same for all images.
    pub(super) anchors: Vec<Vec<BoxEdges>>,
    /// Rows and columns of the images.
    pub(super) image: [usize; 2],
}

impl RegionProposals {
    /// Over levels of so many channels, at `rpn`.
    pub(super) fn build(
        channels: HeadChannels,
        anchors: AnchorGenerator,
        settings: ProposalSettings,
        root: &Builder,
    ) -> Result<Self> {
        let at = root.pp("head");
        let conv = |channels: usize, outputs: usize, kernel_size: usize| {
            Conv2dConfig::new(channels, outputs, kernel_size)
                .with_padding(Padding::all(kernel_size / 2))
                .with_init(Init::Normal { std: 0.01 })
                .with_bias_init(Init::ZEROS)
        };
        let of_place = anchors.anchors_per_place().first().copied().unwrap_or(0);
        let relu = Activate::new(Activation::Relu, &at.pp("act"));
        let at_conv = at.pp("conv").pp(0).pp(0);
        let hidden = at_conv.width(channels.designed);
        Ok(Self {
            conv: ConvAct::build(&conv(channels.read, hidden, 3), relu, &at_conv)?,
            objectness: conv(hidden, of_place, 1).build(&at.pp("cls_logits"))?,
            codes: conv(hidden, 4 * of_place, 1).build(&at.pp("bbox_pred"))?,
            anchors,
            settings,
            path: root.path().to_string(),
        })
    }

    /// Over the levels of images of `[rows, columns]`.
    pub(super) fn forward(
        &self,
        maps: &[FeatureMap],
        image: [usize; 2],
        cx: &Context<'_>,
    ) -> Result<ProposalOutputs> {
        let mut objectness = Vec::with_capacity(maps.len());
        let mut codes = Vec::with_capacity(maps.len());
        for map in maps {
            let xs = self.conv.forward(map, cx)?;
            objectness.push(rows_of(&self.objectness.forward(&xs, cx)?, 1)?);
            codes.push(rows_of(&self.codes.forward(&xs, cx)?, 4)?);
        }
        Ok(ProposalOutputs {
            objectness: Tensor::cat(&objectness, 1)?,
            codes: Tensor::cat(&codes, 1)?,
            anchors: self.anchors.generate(image, &grids(maps))?,
            image,
        })
    }

    /// Proposals of an image in use, at most.
    pub(super) fn most(&self) -> usize {
        self.settings.testing.of_image
    }

    /// The proposals of each image for training, by score.
    pub(super) fn for_training(&self, outputs: &ProposalOutputs) -> Result<Vec<Vec<BoxEdges>>> {
        self.proposals(outputs, self.settings.training)
    }

    /// The proposals of each image in use, by score.
    pub(super) fn for_testing(&self, outputs: &ProposalOutputs) -> Result<Vec<Vec<BoxEdges>>> {
        self.proposals(outputs, self.settings.testing)
    }

    fn proposals(&self, outputs: &ProposalOutputs, most: Counts) -> Result<Vec<Vec<BoxEdges>>> {
        // In f64, so that of a network in f64 nearly equal ones keep their order.
        let objectness = outputs.objectness.detach().flatten_all()?;
        let objectness: Vec<f64> = objectness.to_dtype(DType::F64)?.to_vec1()?;
        let codes = numbers(&outputs.codes)?;
        let (images, places, _) = outputs.objectness.dims3()?;
        let of_image = |image: usize| {
            let own = image * places..(image + 1) * places;
            let codes = &codes[4 * own.start..4 * own.end];
            self.proposals_of(outputs, &objectness[own], codes, most)
        };
        (0..images).into_par_iter().map(of_image).collect()
    }

    fn proposals_of(
        &self,
        outputs: &ProposalOutputs,
        objectness: &[f64],
        codes: &[f32],
        most: Counts,
    ) -> Result<Vec<BoxEdges>> {
        let mut boxes = Vec::new();
        let mut scores = Vec::new();
        let mut levels = Vec::new();
        let mut first = 0;
        for (level, anchors) in outputs.anchors.iter().enumerate() {
            let mut order: Vec<usize> = (first..first + anchors.len()).collect();
            order.sort_by(|&a, &b| objectness[b].total_cmp(&objectness[a]));
            for place in order.into_iter().take(most.of_level) {
                let score = sigmoid(objectness[place] as f32);
                let anchor = &anchors[place - first];
                let edges = BoxCoder::default().decode(&four(codes, place), anchor);
                let edges = clip_box(&edges, outputs.image);
                if score >= self.settings.least_score && has_sides(&edges, LEAST_SIDE) {
                    boxes.push(edges);
                    scores.push(score);
                    levels.push(level as u32);
                }
            }
            first += anchors.len();
        }
        let kept = batched_nms(&boxes, &scores, &levels, NMS_IOU)?;
        let kept = kept.into_iter().take(most.of_image);
        Ok(kept.map(|place| boxes[place]).collect())
    }

    /// The losses of the objectness and of the boxes, over anchors that are drawn for each image.
    pub(super) fn losses(
        &self,
        outputs: &ProposalOutputs,
        targets: &DetectionTargets,
        cx: &Context<'_>,
    ) -> Result<[Tensor; 2]> {
        let anchors = outputs.anchors.concat();
        let matcher = Matcher::new(OVERLAPS[0], OVERLAPS[1])?.with_low_quality(LowQuality::Ties);
        let sampler = BalancedSampler::new(self.settings.sampled, POSITIVE_FRACTION)?;
        let key = cx.random(&self.path).unwrap_or(Key::new(0));
        let sample = |(image, objects): (usize, &ImageObjects)| -> (Vec<Match>, Sampled) {
            let matches = matcher.assign(&iou_matrix(&objects.boxes, &anchors));
            let sampled = sampler.sample(&matches, key.at(image as u64));
            (matches, sampled)
        };
        let images = (&targets.images).into_par_iter().enumerate();
        let samples: Vec<(Vec<Match>, Sampled)> = images.map(sample).collect();

        let mut positives = Vec::new();
        let mut negatives = Vec::new();
        let mut wanted = Vec::new();
        for (image, (matches, sampled)) in samples.iter().enumerate() {
            let row = |anchor: usize| (image * anchors.len() + anchor) as u32;
            for &anchor in &sampled.positives {
                let Some(object) = matches[anchor].object() else {
                    continue;
                };
                let edges = &targets.images[image].boxes[object];
                wanted.extend(BoxCoder::default().encode(edges, &anchors[anchor]));
                positives.push(row(anchor));
            }
            negatives.extend(sampled.negatives.iter().map(|&anchor| row(anchor)));
        }
        let mut is_object = vec![1.; positives.len()];
        is_object.resize(positives.len() + negatives.len(), 0.);
        let over = Reduction::over(is_object.len().max(1) as f64);
        let codes = rows(&outputs.codes, positives.clone())?;
        let boxes = SmoothL1Loss { beta: BETA }.loss(&codes, &wanted, &over)?;
        let all = [positives, negatives].concat();
        let logits = rows(&outputs.objectness, all)?;
        let is_object = BinaryTargets::Numbers(is_object);
        let objectness =
            BinaryCrossEntropy::default().loss(&logits, &is_object, &Reduction::mean())?;
        Ok([objectness, boxes])
    }
}

/// Those rows of `(N, rows, values)`, counted through the batch.
fn rows(values: &Tensor, numbers: Vec<u32>) -> Result<Tensor> {
    let count = numbers.len();
    let numbers = Tensor::from_vec(numbers, count, values.device())?;
    let flat = values.flatten(0, 1)?.contiguous()?;
    flat.index_select(&numbers, 0)
}

/// Whether a box is at least so wide and so high.
pub(super) fn has_sides([x1, y1, x2, y2]: &BoxEdges, least: f32) -> bool {
    x2 - x1 >= least && y2 - y1 >= least
}
