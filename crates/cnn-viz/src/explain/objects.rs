//! The score of an object: of the box that a network's boxes have nearest to it.

use candle_core::{Result, Tensor};
use cnn_layers::ScoredBoxes;
use cnn_layers::detection::iou;

use super::target::{Score, Target, checked, of_each};
use crate::Error;

/// One of the boxes of an image, as an object of a class.
#[derive(Debug, Clone, Copy)]
struct Found {
    row: usize,
    class: usize,
    /// How well it fits.
    fit: f32,
}

/// The row and the class with the greatest value, the first of equals; `None` where none has one.
fn best(
    boxes: &ScoredBoxes,
    classes: impl Iterator<Item = usize> + Clone,
    value: impl Fn(usize, usize) -> Option<f32>,
) -> Result<Option<Found>> {
    let (rows, _) = boxes.logits.dims2()?;
    let mut best: Option<Found> = None;
    for row in 0..rows {
        for class in classes.clone() {
            let Some(fit) = value(row, class) else {
                continue;
            };
            if best.is_none_or(|best| fit > best.fit) {
                best = Some(Found { row, class, fit });
            }
        }
    }
    Ok(best)
}

/// Finds class and edges of each target in the boxes of images of `[height, width]` pixels.
pub(crate) fn resolve_objects(
    targets: &[Target],
    images: &[ScoredBoxes],
    size: [usize; 2],
) -> std::result::Result<Vec<Score>, Error> {
    let targets = of_each(targets, images.len())?;
    let one = |(target, boxes): (&Target, &ScoredBoxes)| {
        if target.pixels.is_some() {
            return Err(Error::argument(
                "target",
                "a mean over pixels",
                "the score of an object",
            ));
        }
        let (_, classes) = boxes.logits.dims2()?;
        // The numbers of the classes are checked before anything is looked for.
        let score = checked(target, 0, classes)?;
        let asked = match target.class {
            Some(class) => class..class + 1,
            None => 0..classes,
        };
        let value = |row: usize, class: usize| {
            let edges = boxes.edges(row, class);
            let is_asked = target
                .region
                .is_none_or(|region| region.has_centre(edges, size));
            let near = target.edges.map_or(1., |asked| iou(edges, &asked));
            is_asked.then(|| near * boxes.scores[row * classes + class])
        };
        let Some(found) = best(boxes, asked, value)? else {
            return Err(Error::argument(
                "target",
                "no box there",
                "a part of the image in which the network has boxes",
            ));
        };
        let edges = target.edges;
        Ok(Score {
            class: found.class,
            edges: Some(edges.unwrap_or(*boxes.edges(found.row, found.class))),
            stage: boxes.stages.get(found.row).copied(),
            // The object is chosen; its edges say where it is.
            region: None,
            ..score
        })
    };
    targets.into_iter().zip(images).map(one).collect()
}

/// The box of an image that is most the object of a score.
fn nearest(boxes: &ScoredBoxes, score: &Score) -> Result<Option<Found>> {
    let (_, classes) = boxes.logits.dims2()?;
    let value = |row: usize, class: usize| {
        let near = score
            .edges
            .map_or(1., |asked| iou(boxes.edges(row, class), &asked));
        Some(near * boxes.scores[row * classes + class])
    };
    best(boxes, std::iter::once(score.class), value)
}

/// The score of each image, `(N)`: the logit of the box that is most the object; differentiable.
/// 0 where an image has no boxes at all.
pub(crate) fn object_scores(images: &[ScoredBoxes], targets: &[Score]) -> Result<Tensor> {
    let one = |(boxes, target): (&ScoredBoxes, &Score)| -> Result<Tensor> {
        let logit = |row: usize, class: usize| boxes.logits.get(row)?.get(class);
        match (nearest(boxes, target)?, target.against) {
            (Some(found), None) => logit(found.row, found.class),
            (Some(found), Some(other)) => {
                logit(found.row, found.class)?.sub(&logit(found.row, other)?)
            }
            (None, _) => boxes.logits.sum_all(),
        }
    };
    let scores = images.iter().zip(targets).map(one);
    Tensor::stack(&scores.collect::<Result<Vec<_>>>()?, 0)
}

/// How much of the object there is in each image, from 0 to 1: the greatest product of a box's score
/// and its IoU with the object's edges (Petsiuk et al. 2021, "Black-box Explanation of Object
/// Detectors via Saliency Maps", arXiv:2006.03204).
pub(crate) fn object_shares(images: &[ScoredBoxes], score: &Score) -> Result<Vec<f64>> {
    let share =
        |boxes: &ScoredBoxes| Ok(nearest(boxes, score)?.map_or(0., |found| f64::from(found.fit)));
    images.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Region;
    use candle_core::Device;

    /// Three boxes of two classes in an image of 100×100.
    fn boxes() -> ScoredBoxes {
        ScoredBoxes {
            boxes: vec![
                [0., 0., 20., 20.],
                [10., 0., 30., 20.],
                [60., 60., 90., 100.],
            ],
            logits: Tensor::new(&[[1f32, -1.], [3., 0.], [-2., 2.]], &Device::Cpu).unwrap(),
            scores: vec![0.7, 0.2, 0.9, 0.5, 0.1, 0.8],
            stages: vec![0, 0, 1],
        }
    }

    fn resolved(target: Target) -> Score {
        let scores = resolve_objects(&[target], &[boxes()], [100, 100]);
        scores.unwrap().remove(0)
    }

    #[test]
    fn the_surest_object_of_what_is_asked_for_is_explained() {
        let found = |target: Target| {
            let score = resolved(target);
            (score.class, score.edges.unwrap())
        };
        assert_eq!(found(Target::PREDICTED), (0, [10., 0., 30., 20.]));
        assert_eq!(found(Target::class(1)), (1, [60., 60., 90., 100.]));
        let lower = Region::new(0.5, 0., 1., 1.).unwrap();
        let lower = Target::PREDICTED.within(lower);
        assert_eq!(found(lower), (1, [60., 60., 90., 100.]));
        assert_eq!(resolved(Target::PREDICTED).stage, Some(0));
        assert_eq!(resolved(Target::class(1)).stage, Some(1));
        // What is said of a place is asked of the box that is nearest to it.
        let place = [0., 0., 18., 20.];
        assert_eq!(found(Target::PREDICTED.at(place)), (0, place));
        // An object that has been found stays the one that is asked for.
        let score = resolved(Target::class(1));
        assert_eq!(resolved(score.as_target()), score);
    }

    #[test]
    fn a_score_is_the_logit_of_the_nearest_box() {
        let images = [boxes(), boxes(), boxes()];
        let targets = [
            resolved(Target::class(0).at([0., 0., 18., 20.])),
            resolved(Target::class(1)),
            resolved(Target::class(0).against(1)),
        ];
        let scores = object_scores(&images, &targets).unwrap();
        assert_eq!(scores.to_vec1::<f32>().unwrap(), [1., 2., 3.]);
        // 0.7 of a box that overlaps with the object by 0.9.
        let share = object_shares(&images[..1], &targets[0]).unwrap()[0];
        assert!((share - 0.63).abs() < 1e-6, "{share}");
    }

    #[test]
    fn of_an_image_without_boxes_the_score_is_0() {
        let none = ScoredBoxes {
            boxes: Vec::new(),
            logits: Tensor::zeros((0, 2), candle_core::DType::F32, &Device::Cpu).unwrap(),
            scores: Vec::new(),
            stages: Vec::new(),
        };
        let target = resolved(Target::PREDICTED);
        let images = [none];
        let scores = object_scores(&images, std::slice::from_ref(&target)).unwrap();
        assert_eq!(scores.to_vec1::<f32>().unwrap(), [0.]);
        assert_eq!(object_shares(&images, &target).unwrap(), [0.]);
        let predicted = resolve_objects(&[Target::PREDICTED], &images, [100, 100]);
        assert!(predicted.is_err());
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        let corner = Region::new(0., 0.9, 0.1, 1.).unwrap();
        for target in [
            Target::class(2),
            Target::PREDICTED.against(2),
            Target::PREDICTED.within(corner),
            Target::PREDICTED.over(vec![true; 4]),
        ] {
            let found = resolve_objects(std::slice::from_ref(&target), &[boxes()], [100, 100]);
            assert!(matches!(found, Err(Error::Argument { .. })), "{target:?}");
        }
    }

    #[test]
    fn the_mirrored_score_is_of_the_mirrored_place() {
        let score = resolved(Target::PREDICTED).mirrored(100);
        assert_eq!(score.edges, Some([70., 0., 90., 20.]));
    }
}
