//! The network: maps of six sizes, and what is said of the default boxes of each place.

use candle_core::{Result, Tensor};
use cnn_layers::detection::losses::{LabelledBoxes, MultiBoxLoss};
use cnn_layers::detection::{BoxCoder, BoxEdges, DefaultBoxGenerator, clip_box};
use cnn_layers::{
    Backbone, Builder, Context, DetectedObject, DetectionLimits, DetectionTargets, Detector,
    FeatureMap, L2Norm2d, Layer, LayerGroup, NamedLoss, RawOutput, ScoredBoxes, Sequential,
    StageInfo,
};
use rayon::prelude::*;

use crate::detection::places::{four, numbers, rows_of, scored_boxes, softmax};
use crate::detection::{check_targets, suppress};

/// A further map.
pub(super) struct Extra {
    pub(super) layers: Sequential,
    /// Channels of its output.
    pub(super) channels: usize,
}

/// What a network is put together from.
pub(super) struct Parts {
    /// Of two maps.
    pub(super) backbone: Box<dyn Backbone>,
    /// What brings the pixels of the first map to one length.
    pub(super) rescale: Option<L2Norm2d>,
    /// The maps behind the backbone's, each of the one before.
    pub(super) extra: Vec<Extra>,
    pub(super) anchors: DefaultBoxGenerator,
    pub(super) limits: DetectionLimits,
    /// Candidates of each class that suppression compares, those with the highest scores.
    pub(super) candidates: usize,
}

/// How the predictors of an SSD are built: of so many channels, for so many outputs, at a place.
pub(super) type BuildPredictor = fn(usize, usize, &Builder) -> Result<Sequential>;

/// SSD: class scores with the background's first, and codes of the default boxes.
pub(super) struct Ssd {
    parts: Parts,
    /// Of each map.
    classes: Vec<Sequential>,
    boxes: Vec<Sequential>,
    groups: Vec<LayerGroup>,
    loss: MultiBoxLoss,
    num_classes: usize,
}

/// What is said of all default boxes of a batch.
struct Outputs {
    /// `(N, boxes, 4)`.
    codes: Tensor,
    /// `(N, boxes, 1 + classes)`.
    logits: Tensor,
    default_boxes: Vec<BoxEdges>,
    /// For each of them the deepest stage of the backbone that is read.
    stages: Vec<usize>,
}

impl Ssd {
    /// With the heads at `head`; `scores` is what of a predictor of classes gives the scores, as
    /// `.1`, or nothing where all of it does.
    pub(super) fn build(
        parts: Parts,
        num_classes: usize,
        predictor: BuildPredictor,
        scores: &str,
        root: &Builder,
    ) -> Result<Self> {
        let stages = parts.backbone.stages().iter().map(|stage| stage.channels);
        let channels = stages.chain(parts.extra.iter().map(|extra| extra.channels));
        let of_maps: Vec<(usize, usize)> = channels.zip(parts.anchors.boxes_per_place()).collect();
        let at = |name: &str, map: usize| root.pp("head").pp(name).pp("module_list").pp(map);
        let of_each = |name: &str, values: usize| -> Result<Vec<Sequential>> {
            let maps = of_maps.iter().enumerate();
            maps.map(|(map, &(channels, boxes))| {
                predictor(channels, boxes * values, &at(name, map))
            })
            .collect()
        };
        let [of_classes, of_boxes] = ["classification_head", "regression_head"];
        let classes = of_each(of_classes, 1 + num_classes)?;
        let boxes = of_each(of_boxes, 4)?;

        let path = |at: Builder| at.path().to_string();
        let extra = (0..parts.extra.len()).map(|number| {
            // SSD's backbone itself ends with the first.
            let number = number + usize::from(parts.rescale.is_some());
            path(root.pp("backbone").pp("extra").pp(number))
        });
        let rescale = parts.rescale.iter();
        let rescale = rescale.map(|_| path(root.pp("backbone").pp("scale_weight")));
        let mut tower = vec![path(root.pp("head").pp(of_boxes))];
        let mut head = Vec::new();
        for map in 0..of_maps.len() {
            let at = path(at(of_classes, map));
            head.push(format!("{at}{scores}"));
            if !scores.is_empty() {
                tower.push(format!("{at}.0"));
            }
        }
        let mut groups = parts.backbone.layer_groups().to_vec();
        groups.push(LayerGroup::new("extra", rescale.chain(extra)));
        groups.push(LayerGroup::new("tower", tower));
        groups.push(LayerGroup::new("head", head));
        Ok(Self {
            parts,
            classes,
            boxes,
            groups,
            loss: MultiBoxLoss::new(0.5)?,
            num_classes,
        })
    }

    fn outputs(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Outputs> {
        let maps = self.parts.backbone.forward_stages(xs, cx)?;
        self.outputs_of([xs.height(), xs.width()], maps, cx)
    }

    /// From the maps of the backbone for images of these rows and columns.
    fn outputs_of(
        &self,
        image: [usize; 2],
        mut maps: Vec<FeatureMap>,
        cx: &Context<'_>,
    ) -> Result<Outputs> {
        for extra in &self.parts.extra {
            let last = &maps[maps.len() - 1];
            maps.push(extra.layers.forward(last, cx)?);
        }
        if let Some(rescale) = &self.parts.rescale {
            maps[0] = rescale.forward(&maps[0], cx)?;
        }
        let all = |predictors: &[Sequential], values: usize| -> Result<Tensor> {
            let of_map = |(predictor, map): (&Sequential, &FeatureMap)| {
                rows_of(&predictor.forward(map, cx)?, values)
            };
            let rows: Result<Vec<Tensor>> = predictors.iter().zip(&maps).map(of_map).collect();
            Tensor::cat(&rows?, 1)
        };
        let grids: Vec<[usize; 2]> = maps.iter().map(|map| [map.height(), map.width()]).collect();
        let last = self.parts.backbone.stages().len() - 1;
        let boxes_per_place = self.parts.anchors.boxes_per_place();
        let of_map = |(map, ([rows, columns], boxes)): (usize, (&[usize; 2], usize))| {
            std::iter::repeat_n(map.min(last), rows * columns * boxes)
        };
        let maps = grids.iter().zip(boxes_per_place).enumerate();
        Ok(Outputs {
            stages: maps.flat_map(of_map).collect(),
            codes: all(&self.boxes, 4)?,
            logits: all(&self.classes, 1 + self.num_classes)?,
            default_boxes: self.parts.anchors.generate(image, &grids)?,
        })
    }

    /// What is found in one image.
    fn found(
        &self,
        codes: &[f32],
        logits: &[f32],
        default_boxes: &[BoxEdges],
        image: [usize; 2],
        limits: &DetectionLimits,
    ) -> Result<Vec<DetectedObject>> {
        let coder = BoxCoder::of_heads();
        let mut found = Vec::new();
        for (class, mut candidates) in self
            .candidates(logits, limits.score)
            .into_iter()
            .enumerate()
        {
            candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
            candidates.truncate(self.parts.candidates);
            found.extend(candidates.into_iter().map(|Candidate { place, score }| {
                let edges = coder.decode(&four(codes, place), &default_boxes[place]);
                DetectedObject {
                    edges: clip_box(&edges, image),
                    class,
                    score,
                }
            }));
        }
        suppress(&found, limits)
    }

    /// Of each class the default boxes whose score is above the least, in their order.
    fn candidates(&self, logits: &[f32], least: f32) -> Vec<Vec<Candidate>> {
        let mut candidates = vec![Vec::new(); self.num_classes];
        let mut exponentials = vec![0.; 1 + self.num_classes];
        for (place, logits) in logits.chunks_exact(1 + self.num_classes).enumerate() {
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for (exponential, logit) in exponentials.iter_mut().zip(logits) {
                *exponential = (logit - largest).exp();
            }
            let sum: f32 = exponentials.iter().sum();
            for (candidates, exponential) in candidates.iter_mut().zip(&exponentials[1..]) {
                let score = exponential / sum;
                if score > least {
                    candidates.push(Candidate { place, score });
                }
            }
        }
        candidates
    }
}

/// A default box with its score of a class.
#[derive(Clone, Copy)]
struct Candidate {
    place: usize,
    score: f32,
}

impl Detector for Ssd {
    fn num_classes(&self) -> usize {
        self.num_classes
    }

    fn stages(&self) -> &[StageInfo] {
        self.parts.backbone.stages()
    }

    fn layer_groups(&self) -> &[LayerGroup] {
        &self.groups
    }

    fn limits(&self) -> DetectionLimits {
        self.parts.limits
    }

    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        self.parts.backbone.forward_stages(xs, cx)
    }

    fn forward_from(
        &self,
        image: &FeatureMap,
        maps: Vec<FeatureMap>,
        cx: &Context<'_>,
    ) -> Result<Vec<ScoredBoxes>> {
        let image = [image.height(), image.width()];
        let maps = self.parts.backbone.complete_stages(maps, cx)?;
        let outputs = self.outputs_of(image, maps, cx)?;
        let default_boxes = &outputs.default_boxes;
        let coder = BoxCoder::of_heads();
        let codes = numbers(&outputs.codes)?;
        let decode = |row: usize| {
            let edges = coder.decode(
                &four(&codes, row),
                &default_boxes[row % default_boxes.len()],
            );
            clip_box(&edges, image)
        };
        let boxes = (0..codes.len() / 4).map(decode).collect();
        let logits = numbers(&outputs.logits)?;
        let rows = logits.par_chunks_exact(1 + self.num_classes);
        let scores = rows.flat_map_iter(|logits| softmax(logits).into_iter().skip(1));
        let of_objects = outputs.logits.narrow(2, 1, self.num_classes)?;
        scored_boxes(boxes, &of_objects, scores.collect(), &outputs.stages)
    }

    fn forward_raw(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<RawOutput>> {
        let Outputs { codes, logits, .. } = self.outputs(xs, cx)?;
        Ok(vec![
            RawOutput::new("boxes", codes),
            RawOutput::new("classes", logits),
        ])
    }

    fn losses(
        &self,
        xs: &FeatureMap,
        targets: &DetectionTargets,
        cx: &Context<'_>,
    ) -> Result<Vec<NamedLoss>> {
        check_targets(targets, xs.batch(), self.num_classes)?;
        let outputs = self.outputs(xs, cx)?;
        let objects: Vec<LabelledBoxes<'_>> = targets
            .images
            .iter()
            .map(|objects| LabelledBoxes {
                boxes: &objects.boxes,
                classes: &objects.classes,
            })
            .collect();
        let Outputs {
            codes,
            logits,
            default_boxes,
            ..
        } = &outputs;
        let loss = self.loss.loss(codes, logits, default_boxes, &objects)?;
        Ok(vec![
            NamedLoss::new("bbox_regression", loss.boxes),
            NamedLoss::new("classification", loss.classes),
        ])
    }

    fn detect(
        &self,
        xs: &FeatureMap,
        limits: &DetectionLimits,
        cx: &Context<'_>,
    ) -> Result<Vec<Vec<DetectedObject>>> {
        let outputs = self.outputs(xs, cx)?;
        let codes = numbers(&outputs.codes)?;
        let logits = numbers(&outputs.logits)?;
        let default_boxes = &outputs.default_boxes;
        let image = [xs.height(), xs.width()];
        let of_image = |values: usize| values * default_boxes.len();
        let images = codes
            .par_chunks_exact(of_image(4))
            .zip(logits.par_chunks_exact(of_image(1 + self.num_classes)));
        images
            .map(|(codes, logits)| self.found(codes, logits, default_boxes, image, limits))
            .collect()
    }
}
