//! Against the programs that define the metrics.

use cnn_metrics::{
    ConfusionThresholds, ErrorShare, ErrorThresholds, ScoreCurve, ScorePoint, VocInterpolation,
};
use serde_json::Value;

use crate::cases::{case, plain_case};

const GOLDEN: &str = include_str!("../golden/detection.json");
const TOLERANCE: f64 = 1e-9;

fn golden(part: &str) -> Vec<Value> {
    let mut golden: Value = serde_json::from_str(GOLDEN).unwrap();
    serde_json::from_value(golden[part].take()).unwrap()
}

#[track_caller]
fn assert_close(value: f64, expected: &Value, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!(
        (value - expected).abs() < TOLERANCE,
        "{what}: {value} {expected}"
    );
}

#[track_caller]
fn assert_optional(value: Option<f64>, expected: &Value, what: &str) {
    match value {
        Some(value) => assert_close(value, expected, what),
        None => assert!(expected.is_null(), "{what}: nothing, expected {expected}"),
    }
}

#[test]
fn coco_equals_pycocotools() {
    let golden = golden("cases");
    assert_eq!(golden.len(), 200);
    for (index, expected) in golden.iter().enumerate() {
        let case = case(index);
        let coco = case.metrics().coco().unwrap();
        for (number, value) in coco.summary().into_iter().enumerate() {
            let what = format!("case {index}, number {number}");
            assert_optional(value, &expected["summary"][number], &what);
        }
        assert_eq!(coco.per_class.len(), case.classes);
        for (class, scores) in coco.per_class.iter().enumerate() {
            let what = format!("case {index}, class {class}");
            let expected = &expected["per_class"][class];
            assert_eq!(scores.class, class);
            assert_eq!(Some(scores.objects), expected[0].as_u64(), "{what}");
            assert_optional(scores.ap, &expected[1], &what);
            assert_optional(scores.ap50, &expected[2], &what);
        }
    }
}

#[test]
fn voc_equals_its_development_kit() {
    for (index, expected) in golden("cases").iter().enumerate() {
        let metrics = case(index).metrics();
        for (year, interpolation) in [VocInterpolation::ElevenPoints, VocInterpolation::AllPoints]
            .into_iter()
            .enumerate()
        {
            let voc = metrics.voc(interpolation, 0.5).unwrap();
            let mut aps = Vec::new();
            for (class, scores) in voc.per_class.iter().enumerate() {
                let what = format!("case {index}, class {class}, {interpolation:?}");
                assert_optional(scores.ap, &expected["voc"][class][year], &what);
                aps.extend(scores.ap);
            }
            let mean = (!aps.is_empty()).then(|| aps.iter().sum::<f64>() / aps.len() as f64);
            assert_eq!(voc.mean_ap, mean);
        }
    }
}

#[test]
fn confusion_equals_ultralytics() {
    for (index, expected) in golden("plain").iter().enumerate() {
        let case = plain_case(index);
        let thresholds = ConfusionThresholds::default();
        let confusion = case.metrics().confusion(&thresholds).unwrap();
        let rows: Vec<Vec<u64>> = serde_json::from_value(expected["confusion"].clone()).unwrap();
        assert_eq!(confusion.matrix.rows(), rows, "case {index}");
        assert_eq!(confusion.background, case.classes);
    }
}

#[test]
fn errors_equal_tidecv() {
    for (index, expected) in golden("plain").iter().enumerate() {
        let metrics = plain_case(index).metrics();
        let errors = metrics.errors(&ErrorThresholds::default()).unwrap();
        let expected = &expected["errors"];
        assert_optional(errors.ap, &expected["ap"], &format!("case {index}"));
        assert_eq!(errors.ap, metrics.coco().unwrap().ap50);
        let shares: [(&str, ErrorShare); 6] = [
            ("classification", errors.classification),
            ("location", errors.location),
            ("both", errors.both),
            ("duplicate", errors.duplicate),
            ("background", errors.background),
            ("missed", errors.missed),
        ];
        for (kind, share) in shares {
            let what = format!("case {index}, {kind}");
            assert_eq!(Some(share.count), expected[kind][0].as_u64(), "{what}");
            assert_optional(share.ap_gain, &expected[kind][1], &what);
        }
    }
}

#[track_caller]
fn assert_point(point: &ScorePoint, expected: &Value, what: &str) {
    assert_close(point.precision, &expected[0], what);
    assert_close(point.recall, &expected[1], what);
    assert_close(point.f1, &expected[2], what);
}

#[track_caller]
fn assert_curve(curve: &ScoreCurve, expected: &Value, what: &str) {
    let Some(best) = curve.best else {
        assert!(expected.is_null() && curve.points.is_empty(), "{what}");
        return;
    };
    let expected_best = expected["best"].as_array().unwrap();
    assert_close(best.score, &expected_best[0], what);
    assert_point(&best, &Value::from(&expected_best[1..]), what);
    for (place, least) in [0.3, 0.6].into_iter().enumerate() {
        let expected = &expected["at"][place];
        match curve.at(least) {
            Some(point) => assert_point(point, expected, what),
            None => assert_eq!(expected[1].as_f64(), Some(0.0)),
        }
    }
}

#[test]
fn curves_equal_those_of_pycocotools_matches() {
    for (index, expected) in golden("plain").iter().enumerate() {
        let curves = plain_case(index).metrics().curves(0.5).unwrap();
        let expected = &expected["curves"];
        let what = format!("case {index}");
        assert_curve(&curves.overall, &expected["overall"], &what);
        for (class, curve) in curves.per_class.iter().enumerate() {
            assert_curve(curve, &expected["per_class"][class], &what);
        }
        match curves.best_mean_f1 {
            Some(best) => {
                assert_close(best.score, &expected["best_mean_f1"][0], &what);
                assert_close(best.f1, &expected["best_mean_f1"][1], &what);
            }
            None => assert!(expected["best_mean_f1"].is_null()),
        }
    }
}
