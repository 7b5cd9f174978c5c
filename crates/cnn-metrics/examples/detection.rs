//! Time of the metrics of object detection, on boxes of a validation set's size: 5000 images of 80
//! classes, with 7 objects and 100 detections each.
//!
//! `cargo run --release -p cnn-metrics --example detection -- [folder]` prints a line for each
//! metric. Into a folder it also writes `truth.json` and `detections.json`, from which pycocotools'
//! `COCO(..).loadRes(..)` and `COCOeval` compute the same numbers.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::time::Instant;

use cnn_metrics::{
    ConfusionThresholds, DetectedBox, DetectionMetrics, ErrorThresholds, GroundTruthBox, Rect,
    VocInterpolation,
};
use serde_json::json;

const IMAGES: usize = 5000;
const CLASSES: usize = 80;
const OBJECTS: usize = 7;
const DETECTIONS: usize = 100;

struct Image {
    truths: Vec<GroundTruthBox>,
    detections: Vec<DetectedBox>,
}

/// SplitMix64.
struct Draws(u64);

impl Draws {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.uniform() * bound as f64) as usize
    }

    fn truth(&mut self) -> GroundTruthBox {
        let width = 400.0 * self.uniform().powi(2) + 4.0;
        let height = 400.0 * self.uniform().powi(2) + 4.0;
        let rect = Rect::new(
            self.uniform() * 600.0,
            self.uniform() * 400.0,
            width,
            height,
        );
        let class = self.below(CLASSES);
        GroundTruthBox::new(rect, class).with_crowd(self.uniform() < 0.01)
    }

    /// Every third is near an object.
    fn detection(&mut self, truths: &[GroundTruthBox]) -> DetectedBox {
        if self.below(3) > 0 {
            let GroundTruthBox { rect, class, .. } = self.truth();
            return DetectedBox::new(rect, class, self.uniform().powi(4));
        }
        let truth = truths[self.below(truths.len())];
        let mut shift = |side: f64| (self.uniform() - 0.5) * 0.3 * side;
        let Rect { width, height, .. } = truth.rect;
        let rect = Rect::new(
            truth.rect.x + shift(width),
            truth.rect.y + shift(height),
            width + shift(width),
            height + shift(height),
        );
        DetectedBox::new(rect, truth.class, self.uniform())
    }
}

fn images() -> Vec<Image> {
    let mut draws = Draws(0);
    let image = |_| {
        let truths: Vec<_> = (0..OBJECTS).map(|_| draws.truth()).collect();
        let detections = (0..DETECTIONS).map(|_| draws.detection(&truths)).collect();
        Image { truths, detections }
    };
    (0..IMAGES).map(image).collect()
}

fn timed<T>(name: &str, metric: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = metric();
    println!("{name:<12} {:6.2} s", start.elapsed().as_secs_f64());
    result
}

/// As files of COCO.
fn write(images: &[Image], folder: &Path) {
    let mut truths = Vec::new();
    let mut detections = Vec::new();
    for (image, boxes) in images.iter().enumerate() {
        for truth in &boxes.truths {
            truths.push(json!({
                "id": truths.len() + 1, "image_id": image, "category_id": truth.class,
                "bbox": numbers(&truth.rect), "area": truth.area, "iscrowd": u8::from(truth.is_crowd),
            }));
        }
        for detection in &boxes.detections {
            detections.push(json!({
                "image_id": image, "category_id": detection.class,
                "bbox": numbers(&detection.rect), "score": detection.score,
            }));
        }
    }
    let named = |count: usize| -> Vec<_> { (0..count).map(|id| json!({ "id": id })).collect() };
    let truth = json!({
        "images": named(images.len()), "categories": named(CLASSES), "annotations": truths,
    });
    std::fs::write(folder.join("truth.json"), truth.to_string()).unwrap();
    let detections = serde_json::Value::from(detections).to_string();
    std::fs::write(folder.join("detections.json"), detections).unwrap();
}

fn numbers(rect: &Rect) -> [f64; 4] {
    [rect.x, rect.y, rect.width, rect.height]
}

fn main() {
    let images = images();
    if let Some(folder) = std::env::args().nth(1) {
        write(&images, Path::new(&folder));
    }
    let mut metrics = DetectionMetrics::new(CLASSES).unwrap();
    timed("update", || {
        for image in &images {
            metrics.update(&image.truths, &image.detections).unwrap();
        }
    });
    let coco = timed("coco", || metrics.coco().unwrap());
    timed("voc", || {
        metrics.voc(VocInterpolation::AllPoints, 0.5).unwrap()
    });
    timed("curves", || metrics.curves(0.5).unwrap());
    timed("confusion", || {
        metrics.confusion(&ConfusionThresholds::default()).unwrap()
    });
    timed("errors", || {
        metrics.errors(&ErrorThresholds::default()).unwrap()
    });
    println!("{:?}", coco.summary().map(Option::unwrap_or_default));
}
