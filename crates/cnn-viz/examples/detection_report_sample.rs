//! What the report of a network that finds objects looks like, from made-up detections in pictures
//! of the data set `shapes`.
//!
//! `cargo run -p cnn-viz --features report --example detection_report_sample -- report.html` writes
//! the page and prints
//!
//! ```text
//! report.html: 457 objects, 472 detections
//! ```
#![forbid(unsafe_code)]

use anyhow::{Context, Result};
use cnn_core::{Key, Rng};
use cnn_data::{BoundingBox, Dataset, Shapes, ShapesConfig};
use cnn_metrics::{DetectedBox, DetectionMetrics, GroundTruthBox, Rect};
use cnn_viz::{BoxGroup, BoxedPhoto, DetectionResults, Fact, PictureBox, Report, draw_small_boxes};

fn main() -> Result<()> {
    let path = std::env::args()
        .nth(1)
        .context("where to? give a path, such as report.html")?;
    let config = ShapesConfig::default().with_size(480, 640);
    let shapes = Shapes::new(config.with_samples(160).with_objects(1..=5))?;
    let names = shapes.classes();
    let mut metrics = DetectionMetrics::new(names.len())?;
    let mut photos = Vec::new();
    for index in 0..shapes.len() {
        let sample = shapes.read(index)?;
        let mut rng = Key::new(0).stream("detections").at(index as u64).rng();
        let found = detections(&sample.boxes, &mut rng, names.len());
        let truth = |truth: &BoundingBox| GroundTruthBox::new(rect(truth.edges()), truth.class);
        let truths: Vec<_> = sample.boxes.iter().map(truth).collect();
        metrics.update(&truths, &found)?;
        if index < 6 {
            let draw = |boxes: &[PictureBox]| {
                draw_small_boxes(&sample.image, BoxedPhoto::LONGEST_SIDE, boxes)
            };
            let is_same = |truth: &GroundTruthBox, found: &DetectedBox| {
                truth.class == found.class && truth.rect.iou(&found.rect) >= 0.5
            };
            let of_truth = |truth: &GroundTruthBox| PictureBox {
                edges: truth.rect.edges().map(|edge| edge as f32),
                word: names[truth.class].clone(),
                color: truth.class,
                is_dashed: !found.iter().any(|found| is_same(truth, found)),
            };
            let of_found = |found: &DetectedBox| PictureBox {
                edges: found.rect.edges().map(|edge| edge as f32),
                word: format!("{} {:.0}%", names[found.class], 100. * found.score),
                color: found.class,
                is_dashed: !truths.iter().any(|truth| is_same(truth, found)),
            };
            photos.push(BoxedPhoto {
                path: shapes.id(index),
                caption: format!("{} objects, {} detections", truths.len(), found.len()),
                truth: draw(&truths.iter().map(of_truth).collect::<Vec<_>>())?,
                prediction: draw(&found.iter().map(of_found).collect::<Vec<_>>())?,
            });
        }
    }
    let result = metrics.result()?;
    println!(
        "{path}: {} objects, {} detections",
        result.objects, result.detections
    );
    let report = Report {
        title: "a detector on shapes".into(),
        summary: vec![Fact::new("data", "shapes").with_note("made-up detections")],
        detections: Some(DetectionResults {
            evaluated_on: "train split, made-up detections".into(),
            names: names.to_vec(),
            result,
        }),
        boxes: vec![BoxGroup {
            title: "Photos".into(),
            note: Some("Dashed: objects that were missed, and detections that are none.".into()),
            photos,
        }],
        ..Report::default()
    };
    std::fs::write(&path, report.to_html()?).with_context(|| format!("cannot write {path}"))
}

fn rect(edges: [f32; 4]) -> Rect {
    Rect::from_edges(edges.map(f64::from))
}

/// Most objects, more or less in their places, some as another class; and here and there nothing.
fn detections(truths: &[BoundingBox], rng: &mut Rng, classes: usize) -> Vec<DetectedBox> {
    let mut found = Vec::new();
    for truth in truths {
        if rng.bernoulli(0.15) {
            continue;
        }
        let surely = rng.uniform();
        let place = rect(truth.edges());
        let mut off = |side: f64| 0.15 * (1.2 - surely) * side * rng.normal();
        let moved = Rect {
            x: place.x + off(place.width),
            y: place.y + off(place.height),
            ..place
        };
        let is_other = rng.bernoulli(0.3 * (1. - surely));
        let class = (truth.class + usize::from(is_other)) % classes;
        found.push(DetectedBox::new(moved, class, 0.3 + 0.68 * surely));
    }
    for _ in 0..rng.below(2) {
        let [x, y, side] = [500., 350., 100.].map(|most| most * rng.uniform());
        let class = rng.below(classes as u64) as usize;
        let rect = Rect::new(x, y, 20. + side, 20. + side);
        found.push(DetectedBox::new(rect, class, 0.05 + 0.5 * rng.uniform()));
    }
    found
}
