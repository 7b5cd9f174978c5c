//! What is explained: a class's score, what sets it apart from another's, and where.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};
use cnn_layers::detection::BoxEdges;
use cnn_layers::{Classifier, Context, FeatureMap};

use crate::Error;

/// A score of which an explanation says where in the image it comes from.
///
/// ```
/// use cnn_viz::Target;
///
/// let why_this = Target::PREDICTED;
/// let why_281_rather_than_282 = Target::class(281).against(282);
/// assert_ne!(why_this, why_281_rather_than_282);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Target {
    pub(super) class: Option<usize>,
    against: Option<usize>,
    pub(super) region: Option<Region>,
    pub(super) pixels: Option<Arc<[bool]>>,
    pub(super) edges: Option<BoxEdges>,
}

impl Target {
    /// The logit of the class that the network holds most probable; the first of equals. Of a network
    /// for pixels the mean logit of the class that most pixels have, over these pixels; of one that
    /// finds objects the logit of the object that it is surest of.
    pub const PREDICTED: Self = Self {
        class: None,
        against: None,
        region: None,
        pixels: None,
        edges: None,
    };

    /// The logit of a class. Of a network for pixels its mean over the pixels that the network gives
    /// to the class, or over all where there are none; of one that finds objects that of the object
    /// of the class that it is surest of.
    pub fn class(class: usize) -> Self {
        Self {
            class: Some(class),
            ..Self::PREDICTED
        }
    }

    /// Its difference to the logit of another class: what makes the one rather than the other.
    pub fn against(self, other: usize) -> Self {
        Self {
            against: Some(other),
            ..self
        }
    }

    /// The score that the head gives to this part of the last map alone, the rest being zero. Of a
    /// network for pixels the mean over all pixels in this part of the image; of one that finds objects
    /// the logit of one whose centre is in it.
    pub fn within(self, region: Region) -> Self {
        Self {
            region: Some(region),
            ..self
        }
    }

    /// Of a network for pixels, the mean over these pixels of its input, row by row, whatever the
    /// network gives them to.
    pub fn over(self, pixels: impl Into<Arc<[bool]>>) -> Self {
        Self {
            pixels: Some(pixels.into()),
            ..self
        }
    }

    /// Of a network that finds objects, what it says of one with these edges in pixels of its input:
    /// the logit of the box with the greatest product of its score and its IoU with them.
    pub fn at(self, edges: BoxEdges) -> Self {
        Self {
            edges: Some(edges),
            ..self
        }
    }
}

/// A part of the network's input, in shares of its height and width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    rows: [f64; 2],
    columns: [f64; 2],
}

impl Region {
    /// From `top` to `bottom` and from `left` to `right`, each in 0..=1.
    ///
    /// # Errors
    /// [`Error::Argument`] if a number is beyond 0..=1 or the region is empty.
    pub fn new(top: f64, left: f64, bottom: f64, right: f64) -> std::result::Result<Self, Error> {
        let inside = |[from, to]: [f64; 2]| 0. <= from && from < to && to <= 1.;
        let rows = [top, bottom];
        let columns = [left, right];
        if inside(rows) && inside(columns) {
            return Ok(Self { rows, columns });
        }
        let found = format!("rows {top} to {bottom}, columns {left} to {right}");
        Err(Error::argument(
            "region",
            found,
            "from and to as shares in 0 to 1, from below to",
        ))
    }

    /// Whether the middle of a box in an image of `[height, width]` pixels lies within.
    pub(crate) fn has_centre(
        &self,
        [x1, y1, x2, y2]: &BoxEdges,
        [height, width]: [usize; 2],
    ) -> bool {
        let within = |[from, to]: [f64; 2], middle: f32, len: usize| {
            let share = f64::from(middle) / len as f64;
            from <= share && share <= to
        };
        within(self.rows, (y1 + y2) / 2., height) && within(self.columns, (x1 + x2) / 2., width)
    }

    /// For each pixel of a map of `[height, width]` how much of it lies within, in 0..=1, row by
    /// row.
    fn coverage(&self, [height, width]: [usize; 2]) -> Vec<f64> {
        let axis = |[from, to]: [f64; 2], len: usize| -> Vec<f64> {
            let share = |at: usize| {
                (to * len as f64).min(at as f64 + 1.) - (from * len as f64).max(at as f64)
            };
            (0..len).map(|at| share(at).max(0.)).collect()
        };
        let rows = axis(self.rows, height);
        let columns = axis(self.columns, width);
        rows.iter()
            .flat_map(|row| columns.iter().map(move |column| row * column))
            .collect()
    }
}

/// A target whose class is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// The class whose logit counts.
    pub class: usize,
    /// The class whose logit is subtracted.
    pub against: Option<usize>,
    /// The part of the last map that is counted alone.
    pub region: Option<Region>,
    /// Of a network for pixels, those over which it is the mean, row by row; all of them where they
    /// are not said.
    pub pixels: Option<Arc<[bool]>>,
    /// Of a network that finds objects, where the object is, in pixels of its input.
    pub edges: Option<BoxEdges>,
    /// Of a network that finds objects, the deepest stage of its backbone that the score depends on.
    pub stage: Option<usize>,
}

impl Score {
    /// The logit of a class; of a network for pixels its mean over all of them.
    pub fn of_class(class: usize) -> Self {
        Self {
            class,
            against: None,
            region: None,
            pixels: None,
            edges: None,
            stage: None,
        }
    }

    pub(crate) fn as_target(&self) -> Target {
        Target {
            class: Some(self.class),
            against: self.against,
            region: self.region,
            pixels: self.pixels.clone(),
            edges: self.edges,
        }
    }

    /// The same for the mirrored image, whose rows have so many pixels.
    pub(crate) fn mirrored(&self, width: usize) -> Self {
        let mirrored = |pixels: &Arc<[bool]>| -> Arc<[bool]> {
            let rows = pixels.chunks_exact(width);
            rows.flat_map(|row| row.iter().rev().copied()).collect()
        };
        Self {
            pixels: self.pixels.as_ref().map(mirrored),
            edges: self.edges.map(|[x1, y1, x2, y2]| {
                let width = width as f32;
                [width - x2, y1, width - x1, y2]
            }),
            ..self.clone()
        }
    }

    /// How much each of so many pixels counts: those of the score alike, in all 1.
    pub(crate) fn weights(&self, pixels: usize) -> Vec<f64> {
        let Some(counted) = &self.pixels else {
            return vec![1. / pixels as f64; pixels];
        };
        let share = 1. / counted.iter().filter(|counts| **counts).count().max(1) as f64;
        let weight = |&counts: &bool| if counts { share } else { 0. };
        counted.iter().map(weight).collect()
    }
}

/// The target of each image; one target stands for all.
pub(super) fn of_each(
    targets: &[Target],
    images: usize,
) -> std::result::Result<Vec<&Target>, Error> {
    if targets.len() != 1 && targets.len() != images {
        return Err(Error::argument(
            "targets",
            targets.len(),
            format!("one, or one for each of {images} images"),
        ));
    }
    let one_for_all = targets.len() == 1;
    let of = |image: usize| &targets[if one_for_all { 0 } else { image }];
    Ok((0..images).map(of).collect())
}

/// The score of a target whose class is, where it has none, `predicted`.
pub(super) fn checked(
    target: &Target,
    predicted: usize,
    classes: usize,
) -> std::result::Result<Score, Error> {
    let class = target.class.unwrap_or(predicted);
    let mut named = [Some(class), target.against].into_iter().flatten();
    match named.find(|&class| class >= classes) {
        Some(unknown) => Err(Error::argument(
            "class",
            unknown,
            format!("0 to {}", classes - 1),
        )),
        None => Ok(Score {
            class,
            against: target.against,
            region: target.region,
            pixels: target.pixels.clone(),
            edges: target.edges,
            stage: None,
        }),
    }
}

/// Finds the class of each target from the logits of images, `(N, classes)`.
pub(crate) fn resolve_classes(
    targets: &[Target],
    logits: &Tensor,
) -> std::result::Result<Vec<Score>, Error> {
    let (images, classes) = logits.dims2()?;
    let targets = of_each(targets, images)?;
    let of_a_part = |target: &&Target| target.pixels.is_some() || target.edges.is_some();
    if targets.iter().any(of_a_part) {
        return Err(Error::argument(
            "target",
            "the score of pixels or of a box",
            "the score of a class; the network has one for the whole image",
        ));
    }
    let predicted = logits.argmax(1)?.to_vec1::<u32>()?;
    let pairs = targets.into_iter().zip(predicted);
    pairs
        .map(|(target, predicted)| checked(target, predicted as usize, classes))
        .collect()
}

/// Finds class and pixels of each target from the logits of pixels.
pub(crate) fn resolve_pixels(
    targets: &[Target],
    logits: &FeatureMap,
) -> std::result::Result<Vec<Score>, Error> {
    let [images, height, width, channels] = logits.dims();
    let classes = channels.max(2);
    let predicted = match channels {
        1 => logits.to_nhwc().gt(0.)?.to_dtype(DType::U32)?,
        _ => logits.to_nhwc().argmax(3)?,
    };
    let predicted = predicted.flatten_all()?.to_vec1::<u32>()?;
    let targets = of_each(targets, images)?;
    if targets.iter().any(|target| target.edges.is_some()) {
        return Err(Error::argument(
            "target",
            "the score of a box",
            "the score of a class, or its mean over pixels",
        ));
    }
    let of_images = predicted.chunks_exact(height * width);
    let score = |(target, predicted): (&Target, &[u32])| {
        let mut counts = vec![0usize; classes];
        predicted
            .iter()
            .for_each(|&class| counts[class as usize] += 1);
        // The first of equals.
        let most = (0..classes).rev().max_by_key(|&class| counts[class]);
        let score = checked(target, most.unwrap_or(0), classes)?;
        let pixels: Vec<bool> = match (&target.pixels, target.region) {
            (Some(pixels), _) if pixels.len() != predicted.len() => {
                let found = format!("{} pixels", pixels.len());
                let expected = format!("one for each of {height}x{width}");
                return Err(Error::argument("target", found, expected));
            }
            (Some(pixels), _) => pixels.to_vec(),
            (None, Some(region)) => {
                let coverage = region.coverage([height, width]);
                coverage.iter().map(|&share| share >= 0.5).collect()
            }
            (None, None) => {
                let is_of_class = |&class: &u32| class as usize == score.class;
                predicted.iter().map(is_of_class).collect()
            }
        };
        let pixels = pixels.contains(&true).then(|| pixels.into());
        Ok(Score { pixels, ..score })
    };
    targets.into_iter().zip(of_images).map(score).collect()
}

/// The score of each image, `(N)`, from the logits of its pixels; differentiable.
pub(crate) fn pixel_scores(logits: &FeatureMap, targets: &[Score]) -> Result<Tensor> {
    let [images, height, width, channels] = logits.dims();
    let mut signs = vec![0f64; images * height * width * channels];
    let of_images = signs.chunks_exact_mut(height * width * channels);
    for (image, target) in of_images.zip(targets) {
        let weights = target.weights(height * width);
        for (pixel, weight) in image.chunks_exact_mut(channels).zip(weights) {
            let mut add = |class: usize, weight: f64| match (channels, class) {
                // One output is the second class's logit against the first's.
                (1, 0) => pixel[0] -= weight,
                (1, _) => pixel[0] += weight,
                _ => pixel[class] += weight,
            };
            add(target.class, weight);
            if let Some(against) = target.against {
                add(against, -weight);
            }
        }
    }
    let logits = logits.to_nhwc();
    let signs = Tensor::from_vec(signs, logits.dims(), logits.device())?;
    logits
        .mul(&signs.to_dtype(logits.dtype())?)?
        .reshape((images, ()))?
        .sum(1)
}

/// The score of each image, `(N)`, from a classifier's last maps; differentiable.
pub(crate) fn class_scores(
    model: &dyn Classifier,
    features: &FeatureMap,
    targets: &[Score],
    cx: &Context<'_>,
) -> Result<Tensor> {
    let logits = if targets.iter().any(|target| target.region.is_some()) {
        model.forward_head(&within_regions(features, targets)?, cx)?
    } else {
        model.forward_head(features, cx)?
    };
    let classes = logits.dim(1)?;
    let mut signs = vec![0f32; targets.len() * classes];
    for (row, target) in signs.chunks_exact_mut(classes).zip(targets) {
        row[target.class] += 1.;
        if let Some(against) = target.against {
            row[against] -= 1.;
        }
    }
    let signs = Tensor::from_vec(signs, (targets.len(), classes), logits.device())?
        .to_dtype(logits.dtype())?;
    logits.mul(&signs)?.sum(1)
}

fn within_regions(features: &FeatureMap, targets: &[Score]) -> Result<FeatureMap> {
    let [images, height, width, _] = features.dims();
    let coverage = |target: &Score| match &target.region {
        Some(region) => region.coverage([height, width]),
        None => vec![1.; height * width],
    };
    let coverage: Vec<f64> = targets.iter().flat_map(coverage).collect();
    let coverage = Tensor::from_vec(coverage, (images, height, width, 1), features.device())?;
    FeatureMap::from_nhwc(
        &features
            .to_nhwc()
            .broadcast_mul(&coverage.to_dtype(features.dtype())?)?,
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;
    use cnn_models::{ModelConfig, Network};

    #[test]
    fn a_region_covers_pixels_by_their_share() {
        let region = Region::new(0.25, 0., 1., 0.5).unwrap();
        assert_eq!(region.coverage([2, 3]), [0.5, 0.25, 0., 1., 0.5, 0.]);
        assert_eq!(
            Region::new(0., 0., 1., 1.).unwrap().coverage([1, 2]),
            [1., 1.]
        );
        for (top, bottom) in [(0.5, 0.5), (-0.1, 0.5), (0.5, 1.1), (f64::NAN, 1.)] {
            assert!(Region::new(top, 0., bottom, 1.).is_err());
        }
    }

    #[test]
    fn regions_share_out_the_score() {
        let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 3).unwrap();
        let model = network.model();
        let cx = Context::eval();
        let images = Tensor::randn(0f32, 1., (1, 24, 40, 3), &Device::Cpu).unwrap();
        let features = model
            .forward_features(&FeatureMap::from_nhwc(&images).unwrap(), &cx)
            .unwrap();
        let score = |features: &FeatureMap, region: Option<[f64; 4]>| {
            let region = region
                .map(|[top, left, bottom, right]| Region::new(top, left, bottom, right).unwrap());
            let score = Score {
                against: Some(7),
                region,
                ..Score::of_class(4)
            };
            class_scores(model, features, &[score], &cx)
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()[0]
        };
        let whole = score(&features, None);
        let empty = score(
            &FeatureMap::from_nhwc(&features.to_nhwc().zeros_like().unwrap()).unwrap(),
            None,
        );
        // Borders within a pixel of the map share it out.
        let parts = [[0., 0., 0.3, 1.], [0.3, 0., 1., 0.77], [0.3, 0.77, 1., 1.]]
            .map(|region| score(&features, Some(region)));
        let sum: f32 = parts.iter().map(|part| part - empty).sum();
        assert!(
            (sum - (whole - empty)).abs() < 1e-4 * whole.abs(),
            "{parts:?} {whole} {empty}"
        );
        assert!(
            parts
                .iter()
                .all(|part| (part - whole).abs() > 1e-3 * whole.abs())
        );
    }

    #[test]
    fn targets_are_resolved_and_checked() {
        let logits = Tensor::new(&[[1f32, 3., 2.], [0., -1., -2.]], &Device::Cpu).unwrap();
        let classes = |targets: &[Target]| -> Vec<usize> {
            resolve_classes(targets, &logits)
                .unwrap()
                .iter()
                .map(|score| score.class)
                .collect()
        };
        assert_eq!(classes(&[Target::PREDICTED]), [1, 0]);
        assert_eq!(classes(&[Target::class(2), Target::PREDICTED]), [2, 0]);
        for targets in [
            &[][..],
            &[Target::PREDICTED; 3],
            &[Target::class(3)],
            &[Target::class(0).against(7)],
        ] {
            assert!(resolve_classes(targets, &logits).is_err());
        }
        let message = resolve_classes(&[Target::class(3)], &logits)
            .unwrap_err()
            .to_string();
        assert_eq!(message, "`class`: found 3, expected 0 to 2");
    }
}
