//! What holds for any images.

use cnn_metrics::{
    DetectedBox, DetectionMetrics, ErrorThresholds, GroundTruthBox, Rect, VocInterpolation,
};

use crate::cases::{Case, case, plain_case};
use crate::formula::stream;

/// All scores that rise with better detections.
fn scores(metrics: &DetectionMetrics) -> Vec<Option<f64>> {
    let coco = metrics.coco().unwrap();
    let voc = |interpolation| metrics.voc(interpolation, 0.5).unwrap().mean_ap;
    let mut scores = coco.summary().to_vec();
    scores.push(voc(VocInterpolation::ElevenPoints));
    scores.push(voc(VocInterpolation::AllPoints));
    scores
}

/// Each object is found where it is, and nothing else.
fn perfect(mut case: Case) -> Case {
    let mut draws = stream("detection.perfect");
    for image in &mut case.images {
        let found = image.truths.iter().map(|truth| {
            let score = draws.next().unwrap();
            DetectedBox::new(truth.rect, truth.class, score)
        });
        image.detections = found.collect();
    }
    case
}

#[test]
fn perfect_detections_score_one() {
    for index in 0..24 {
        let case = perfect(plain_case(index));
        let metrics = case.metrics();
        let coco = metrics.coco().unwrap();
        let ones = [coco.ap, coco.ap50, coco.ap75, coco.ar10, coco.ar100];
        for score in ones.into_iter().flatten() {
            assert!((score - 1.0).abs() < 1e-12, "case {index}: {score}");
        }
        let voc = metrics.voc(VocInterpolation::AllPoints, 0.5).unwrap();
        assert!(voc.mean_ap.is_none_or(|ap| (ap - 1.0).abs() < 1e-12));
        if let Some(best) = metrics.curves(0.5).unwrap().overall.best {
            assert_eq!((best.precision, best.recall, best.f1), (1.0, 1.0, 1.0));
        }
        let confusion = metrics.confusion(&Default::default()).unwrap().matrix;
        let kept = case.images.iter().flat_map(|image| &image.detections);
        let kept = kept.filter(|detection| detection.score >= 0.25).count();
        assert_eq!(confusion.correct(), kept as u64);
        let errors = metrics.errors(&ErrorThresholds::default()).unwrap();
        let counts = [
            errors.classification,
            errors.location,
            errors.both,
            errors.duplicate,
            errors.background,
            errors.missed,
        ];
        assert_eq!(counts.map(|share| share.count), [0; 6]);
    }
}

#[test]
fn the_order_of_detections_does_not_matter_where_scores_differ() {
    for index in (2..200).step_by(3) {
        let given = case(index);
        let mut turned = case(index);
        for image in &mut turned.images {
            image.detections.reverse();
        }
        turned.images.reverse();
        assert_close(&scores(&given.metrics()), &scores(&turned.metrics()), index);
        let errors = |case: &Case| case.metrics().errors(&ErrorThresholds::default()).unwrap();
        let given = errors(&given);
        let turned = errors(&turned);
        assert_eq!(given.duplicate.count, turned.duplicate.count);
        assert_close(&[given.ap], &[turned.ap], index);
    }
}

#[track_caller]
fn assert_close(found: &[Option<f64>], expected: &[Option<f64>], index: usize) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.is_some(), expected.is_some(), "case {index}");
        let differ = found.unwrap_or(0.0) - expected.unwrap_or(0.0);
        assert!(differ.abs() < 1e-12, "case {index}: {found:?} {expected:?}");
    }
}

#[test]
fn a_wrong_detection_of_any_score_raises_nothing() {
    for index in 0..24 {
        let case = plain_case(index);
        let before = scores(&case.metrics());
        for score in [-1.0, 0.5, 2.0] {
            let mut more = plain_case(index);
            for image in &mut more.images {
                let nowhere = Rect::new(1e6, 1e6, 20.0, 20.0);
                image.detections.push(DetectedBox::new(nowhere, 0, score));
            }
            for (after, before) in scores(&more.metrics()).iter().zip(&before) {
                let rise = after.unwrap_or(0.0) - before.unwrap_or(0.0);
                assert!(rise <= 1e-12, "case {index}: {before:?} {after:?}");
            }
        }
    }
}

#[test]
fn only_the_first_hundred_detections_count_for_coco() {
    let place = Rect::new(0.0, 0.0, 10.0, 10.0);
    let nowhere = Rect::new(50.0, 0.0, 10.0, 10.0);
    for (before, ap) in [(99, 1.0 / 100.0), (100, 0.0)] {
        let mut detections = vec![DetectedBox::new(nowhere, 0, 0.9); before];
        detections.push(DetectedBox::new(place, 0, 0.1));
        let mut metrics = DetectionMetrics::new(1).unwrap();
        metrics
            .update(&[GroundTruthBox::new(place, 0)], &detections)
            .unwrap();
        let coco = metrics.coco().unwrap();
        let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-12;
        assert!(close(coco.ap50, ap), "{:?}", coco.ap50);
        assert_eq!(coco.ar10, Some(0.0));
        let errors = metrics.errors(&ErrorThresholds::default()).unwrap();
        assert_eq!(errors.ap, coco.ap50);
        assert_eq!(errors.background.count, before as u64);
        assert_eq!(errors.missed.count, u64::from(before == 100));
        let voc = metrics.voc(VocInterpolation::AllPoints, 0.5).unwrap();
        assert!(close(voc.mean_ap, 1.0 / (before + 1) as f64));
        let curve = metrics.curves(0.5).unwrap().overall;
        assert_eq!(curve.at(0.1).unwrap().recall, 1.0);
    }
}

#[test]
fn a_detection_is_an_object_from_the_threshold_on() {
    let truth = Rect::new(0.0, 0.0, 16.0, 8.0);
    let recall = |detection: Rect, min_iou: f64| {
        let mut metrics = DetectionMetrics::new(1).unwrap();
        let detections = [DetectedBox::new(detection, 0, 0.5)];
        metrics
            .update(&[GroundTruthBox::new(truth, 0)], &detections)
            .unwrap();
        metrics.curves(min_iou).unwrap().overall.points[0].recall
    };
    for (height, min_iou) in [(4.0, 0.5), (6.0, 0.75), (2.0, 0.25)] {
        let of_height = |height| recall(Rect::new(0.0, 0.0, 16.0, height), min_iou);
        assert_eq!(of_height(height), 1.0);
        assert_eq!(of_height(height - 1e-12), 0.0);
    }
    // One and the same box is found at a threshold of 1, whatever rounding made of it.
    assert_eq!(recall(Rect::new(1e-12, 0.0, 16.0, 8.0), 1.0), 1.0);
    assert_eq!(recall(Rect::new(1e-8, 0.0, 16.0, 8.0), 1.0), 0.0);
}
