//! What Fast R-CNN says of a region: its class, and for each class a better box (Girshick 2015,
//! arXiv:1504.08083).

use candle_core::{Device, Result, Tensor};
use cnn_core::Key;
use cnn_layers::detection::losses::{Reduction, SmoothL1Loss, SoftmaxCrossEntropy};
use cnn_layers::detection::{
    BalancedSampler, BoxCoder, BoxEdges, Match, Matcher, clip_box, iou_matrix,
};
use cnn_layers::{
    Activate, Activation, Builder, Context, DetectedObject, DetectionLimits, DetectionTargets,
    FeatureMap, Flatten, Linear, LinearConfig, MultiScaleRoiAlign, ScoredBoxes,
};
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use super::BETA;
use super::proposals::has_sides;
use crate::detection::places::{four, numbers, softmax};
use crate::detection::suppress;

/// Rows and columns of a region's map.
const SIDE: usize = 7;
/// From this overlap on a region is an object's, and background below it.
const OVERLAP: f32 = 0.5;
/// The largest share of the regions in the loss that are objects'.
const POSITIVE_FRACTION: f64 = 0.25;
/// A detection's sides have at least so many pixels.
const LEAST_SIDE: f32 = 1e-2;

/// What the second stage is built from.
#[derive(Debug, Clone, Copy)]
pub(super) struct RegionConfig {
    /// Channels of the levels.
    pub(super) channels: usize,
    /// Of a region.
    pub(super) features: usize,
    pub(super) num_classes: usize,
    /// Regions of an image that the loss reads.
    pub(super) sampled: usize,
}

/// Two fully connected layers over the maps of a region, and what predicts from them. Its first
/// class is the background; an object's class `k` is its class `k + 1`.
pub(super) struct RegionHead {
    config: RegionConfig,
    pool: MultiScaleRoiAlign,
    flatten: Flatten,
    hidden: [(Linear, Activate); 2],
    classes: Linear,
    codes: Linear,
    path: String,
}

/// What the head says of the regions of a batch.
pub(super) struct RegionOutputs {
    /// `(R, classes + 1)`: logits.
    pub(super) classes: Tensor,
    /// `(R, 4 (classes + 1))`: shifts and scales of the region for each class.
    pub(super) codes: Tensor,
}

/// Regions of a batch with what they are to learn.
struct Learned {
    /// Of each image.
    regions: Vec<Vec<BoxEdges>>,
    /// The head's class of each region, 0 for background.
    classes: Vec<u32>,
    /// Four numbers for each region of an object.
    codes: Vec<f32>,
}

impl RegionConfig {
    /// Builds it at `roi_heads`.
    pub(super) fn build(self, root: &Builder) -> Result<RegionHead> {
        let at = root.pp("box_head");
        let [six, seven] = ["fc6", "fc7"].map(|name| at.pp(name).width(self.features));
        let hidden = |from: usize, to: usize, number: usize| -> Result<(Linear, Activate)> {
            let linear = LinearConfig::new(from, to);
            let act = Activate::new(Activation::Relu, &at.pp(format!("act{number}")));
            Ok((linear.build(&at.pp(format!("fc{number}")))?, act))
        };
        let scores = self.num_classes + 1;
        let at_predictor = root.pp("box_predictor");
        let predictor = |outputs: usize, name: &str| {
            LinearConfig::new(seven, outputs).build(&at_predictor.pp(name))
        };
        Ok(RegionHead {
            config: self,
            pool: MultiScaleRoiAlign::new([SIDE; 2], Some(2)).at(&root.pp("box_roi_pool")),
            flatten: Flatten::new(&at.pp("flatten")),
            hidden: [
                hidden(self.channels * SIDE * SIDE, six, 6)?,
                hidden(six, seven, 7)?,
            ],
            classes: predictor(scores, "cls_score")?,
            codes: predictor(4 * scores, "bbox_pred")?,
            path: root.path().to_string(),
        })
    }
}

impl RegionHead {
    /// Of regions of each of the images of `[rows, columns]`, of which there is at least one.
    pub(super) fn forward(
        &self,
        maps: &[FeatureMap],
        image: [usize; 2],
        regions: &[Vec<BoxEdges>],
        cx: &Context<'_>,
    ) -> Result<RegionOutputs> {
        let pooled = self.pool.forward(maps, image, regions, cx)?;
        let mut xs = self.flatten.forward(&pooled, cx)?;
        for (linear, act) in &self.hidden {
            xs = act.forward_vectors(&linear.forward(&xs, cx)?, cx)?;
        }
        Ok(RegionOutputs {
            classes: self.classes.forward(&xs, cx)?,
            codes: self.codes.forward(&xs, cx)?,
        })
    }

    /// The losses of classes and boxes over regions that are drawn of the proposals and the objects
    /// of each image; `None` where there are none at all.
    pub(super) fn losses(
        &self,
        maps: &[FeatureMap],
        image: [usize; 2],
        proposals: &[Vec<BoxEdges>],
        targets: &DetectionTargets,
        cx: &Context<'_>,
    ) -> Result<Option<[Tensor; 2]>> {
        let learned = self.learned(proposals, targets, cx)?;
        let count = learned.classes.len();
        if count == 0 {
            return Ok(None);
        }
        let outputs = self.forward(maps, image, &learned.regions, cx)?;
        let scores = self.config.num_classes + 1;
        let of_class = |(region, &class): (usize, &u32)| {
            (class > 0).then_some((region * scores) as u32 + class)
        };
        let rows = learned.classes.iter().enumerate().filter_map(of_class);
        let rows: Vec<u32> = rows.collect();
        let places = rows.len();
        let rows = Tensor::from_vec(rows, places, outputs.codes.device())?;
        let codes = outputs.codes.reshape((count * scores, 4))?;
        let codes = codes.index_select(&rows, 0)?;
        let over = Reduction::over(count as f64);
        let boxes = SmoothL1Loss { beta: BETA }.loss(&codes, &learned.codes, &over)?;
        let wanted: Vec<Option<u32>> = learned.classes.iter().copied().map(Some).collect();
        let classes = SoftmaxCrossEntropy.loss(&outputs.classes, &wanted, &Reduction::mean())?;
        Ok(Some([classes, boxes]))
    }

    fn learned(
        &self,
        proposals: &[Vec<BoxEdges>],
        targets: &DetectionTargets,
        cx: &Context<'_>,
    ) -> Result<Learned> {
        let matcher = Matcher::new(OVERLAP, OVERLAP)?;
        let sampler = BalancedSampler::new(self.config.sampled, POSITIVE_FRACTION)?;
        let key = cx.random(&self.path).unwrap_or(Key::new(0));
        let sample = |image: usize| -> (Vec<BoxEdges>, Vec<Match>) {
            let objects = &targets.images[image].boxes;
            // Objects are regions, too: at first no proposal is near one.
            let regions = [proposals[image].as_slice(), objects].concat();
            let matches = matcher.assign(&iou_matrix(objects, &regions));
            let sampled = sampler.sample(&matches, key.at(image as u64));
            let mut chosen = [sampled.positives, sampled.negatives].concat();
            chosen.sort_unstable();
            let of = |&region: &usize| (regions[region], matches[region]);
            chosen.iter().map(of).unzip()
        };
        let images = (0..proposals.len()).into_par_iter();
        let samples: Vec<(Vec<BoxEdges>, Vec<Match>)> = images.map(sample).collect();
        let mut learned = Learned {
            regions: Vec::with_capacity(samples.len()),
            classes: Vec::new(),
            codes: Vec::new(),
        };
        for ((regions, matches), objects) in samples.into_iter().zip(&targets.images) {
            for (region, found) in regions.iter().zip(matches) {
                let Some(object) = found.object() else {
                    learned.classes.push(0);
                    continue;
                };
                learned.classes.push(objects.classes[object] as u32 + 1);
                let code = BoxCoder::of_heads().encode(&objects.boxes[object], region);
                learned.codes.extend(code);
            }
            learned.regions.push(regions);
        }
        Ok(learned)
    }

    /// The detections of each image among its regions.
    pub(super) fn detections(
        &self,
        maps: &[FeatureMap],
        image: [usize; 2],
        regions: &[Vec<BoxEdges>],
        limits: &DetectionLimits,
        cx: &Context<'_>,
    ) -> Result<Vec<Vec<DetectedObject>>> {
        if regions.iter().all(Vec::is_empty) {
            return Ok(vec![Vec::new(); regions.len()]);
        }
        let outputs = self.forward(maps, image, regions, cx)?;
        let scores = self.config.num_classes + 1;
        let logits = numbers(&outputs.classes)?;
        let codes = numbers(&outputs.codes)?;
        let firsts = firsts(regions);
        let of_image = |(regions, first): (&Vec<BoxEdges>, usize)| {
            let mut found = Vec::new();
            for (row, region) in (first..).zip(regions) {
                let probabilities = softmax(&logits[row * scores..][..scores]);
                for (class, &score) in probabilities[1..].iter().enumerate() {
                    if score <= limits.score {
                        continue;
                    }
                    let code = four(&codes, row * scores + class + 1);
                    let edges = BoxCoder::of_heads().decode(&code, region);
                    let edges = clip_box(&edges, image);
                    if has_sides(&edges, LEAST_SIDE) {
                        found.push(DetectedObject {
                            edges,
                            class,
                            score,
                        });
                    }
                }
            }
            suppress(&found, limits)
        };
        let images = regions.into_par_iter().zip(firsts);
        images.map(of_image).collect()
    }

    /// What it thinks of the regions of each image, of each with a box for every class. `stage` is the
    /// deepest one of the backbone.
    pub(super) fn scored_boxes(
        &self,
        maps: &[FeatureMap],
        image: [usize; 2],
        regions: &[Vec<BoxEdges>],
        stage: usize,
        cx: &Context<'_>,
    ) -> Result<Vec<ScoredBoxes>> {
        let classes = self.config.num_classes;
        if regions.iter().all(Vec::is_empty) {
            let empty = || -> Result<ScoredBoxes> {
                Ok(ScoredBoxes {
                    boxes: Vec::new(),
                    logits: Tensor::zeros((0, classes), maps[0].dtype(), &Device::Cpu)?,
                    scores: Vec::new(),
                    stages: Vec::new(),
                })
            };
            return regions.iter().map(|_| empty()).collect();
        }
        let outputs = self.forward(maps, image, regions, cx)?;
        let logits = numbers(&outputs.classes)?;
        let codes = numbers(&outputs.codes)?;
        let of_image = |(regions, first): (&Vec<BoxEdges>, usize)| {
            let mut boxes = Vec::with_capacity(regions.len() * classes);
            let mut scores = Vec::with_capacity(regions.len() * classes);
            for (row, region) in (first..).zip(regions) {
                let first = row * (classes + 1);
                scores.extend(&softmax(&logits[first..][..classes + 1])[1..]);
                boxes.extend((1..=classes).map(|class| {
                    let code = four(&codes, first + class);
                    clip_box(&BoxCoder::of_heads().decode(&code, region), image)
                }));
            }
            let own = outputs.classes.narrow(0, first, regions.len())?;
            Ok(ScoredBoxes {
                boxes,
                logits: own.narrow(1, 1, classes)?,
                scores,
                stages: vec![stage; regions.len()],
            })
        };
        let images = regions.iter().zip(firsts(regions));
        images.map(of_image).collect()
    }
}

/// The number of the first region of each image among those of all.
fn firsts(regions: &[Vec<BoxEdges>]) -> Vec<usize> {
    let mut first = 0;
    let of_image = |regions: &Vec<BoxEdges>| {
        let own = first;
        first += regions.len();
        own
    };
    regions.iter().map(of_image).collect()
}
