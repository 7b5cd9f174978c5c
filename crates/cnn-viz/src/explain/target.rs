//! What is explained: a class's score, what sets it apart from another's, and where.

use candle_core::{Result, Tensor};
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
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Target {
    class: Option<usize>,
    against: Option<usize>,
    region: Option<Region>,
}

impl Target {
    /// The logit of the class that the network holds most probable; the first of equals.
    pub const PREDICTED: Self = Self {
        class: None,
        against: None,
        region: None,
    };

    /// The logit of a class.
    pub const fn class(class: usize) -> Self {
        Self {
            class: Some(class),
            ..Self::PREDICTED
        }
    }

    /// Its difference to the logit of another class: what makes the one rather than the other.
    pub const fn against(self, other: usize) -> Self {
        Self {
            against: Some(other),
            ..self
        }
    }

    /// The score that the head gives to this part of the last map alone, the rest being zero.
    pub const fn within(self, region: Region) -> Self {
        Self {
            region: Some(region),
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
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The class whose logit counts.
    pub class: usize,
    /// The class whose logit is subtracted.
    pub against: Option<usize>,
    /// The part of the last map that is counted alone.
    pub region: Option<Region>,
}

impl Score {
    pub(crate) fn as_target(&self) -> Target {
        Target {
            class: Some(self.class),
            against: self.against,
            region: self.region,
        }
    }
}

/// Finds the class of each target; one target stands for all images.
pub(crate) fn resolve(
    targets: &[Target],
    logits: &Tensor,
) -> std::result::Result<Vec<Score>, Error> {
    let (images, classes) = logits.dims2()?;
    if targets.len() != 1 && targets.len() != images {
        return Err(Error::argument(
            "targets",
            targets.len(),
            format!("one, or one for each of {images} images"),
        ));
    }
    let predicted = logits.argmax(1)?.to_vec1::<u32>()?;
    let score = |(image, &predicted): (usize, &u32)| {
        let Target {
            class,
            against,
            region,
        } = targets[if targets.len() == 1 { 0 } else { image }];
        let class = class.unwrap_or(predicted as usize);
        match [Some(class), against]
            .into_iter()
            .flatten()
            .find(|&class| class >= classes)
        {
            Some(unknown) => Err(Error::argument(
                "class",
                unknown,
                format!("0 to {}", classes - 1),
            )),
            None => Ok(Score {
                class,
                against,
                region,
            }),
        }
    };
    predicted.iter().enumerate().map(score).collect()
}

/// The score of each image, `(N)`, from the last maps; differentiable.
pub(crate) fn scores(
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
                class: 4,
                against: Some(7),
                region,
            };
            scores(model, features, &[score], &cx)
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
            resolve(targets, &logits)
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
            assert!(resolve(targets, &logits).is_err());
        }
        let message = resolve(&[Target::class(3)], &logits)
            .unwrap_err()
            .to_string();
        assert_eq!(message, "`class`: found 3, expected 0 to 2");
    }
}
