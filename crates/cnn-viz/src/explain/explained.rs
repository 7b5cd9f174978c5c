//! A network under explanation, whatever it is for.

use candle_core::{Result, Tensor};
use cnn_layers::{Classifier, Context, Detector, FeatureMap, ScoredBoxes, Segmenter, StageInfo};
use cnn_models::ModelKind;

use super::objects::{object_scores, object_shares, resolve_objects};
use super::place::Place;
use super::target::{Score, Target, class_scores, pixel_scores, resolve_classes, resolve_pixels};
use crate::Error;

/// A network of which scores are explained. A classifier's are the logits of an image; those of a
/// network for pixels are the means of their logits over some of the image's pixels, and those of a
/// network that finds objects the logits of its boxes.
///
/// Functions take `impl Into<Explained>`: a `&dyn Classifier`, a `&dyn Segmenter` or a `&dyn
/// Detector`.
#[derive(Clone, Copy)]
pub enum Explained<'a> {
    /// It tells the class of an image.
    Classifier(&'a dyn Classifier),
    /// It tells the class of every pixel.
    Segmenter(&'a dyn Segmenter),
    /// It finds objects.
    Detector(&'a dyn Detector),
}

impl<'a> From<&'a dyn Classifier> for Explained<'a> {
    fn from(model: &'a dyn Classifier) -> Self {
        Self::Classifier(model)
    }
}

impl<'a> From<&'a dyn Segmenter> for Explained<'a> {
    fn from(model: &'a dyn Segmenter) -> Self {
        Self::Segmenter(model)
    }
}

impl<'a> From<&'a dyn Detector> for Explained<'a> {
    fn from(model: &'a dyn Detector) -> Self {
        Self::Detector(model)
    }
}

/// A kind of network that can be explained.
pub trait Explainable: ModelKind {
    /// The network under explanation.
    fn explained(&self) -> Explained<'_>;
}

impl Explainable for dyn Classifier {
    fn explained(&self) -> Explained<'_> {
        Explained::Classifier(self)
    }
}

impl Explainable for dyn Segmenter {
    fn explained(&self) -> Explained<'_> {
        Explained::Segmenter(self)
    }
}

impl Explainable for dyn Detector {
    fn explained(&self) -> Explained<'_> {
        Explained::Detector(self)
    }
}

impl<'a> Explained<'a> {
    /// The stages whose maps can be read, from the input on.
    pub fn stages(self) -> &'a [StageInfo] {
        match self {
            Self::Classifier(model) => model.stages(),
            Self::Segmenter(model) => model.stages(),
            Self::Detector(model) => model.stages(),
        }
    }

    /// The number of classes; a network for pixels with one output tells two.
    pub fn num_classes(self) -> usize {
        match self {
            Self::Classifier(model) => model.num_classes(),
            Self::Segmenter(model) => model.num_classes().max(2),
            Self::Detector(model) => model.num_classes(),
        }
    }

    /// Runs it on images, for who watches the layers.
    pub(crate) fn run(self, images: &FeatureMap, cx: &Context<'_>) -> Result<()> {
        match self {
            Self::Classifier(model) => model.forward(images, cx).map(|_| ()),
            Self::Segmenter(model) => model.forward(images, cx).map(|_| ()),
            Self::Detector(model) => model.forward_raw(images, cx).map(|_| ()),
        }
    }

    /// The score of each target, and the last maps of a classifier where they came by the way.
    pub(crate) fn resolve(
        self,
        images: &FeatureMap,
        targets: &[Target],
    ) -> std::result::Result<(Vec<Score>, Option<FeatureMap>), Error> {
        let cx = Context::eval();
        match self {
            Self::Classifier(model) => {
                let features = model.forward_features(images, &cx)?;
                let logits = model.forward_head(&features, &cx)?;
                Ok((resolve_classes(targets, &logits)?, Some(features)))
            }
            Self::Segmenter(model) => {
                let logits = model.forward(images, &cx)?;
                Ok((resolve_pixels(targets, &logits)?, None))
            }
            Self::Detector(model) => {
                let boxes = scored_boxes(model, images, &cx)?;
                let size = [images.height(), images.width()];
                Ok((resolve_objects(targets, &boxes, size)?, None))
            }
        }
    }

    /// The score of each image, `(N)`; differentiable.
    pub(crate) fn scores(
        self,
        images: &FeatureMap,
        targets: &[Score],
        cx: &Context<'_>,
    ) -> Result<Tensor> {
        match self {
            Self::Classifier(model) => {
                class_scores(model, &model.forward_features(images, cx)?, targets, cx)
            }
            Self::Segmenter(model) => pixel_scores(&model.forward(images, cx)?, targets),
            Self::Detector(model) => object_scores(&scored_boxes(model, images, cx)?, targets),
        }
    }

    /// The maps of images at a place.
    pub(crate) fn maps(
        self,
        place: Place,
        images: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        match (self, place) {
            (Self::Classifier(model), Place::Last) => model.forward_features(images, cx),
            (Self::Classifier(model), Place::Stage(stage)) => model.forward_to(stage, images, cx),
            (Self::Segmenter(_) | Self::Detector(_), _) => {
                let mut maps = self.forward_stages(images, cx)?;
                Ok(maps.swap_remove(self.stage(place)))
            }
        }
    }

    /// The maps of all stages.
    fn forward_stages(self, images: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        match self {
            Self::Classifier(model) => model.forward_stages(images, cx),
            Self::Segmenter(model) => model.forward_stages(images, cx),
            Self::Detector(model) => model.forward_stages(images, cx),
        }
    }

    /// The score of each image from `maps` at a place, `(N)`; differentiable. `images` are those
    /// that the maps are of, or the one that all are changed maps of.
    pub(crate) fn scores_from(
        self,
        place: Place,
        images: &FeatureMap,
        maps: &FeatureMap,
        targets: &[Score],
        cx: &Context<'_>,
    ) -> Result<Tensor> {
        match (self, place) {
            (Self::Classifier(model), Place::Last) => class_scores(model, maps, targets, cx),
            (Self::Classifier(model), Place::Stage(stage)) => {
                let features = model.forward_from(stage, maps, cx)?;
                class_scores(model, &features, targets, cx)
            }
            (Self::Segmenter(model), _) => {
                let all = self.with_changed(place, images, maps)?;
                let images = repeated(images, maps.batch())?;
                pixel_scores(&model.forward_from(&images, all, cx)?, targets)
            }
            (Self::Detector(model), _) => {
                let all = self.with_changed(place, images, maps)?;
                let images = repeated(images, maps.batch())?;
                object_scores(&model.forward_from(&images, all, cx)?, targets)
            }
        }
    }

    /// The maps of images up to a place, of which those at the place are changed: what reads
    /// several stages reads those before, too, and they stay what they are.
    fn with_changed(
        self,
        place: Place,
        images: &FeatureMap,
        maps: &FeatureMap,
    ) -> Result<Vec<FeatureMap>> {
        let mut all = self.forward_stages(images, &Context::eval())?;
        all.truncate(self.stage(place));
        let repeated = |map: &FeatureMap| repeated(map, maps.batch());
        let mut all = all.iter().map(repeated).collect::<Result<Vec<_>>>()?;
        all.push(maps.clone());
        Ok(all)
    }

    /// The probability of the target's class for each image: of a network for pixels its mean over
    /// the target's pixels; of one that finds objects how much of the object it finds.
    pub(crate) fn probabilities(self, images: &FeatureMap, score: &Score) -> Result<Vec<f64>> {
        let cx = Context::eval();
        let number = candle_core::DType::F64;
        match self {
            Self::Classifier(model) => {
                let logits = model.forward(images, &cx)?.to_dtype(number)?;
                let logits = logits.to_vec2::<f64>()?;
                Ok(logits
                    .iter()
                    .map(|logits| probability(logits, score.class))
                    .collect())
            }
            Self::Segmenter(model) => {
                let logits = model.forward(images, &cx)?;
                let pixels = logits.height() * logits.width();
                let channels = logits.channels();
                let values = logits.to_nhwc().to_dtype(number)?.flatten_all()?;
                let values = values.to_vec1::<f64>()?;
                let of_image = |image: &[f64]| {
                    let of_pixel = |pixel: &[f64]| match pixel {
                        // One output is the second class's, the first one's is 0.
                        &[logit] => probability(&[0., logit], score.class),
                        logits => probability(logits, score.class),
                    };
                    let weights = score.weights(pixels);
                    let pixels = image.chunks_exact(channels).zip(weights);
                    pixels.map(|(pixel, weight)| weight * of_pixel(pixel)).sum()
                };
                Ok(values
                    .chunks_exact(pixels * channels)
                    .map(of_image)
                    .collect())
            }
            Self::Detector(model) => object_shares(&scored_boxes(model, images, &cx)?, score),
        }
    }

    /// The stage of a place of a network that is no classifier.
    fn stage(self, place: Place) -> usize {
        match place {
            Place::Last => self.stages().len() - 1,
            Place::Stage(stage) => stage,
        }
    }
}

/// What a network thinks of boxes all over each image.
fn scored_boxes(
    model: &dyn Detector,
    images: &FeatureMap,
    cx: &Context<'_>,
) -> Result<Vec<ScoredBoxes>> {
    model.forward_from(images, model.forward_stages(images, cx)?, cx)
}

/// `e^l_class / Σ e^l_i`.
fn probability(logits: &[f64], class: usize) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    logits
        .get(class)
        .map_or(f64::NAN, |logit| (logit - largest).exp() / sum)
}

/// One image's maps as often as there are images, others as they are.
fn repeated(maps: &FeatureMap, images: usize) -> Result<FeatureMap> {
    if maps.batch() == images {
        return Ok(maps.clone());
    }
    FeatureMap::from_nhwc(&maps.to_nhwc().repeat((images, 1, 1, 1))?.contiguous()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{DType, Device};
    use cnn_models::{ModelConfig, SegmentationNetwork};

    fn network(classes: usize) -> SegmentationNetwork {
        let config = ModelConfig {
            num_classes: Some(classes),
            ..ModelConfig::default()
        };
        let config = config.with_arg("width", 4).with_arg("depth", 2);
        let spec = cnn_models::find("unet").unwrap();
        SegmentationNetwork::with_dtype(*spec, &config, 1, DType::F64).unwrap()
    }

    fn images(count: usize) -> FeatureMap {
        let values = (0..count * 16 * 24 * 3).map(|at| (at as f64 * 0.37).sin());
        let shape = (count, 16, 24, 3);
        let values = Tensor::from_vec(values.collect(), shape, &Device::Cpu).unwrap();
        FeatureMap::from_nhwc(&values).unwrap()
    }

    fn numbers(scores: Tensor) -> Vec<f64> {
        scores.to_vec1::<f64>().unwrap()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        let pairs = found.iter().zip(expected);
        let is_close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9 * b.abs().max(1.);
        assert!(
            found.len() == expected.len() && pairs.clone().all(is_close),
            "{found:?} {expected:?}"
        );
    }

    #[test]
    fn every_stage_goes_on_to_the_same_scores() {
        let network = network(3);
        let model = Explained::from(network.model());
        let images = images(2);
        let cx = Context::eval();
        let (scores, _) = model
            .resolve(&images, &[Target::PREDICTED, Target::class(2).against(0)])
            .unwrap();
        let whole = numbers(model.scores(&images, &scores, &cx).unwrap());
        let stages = (0..model.stages().len()).map(Place::Stage);
        for place in stages.chain([Place::Last]) {
            let maps = model.maps(place, &images, &cx).unwrap();
            let found = model.scores_from(place, &images, &maps, &scores, &cx);
            assert_close(&numbers(found.unwrap()), &whole);
            // The maps of one image, many times.
            let one = |map: &FeatureMap| {
                FeatureMap::from_nhwc(&map.to_nhwc().narrow(0, 1, 1).unwrap()).unwrap()
            };
            let many = repeated(&one(&maps), 3).unwrap();
            let score = vec![scores[1].clone(); 3];
            let found = model.scores_from(place, &one(&images), &many, &score, &cx);
            assert_close(&numbers(found.unwrap()), &[whole[1]; 3]);
        }
    }

    // From the logits themselves, pixel by pixel.
    #[test]
    fn a_score_is_the_mean_over_the_pixels_of_its_class() {
        let network = network(3);
        let model = Explained::from(network.model());
        let images = images(1);
        let cx = Context::eval();
        let logits = network.model().forward(&images, &cx).unwrap().to_nhwc();
        let logits = logits
            .reshape((16 * 24, 3))
            .unwrap()
            .to_vec2::<f64>()
            .unwrap();
        let of =
            |pixel: &[f64]| (0..3).fold(0, |best, c| if pixel[c] > pixel[best] { c } else { best });
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
        let found = |target: Target| {
            let (scores, _) = model.resolve(&images, &[target]).unwrap();
            let score = numbers(model.scores(&images, &scores, &cx).unwrap())[0];
            let probability = model.probabilities(&images, &scores[0]).unwrap()[0];
            (scores[0].class, score, probability)
        };
        let (class, score, probability) = found(Target::PREDICTED);
        let counts = |class: usize| logits.iter().filter(|pixel| of(pixel) == class).count();
        assert!((0..3).all(|other| counts(other) <= counts(class)));
        let inside = || logits.iter().filter(|pixel| of(pixel) == class);
        assert_close(
            &[score],
            &[mean(inside().map(|pixel| pixel[class]).collect())],
        );
        let softmax = |pixel: &Vec<f64>| {
            pixel[class].exp() / pixel.iter().map(|logit| logit.exp()).sum::<f64>()
        };
        assert_close(&[probability], &[mean(inside().map(softmax).collect())]);
        // The lower left quarter, and the same pixels as a mask.
        let region = crate::Region::new(0.5, 0., 1., 0.5).unwrap();
        let in_region = |at: usize| at / 24 >= 8 && at % 24 < 12;
        let expected = mean(
            (0..16 * 24)
                .filter(|&at| in_region(at))
                .map(|at| logits[at][2] - logits[at][1])
                .collect(),
        );
        let target = Target::class(2).against(1);
        assert_close(&[found(target.clone().within(region)).1], &[expected]);
        let mask: Vec<bool> = (0..16 * 24).map(in_region).collect();
        assert_close(&[found(target.over(mask)).1], &[expected]);
    }

    #[test]
    fn one_output_is_the_second_class() {
        let network = network(1);
        let model = Explained::from(network.model());
        let images = images(1);
        assert_eq!(model.num_classes(), 2);
        let everywhere = || vec![true; 16 * 24];
        let both = [0, 1].map(|class| {
            let target = Target::class(class).over(everywhere());
            let (scores, _) = model.resolve(&images, &[target]).unwrap();
            let score = model.scores(&images, &scores, &Context::eval()).unwrap();
            let probability = model.probabilities(&images, &scores[0]).unwrap()[0];
            (numbers(score)[0], probability)
        });
        assert_close(&[both[0].0], &[-both[1].0]);
        assert_close(&[both[0].1 + both[1].1], &[1.]);
    }

    #[test]
    fn a_mask_of_another_size_and_a_class_beyond_are_errors() {
        let network = network(3);
        let model = Explained::from(network.model());
        for target in [
            Target::class(3),
            Target::class(0).against(3),
            Target::class(0).over(vec![true; 7]),
        ] {
            assert!(matches!(
                model.resolve(&images(1), &[target]),
                Err(Error::Argument { .. })
            ));
        }
        let classifier = cnn_models::Network::new("resnet8_cifar10", &ModelConfig::default(), 0);
        let classifier = classifier.unwrap();
        let model = Explained::from(classifier.model());
        let image = Tensor::zeros((1, 32, 32, 3), DType::F32, &Device::Cpu).unwrap();
        let image = FeatureMap::from_nhwc(&image).unwrap();
        let over = Target::class(0).over(vec![true; 32 * 32]);
        assert!(model.resolve(&image, &[over]).is_err());
    }
}
