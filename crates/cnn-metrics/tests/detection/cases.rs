//! The images of `tools/goldens/detection_metrics.py`, drawn from the same numbers by the same
//! steps.

use cnn_metrics::{DetectedBox, DetectionMetrics, GroundTruthBox, Rect};

use crate::formula::stream;

const SCALES: [f64; 4] = [16.0, 64.0, 256.0, 1000.0];
const FACTORS: [f64; 5] = [1e-170, 1e-3, 1.0, 1e4, 3e5];
const SCORES: [f64; 3] = [4.0, 20.0, 1e9 + 7.0];
const STEP: f64 = 0.125;

/// What boxes are like.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Grid,
    Free,
    Extreme,
}

use Kind::{Extreme, Free, Grid};

const KINDS: [Kind; 8] = [Grid, Grid, Grid, Free, Free, Extreme, Grid, Free];

pub(crate) struct Case {
    pub(crate) classes: usize,
    pub(crate) images: Vec<Image>,
}

#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) truths: Vec<GroundTruthBox>,
    pub(crate) detections: Vec<DetectedBox>,
}

impl Case {
    pub(crate) fn metrics(&self) -> DetectionMetrics {
        let mut metrics = DetectionMetrics::new(self.classes).unwrap();
        for image in &self.images {
            metrics.update(&image.truths, &image.detections).unwrap();
        }
        metrics
    }
}

/// With ties, crowds, difficult objects and areas of any kind.
pub(crate) fn case(index: usize) -> Case {
    let name = format!("detection.{index}");
    draw(&name, KINDS[index % KINDS.len()], SCORES[index % 3], index)
}

/// Without.
pub(crate) fn plain_case(index: usize) -> Case {
    let mut case = draw(&format!("detection.plain.{index}"), Free, SCORES[2], index);
    for image in &mut case.images {
        for truth in &mut image.truths {
            *truth = truth.with_crowd(false).with_difficult(false);
        }
    }
    case
}

struct Draws<I> {
    values: I,
    kind: Kind,
    scale: f64,
    levels: f64,
}

impl<I: Iterator<Item = f64>> Draws<I> {
    fn uniform(&mut self) -> f64 {
        self.values.next().unwrap()
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.uniform() * bound as f64) as usize
    }

    fn rect(&mut self) -> Rect {
        let [mut x, mut y, mut width, mut height] = std::array::from_fn(|_| self.uniform());
        if self.kind == Grid {
            x = (x * 8.0).floor() * STEP;
            y = (y * 8.0).floor() * STEP;
            width = (1.0 + (width * 6.0).floor()) * STEP;
            height = (1.0 + (height * 6.0).floor()) * STEP;
        }
        if self.kind == Extreme {
            width *= FACTORS[self.below(5)];
            height *= FACTORS[self.below(5)];
        }
        let scale = self.scale;
        Rect::new(x * scale, y * scale, width * scale, height * scale)
    }

    fn truth(&mut self, classes: usize) -> GroundTruthBox {
        let rect = self.rect();
        let class = self.below(classes);
        let way = self.uniform();
        let share = self.uniform();
        let area = match way {
            0.9.. => 1024.0,
            0.8.. => 9216.0,
            0.6.. => rect.area() * share,
            _ => rect.area(),
        };
        let is_crowd = self.uniform() < 0.12;
        let is_difficult = self.uniform() < 0.1;
        GroundTruthBox::new(rect, class)
            .with_area(area)
            .with_crowd(is_crowd)
            .with_difficult(is_difficult)
    }

    fn detection(&mut self, truths: &[GroundTruthBox], classes: usize) -> DetectedBox {
        let score = (self.uniform() * self.levels).floor() / self.levels;
        let mut class = self.below(classes);
        if truths.is_empty() || self.uniform() > 0.65 {
            return DetectedBox::new(self.rect(), class, score);
        }
        let truth = truths[self.below(truths.len())];
        if self.uniform() < 0.8 {
            class = truth.class;
        }
        let Rect {
            x,
            y,
            width,
            height,
        } = truth.rect;
        let mut numbers = [x, y, width, height];
        if self.uniform() > 0.3 {
            for (part, number) in numbers.iter_mut().enumerate() {
                let shift = self.uniform();
                *number += match self.kind {
                    Grid => ((shift * 3.0).floor() - 1.0) * STEP * self.scale,
                    _ => (shift - 0.5) * 0.4 * [width, height][part % 2],
                };
            }
        }
        let [x, y, width, height] = numbers;
        let rect = Rect::new(x, y, width.max(0.0), height.max(0.0));
        DetectedBox::new(rect, class, score)
    }
}

fn draw(name: &str, kind: Kind, levels: f64, index: usize) -> Case {
    let mut draws = Draws {
        values: stream(name),
        kind,
        scale: 1.0,
        levels,
    };
    let is_full = index % 25 == 11;
    let mut classes = 1 + draws.below(5);
    if is_full {
        classes = 1;
    }
    draws.scale = SCALES[draws.below(SCALES.len())];
    let of_truths = match index % 3 {
        0 => (classes - 1).max(1),
        _ => classes,
    };
    let mut images = Vec::new();
    for image in 0..1 + draws.below(6) {
        let truths: Vec<_> = (0..draws.below(9))
            .map(|_| draws.truth(of_truths))
            .collect();
        let mut count = draws.below(25);
        if is_full && image == 0 {
            count += 150;
        }
        let mut detections: Vec<_> = (0..count)
            .map(|_| draws.detection(&truths, classes))
            .collect();
        if index % 5 == 1 && !is_full {
            detections.retain(|detection| detection.class > 0);
        }
        images.push(Image { truths, detections });
    }
    Case { classes, images }
}
