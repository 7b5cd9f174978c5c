//! A network under explanation, whatever it is for.

use candle_core::{Result, Tensor};
use cnn_layers::{Classifier, Context, FeatureMap, Segmenter, StageInfo};
use cnn_models::ModelKind;

use super::place::Place;
use super::target::{Score, Target, class_scores, pixel_scores, resolve_classes, resolve_pixels};
use crate::Error;

/// A network of which scores are explained. A classifier's are the logits of an image; those of a
/// network for pixels are the means of their logits over some of the image's pixels.
///
/// Functions take `impl Into<Explained>`: a `&dyn Classifier` or a `&dyn Segmenter`.
#[derive(Clone, Copy)]
pub enum Explained<'a> {
    /// It tells the class of an image.
    Classifier(&'a dyn Classifier),
    /// It tells the class of every pixel.
    Segmenter(&'a dyn Segmenter),
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

impl<'a> Explained<'a> {
    /// The stages whose maps can be read, from the input on.
    pub fn stages(self) -> &'a [StageInfo] {
        match self {
            Self::Classifier(model) => model.stages(),
            Self::Segmenter(model) => model.stages(),
        }
    }

    /// The number of classes; a network for pixels with one output tells two.
    pub fn num_classes(self) -> usize {
        match self {
            Self::Classifier(model) => model.num_classes(),
            Self::Segmenter(model) => model.num_classes().max(2),
        }
    }

    /// Runs it on images, for who watches the layers.
    pub(crate) fn run(self, images: &FeatureMap, cx: &Context<'_>) -> Result<()> {
        match self {
            Self::Classifier(model) => model.forward(images, cx).map(|_| ()),
            Self::Segmenter(model) => model.forward(images, cx).map(|_| ()),
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
            (Self::Segmenter(model), _) => {
                let mut maps = model.forward_stages(images, cx)?;
                Ok(maps.swap_remove(self.stage(place)))
            }
        }
    }

    /// The score of each image from `maps` at a place, `(N)`; differentiable. `images` are those that
    /// the maps are of, or the one that all are changed maps of.
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
                // The decoder reads the maps before, too; they stay what they are.
                let mut all = model.forward_stages(images, &Context::eval())?;
                all.truncate(self.stage(place));
                let repeated = |map: &FeatureMap| repeated(map, maps.batch());
                let mut all = all.iter().map(repeated).collect::<Result<Vec<_>>>()?;
                all.push(maps.clone());
                let images = repeated(images)?;
                pixel_scores(&model.forward_from(&images, all, cx)?, targets)
            }
        }
    }

    /// The probability of the target's class for each image: of a network for pixels its mean over
    /// the target's pixels.
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
        }
    }

    /// The stage of a place of a network for pixels.
    fn stage(self, place: Place) -> usize {
        match place {
            Place::Last => self.stages().len() - 1,
            Place::Stage(stage) => stage,
        }
    }
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
