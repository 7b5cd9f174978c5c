//! Cutting out a part that an object overlaps by at least so much.

use cnn_core::Rng;

use super::Transform;
use super::arguments::ordered;
use super::geometry::crop;
use crate::{Affine, BoundingBox, Error, Mask, Sample};

/// What a part has to overlap the best object by, one of which is drawn; 1 stands for the whole
/// image.
const LEAST_IOUS: [f64; 7] = [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0];
/// Parts that are tried before another overlap is drawn.
const TRIALS: usize = 40;

/// Cuts out a random part with some object in it (Liu et al. 2016, "SSD: Single Shot MultiBox
/// Detector", section 2.2), by the algorithm of torchvision's `RandomIoUCrop`.
///
/// It is drawn by how much the part has to overlap some object, as intersection over union: 0, 0.1,
/// 0.3, 0.5, 0.7 or 0.9, or whether the image stays whole. Sides are shares of the image's, uniform
/// within `scale`, and their ratio lies within 0.5 to 2. Objects whose centre lies outside go, and
/// the others are cut. An image without objects stays as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomIouCrop {
    scale: [f64; 2],
}

impl Default for RandomIouCrop {
    fn default() -> Self {
        Self { scale: [0.3, 1.0] }
    }
}

impl RandomIouCrop {
    /// The smallest and the largest share of each side. Default 0.3 and 1.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if they are out of order or not in `0.01..=1`.
    pub fn with_scale(self, low: f64, high: f64) -> Result<Self, Error> {
        Ok(Self {
            scale: ordered("scale", [low, high], 0.01..=1.0)?,
        })
    }

    /// A part of an image of `height` and `width` with these objects; `None` for the whole.
    fn draw(
        &self,
        [height, width]: [usize; 2],
        boxes: &[BoundingBox],
        rng: &mut Rng,
    ) -> Option<Part> {
        loop {
            let least = LEAST_IOUS[rng.below(LEAST_IOUS.len() as u64) as usize];
            if least >= 1.0 {
                return None;
            }
            for _ in 0..TRIALS {
                let mut share = || rng.uniform_in(self.scale[0], self.scale[1]);
                let columns = (width as f64 * share()) as usize;
                let rows = (height as f64 * share()) as usize;
                let ratio = columns as f64 / rows as f64;
                let is_shaped = rows > 0 && (0.5..=2.0).contains(&ratio);
                if !is_shaped {
                    continue;
                }
                let start = |share: f64, side: usize, part: usize| {
                    (((side - part) as f64 * share) as usize).min(side - part)
                };
                let part = Part {
                    left: start(rng.uniform(), width, columns),
                    top: start(rng.uniform(), height, rows),
                    size: [rows, columns],
                };
                let of_part = boxes.iter().filter(|object| part.holds_centre(object));
                let most = of_part.map(|object| part.iou(object)).fold(-1.0, f64::max);
                if most >= least {
                    return Some(part);
                }
            }
        }
    }
}

impl Transform for RandomIouCrop {
    fn apply(&self, mut sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        let size = [sample.image.height(), sample.image.width()];
        if sample.boxes.is_empty() {
            return Ok(sample);
        }
        let Some(part) = self.draw(size, &sample.boxes, rng) else {
            return Ok(sample);
        };
        sample.boxes.retain(|object| part.holds_centre(object));
        let corner = [part.top as i64, part.left as i64];
        let map = Affine::translation(-(part.left as f64), -(part.top as f64));
        sample.transformed(
            &map,
            |image| crop(&image, corner, part.size, &vec![0; image.channels()]),
            |mask| crop(&mask, corner, part.size, &[Mask::IGNORE]),
        )
    }
}

/// A part of an image.
#[derive(Clone, Copy, Debug)]
struct Part {
    top: usize,
    left: usize,
    size: [usize; 2],
}

impl Part {
    fn edges(&self) -> [f64; 4] {
        let [height, width] = self.size;
        let [left, top] = [self.left, self.top];
        [left, top, left + width, top + height].map(|edge| edge as f64)
    }

    fn holds_centre(&self, object: &BoundingBox) -> bool {
        let [x_min, y_min, x_max, y_max] = self.edges();
        let x = f64::from(object.x_min + object.x_max) / 2.0;
        let y = f64::from(object.y_min + object.y_max) / 2.0;
        x_min < x && x < x_max && y_min < y && y < y_max
    }

    fn iou(&self, object: &BoundingBox) -> f64 {
        let part = self.edges();
        let object = object.edges().map(f64::from);
        let extent = |axis: usize| {
            let overlap = part[axis + 2].min(object[axis + 2]) - part[axis].max(object[axis]);
            overlap.max(0.0)
        };
        let area = |[x_min, y_min, x_max, y_max]: [f64; 4]| (x_max - x_min) * (y_max - y_min);
        let both = extent(0) * extent(1);
        both / (area(part) + area(object) - both)
    }
}
