//! Metrics of segmentation against torchvision's reference, segmentation_models.pytorch, scipy and
//! scikit-image: `tools/goldens/segmentation.py` makes the numbers, and the masks by the same
//! formula.
#![allow(clippy::unwrap_used, clippy::panic)]

use cnn_metrics::{
    Bootstrap, BoundaryF1, IGNORED_TARGET, Interval, SegmentationMetrics, SegmentationResult,
    SplitMerge, connected_components, information_f_score, rand_f_score, thin_borders,
};
use serde_json::Value;

mod formula;

use formula::uniform;

const GOLDEN: &str = include_str!("golden/segmentation.json");
const TOLERANCE: f64 = 1e-12;
const CLASSES: usize = 7;
const CELL: usize = 6;
const SIZES: [Size; 6] = [
    Size::new(24, 31),
    Size::new(17, 40),
    Size::new(33, 20),
    Size::new(9, 9),
    Size::new(28, 26),
    Size::new(12, 10),
];
const SECTION: Size = Size::new(47, 61);
const CELLS: usize = 14;

#[derive(Clone, Copy)]
struct Size {
    height: usize,
    width: usize,
}

impl Size {
    const fn new(height: usize, width: usize) -> Self {
        Self { height, width }
    }

    fn pixels(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.height).flat_map(move |y| (0..self.width).map(move |x| (y, x)))
    }

    fn count(self) -> usize {
        self.height * self.width
    }
}

struct Masks {
    prediction: Vec<u8>,
    target: Vec<u8>,
    size: Size,
}

fn masks(image: usize) -> Masks {
    let size = SIZES[image];
    let columns = size.width.div_ceil(CELL);
    let draw = |part: &str, count| uniform(&format!("segmentation.{image}.{part}"), count);
    let blocks = draw("blocks", size.height.div_ceil(CELL) * columns);
    let block = |y: usize, x: usize| {
        (blocks[y / CELL * columns + x / CELL] * (image + 2).min(5) as f64) as u8
    };
    let ignored = draw("ignored", size.count());
    let noise = draw("noise", size.count());
    let class = draw("class", size.count());
    let ignored_share = if image == SIZES.len() - 1 { 1.0 } else { 0.04 };
    let mut masks = Masks {
        prediction: Vec::new(),
        target: Vec::new(),
        size,
    };
    for (pixel, (y, x)) in size.pixels().enumerate() {
        masks.target.push(if ignored[pixel] < ignored_share {
            IGNORED_TARGET
        } else {
            block(y, x)
        });
        masks.prediction.push(if noise[pixel] < 0.1 {
            (class[pixel] * (image + 2).min(6) as f64) as u8
        } else {
            block((y + 1).min(size.height - 1), (x + 1).min(size.width - 1))
        });
    }
    masks
}

/// A section's cells (1) and membranes (0).
fn membranes() -> Masks {
    let size = SECTION;
    let rows = uniform("section.rows", CELLS);
    let columns = uniform("section.columns", CELLS);
    let nearest = |y: usize, x: usize| {
        let distance = |cell: &usize| {
            let row = (rows[*cell] * size.height as f64) as usize;
            let column = (columns[*cell] * size.width as f64) as usize;
            y.abs_diff(row).pow(2) + x.abs_diff(column).pow(2)
        };
        (0..CELLS).min_by_key(distance).unwrap()
    };
    let membrane = |y: usize, x: usize| {
        (y + 1 < size.height && nearest(y, x) != nearest(y + 1, x))
            || (x + 1 < size.width && nearest(y, x) != nearest(y, x + 1))
    };
    let block_columns = size.width.div_ceil(4);
    let blocks = uniform("section.gaps", size.height.div_ceil(4) * block_columns);
    let predicted = |y: usize, x: usize| {
        let thick =
            membrane(y, x) || (y > 0 && membrane(y - 1, x)) || (x > 1 && membrane(y, x - 2));
        let block = blocks[y / 4 * block_columns + x / 4];
        (thick && block >= 0.12) || block >= 0.97
    };
    let cells = |is_membrane: &dyn Fn(usize, usize) -> bool| {
        let pixels = size.pixels();
        pixels.map(|(y, x)| u8::from(!is_membrane(y, x))).collect()
    };
    Masks {
        prediction: cells(&predicted),
        target: cells(&membrane),
        size,
    }
}

fn golden() -> Value {
    serde_json::from_str(GOLDEN).unwrap()
}

fn gathered() -> SegmentationMetrics {
    let mut metrics = SegmentationMetrics::new(CLASSES).unwrap();
    for masks in (0..SIZES.len()).map(masks) {
        metrics.update(&masks.prediction, &masks.target).unwrap();
    }
    metrics
}

#[track_caller]
fn assert_close(value: f64, expected: &Value) {
    let expected = expected.as_f64().unwrap();
    assert!((value - expected).abs() < TOLERANCE, "{value} {expected}");
}

#[track_caller]
fn assert_optional(value: Option<f64>, expected: &Value) {
    match value {
        Some(value) => assert_close(value, expected),
        None => assert!(expected.is_null(), "nothing, expected {expected}"),
    }
}

#[test]
fn what_is_counted_equals_torchvision() {
    let expected = &golden()["counted"];
    let metrics = gathered();
    let result = metrics.result().unwrap();
    let rows: Vec<Vec<u64>> = serde_json::from_value(expected["confusion"].clone()).unwrap();
    assert_eq!(result.confusion.rows(), rows);
    assert_eq!(&result.confusion, metrics.confusion());
    assert_eq!(result.samples, 6);
    assert_eq!(result.pixels, rows.iter().flatten().sum::<u64>());
    let all: usize = SIZES.iter().map(|size| size.count()).sum();
    assert_eq!(result.pixels + result.ignored_pixels, all as u64);
    for (class, scores) in result.per_class.iter().enumerate() {
        assert_eq!(scores.class, class);
        assert_eq!(scores.pixels, rows[class].iter().sum::<u64>());
        let column: u64 = rows.iter().map(|row| row[class]).sum();
        assert_eq!(scores.predicted_pixels, column);
        assert_optional(scores.iou, &expected["iou"][class]);
        assert_optional(scores.accuracy, &expected["accuracy"][class]);
        let dice = scores.iou.map(|iou| 2.0 * iou / (1.0 + iou));
        let differ = dice.unwrap_or(-1.0) - scores.dice.unwrap_or(-1.0);
        assert!(differ.abs() < TOLERANCE);
    }
    // The fixture has a class that occurs nowhere and one that is only predicted.
    assert_eq!(result.per_class[6].iou, None);
    assert_eq!(result.per_class[5].accuracy, None);
    assert_eq!(result.per_class[5].iou, Some(0.0));
    assert_close(result.pixel_accuracy, &expected["pixel_accuracy"]);
    assert_close(result.mean_iou, &expected["mean_iou"]);
    assert_close(result.mean_accuracy, &expected["mean_accuracy"]);
    assert_close(
        result.frequency_weighted_iou,
        &expected["frequency_weighted_iou"],
    );
}

#[test]
fn reductions_equal_segmentation_models_pytorch() {
    let golden = golden();
    let result = gathered().result().unwrap();
    type Score = fn(&SegmentationResult) -> f64;
    let cases: [(&str, &str, Score); 9] = [
        ("iou", "micro", |result| result.micro_iou),
        ("iou", "macro", |result| result.mean_iou),
        ("iou", "micro-imagewise", |result| {
            result.micro_iou_per_image
        }),
        ("iou", "macro-imagewise", |result| result.mean_iou_per_image),
        ("iou", "weighted", |result| result.frequency_weighted_iou),
        ("f1", "micro", |result| result.pixel_accuracy),
        ("f1", "macro", |result| result.mean_dice),
        ("f1", "micro-imagewise", |result| {
            result.pixel_accuracy_per_image
        }),
        ("f1", "macro-imagewise", |result| result.mean_dice_per_image),
    ];
    for (score, reduction, value) in cases {
        assert_close(value(&result), &golden["reductions"][score][reduction]);
    }
    let accuracy = result.pixel_accuracy;
    assert!((result.micro_iou - accuracy / (2.0 - accuracy)).abs() < TOLERANCE);
}

#[track_caller]
fn assert_interval(interval: Interval, expected: &Value) {
    assert_close(interval.low, &expected[0]);
    assert_close(interval.high, &expected[1]);
}

#[test]
fn intervals_equal_numpy_on_the_same_draws() {
    let expected = &golden()["bootstrap"];
    let bootstrap = Bootstrap {
        resamples: expected["resamples"].as_u64().unwrap() as usize,
        confidence: expected["confidence"].as_f64().unwrap(),
        seed: expected["seed"].as_u64().unwrap(),
    };
    let intervals = gathered().intervals(&bootstrap).unwrap();
    assert_interval(intervals.mean_iou, &expected["mean_iou"]);
    for (class, interval) in intervals.per_class_iou.iter().enumerate() {
        match interval {
            Some(interval) => assert_interval(*interval, &expected["iou"][class]),
            None => assert!(expected["iou"][class].is_null()),
        }
    }
    assert_eq!(intervals.per_class_iou[6], None);
}

#[test]
fn boundary_scores_equal_scipy() {
    let golden = golden();
    for expected in golden["boundary"].as_array().unwrap() {
        let tolerance = expected["tolerance"].as_f64().unwrap();
        let mut scores = BoundaryF1::new(CLASSES)
            .unwrap()
            .with_tolerance(tolerance)
            .unwrap();
        for masks in (0..SIZES.len()).map(masks) {
            let Size { height, width } = masks.size;
            scores
                .update(&masks.prediction, &masks.target, height, width)
                .unwrap();
        }
        let result = scores.result().unwrap();
        assert_eq!(result.samples, 6);
        assert_optional(result.mean_per_image, &expected["mean_per_image"]);
        for (class, score) in result.per_class.iter().enumerate() {
            assert_optional(*score, &expected["per_class"][class]);
        }
    }
}

#[track_caller]
fn assert_scores(scores: SplitMerge, expected: &Value) {
    assert_close(scores.f_score, &expected["f_score"]);
    assert_close(scores.split, &expected["split"]);
    assert_close(scores.merge, &expected["merge"]);
}

#[test]
fn segments_equal_scikit_image_and_the_challenge() {
    let expected = &golden()["section"];
    let masks = membranes();
    let Size { height, width } = masks.size;
    let segments = |mask: &[u8]| connected_components(mask, height, width, 1).unwrap();
    let truth = segments(&masks.target);
    let thick = segments(&masks.prediction);
    let count = |labels: &[u32]| u64::from(*labels.iter().max().unwrap());
    assert_eq!(count(&truth), expected["segments"][0].as_u64().unwrap());
    assert_eq!(count(&thick), expected["segments"][1].as_u64().unwrap());

    let thin = thin_borders(&thick, height, width).unwrap();
    let lines: Vec<usize> = serde_json::from_value(expected["lines"].clone()).unwrap();
    let background = |labels: &[u32]| -> Vec<usize> {
        (0..labels.len())
            .filter(|&pixel| labels[pixel] == 0)
            .collect()
    };
    assert_eq!(background(&thin), lines);
    assert!(background(&thick).len() > 2 * lines.len());

    for (labels, expected) in [(&thick, &expected["thick"]), (&thin, &expected["thin"])] {
        assert_scores(rand_f_score(&truth, labels).unwrap(), &expected["rand"]);
        assert_scores(
            information_f_score(&truth, labels).unwrap(),
            &expected["information"],
        );
    }
}
