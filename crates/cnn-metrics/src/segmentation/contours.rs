//! The boundaries of the classes of a mask, and how much of one lies near another.

use super::IGNORED_TARGET;
use super::distance::DistanceTransform;
use super::masks::neighbours;

#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) height: usize,
    pub(super) width: usize,
}

/// The boundaries of all classes in one mask.
pub(super) struct Contours {
    /// The class on whose boundary a pixel lies; [`IGNORED_TARGET`] off all boundaries.
    classes: Vec<u8>,
    /// The pixels on the boundary of each class.
    pixels: Vec<Vec<usize>>,
    size: Size,
}

impl Contours {
    pub(super) fn of(mask: &[u8], targets: &[u8], class_count: usize, size: Size) -> Self {
        let mut classes = vec![IGNORED_TARGET; mask.len()];
        let mut pixels = vec![Vec::new(); class_count];
        for (pixel, &class) in mask.iter().enumerate() {
            if targets[pixel] == IGNORED_TARGET {
                continue;
            }
            let parts = |other: usize| targets[other] != IGNORED_TARGET && mask[other] != class;
            if neighbours(pixel, size.height, size.width).any(parts) {
                classes[pixel] = class;
                pixels[usize::from(class)].push(pixel);
            }
        }
        Self {
            classes,
            pixels,
            size,
        }
    }
}

/// A class, and how far a boundary may be off, in pixels.
pub(super) struct Reach {
    pub(super) class: u8,
    pub(super) tolerance: f64,
}

impl Reach {
    pub(super) fn f1(
        &self,
        prediction: &Contours,
        truth: &Contours,
        transform: &mut DistanceTransform,
    ) -> Option<f64> {
        let predicted = &prediction.pixels[usize::from(self.class)];
        let target = &truth.pixels[usize::from(self.class)];
        if predicted.is_empty() && target.is_empty() {
            return None;
        }
        if predicted.is_empty() || target.is_empty() {
            return Some(0.0);
        }
        let precision = self.share_near(predicted, truth, transform);
        let recall = self.share_near(target, prediction, transform);
        let sum = precision + recall;
        Some(if sum > 0.0 {
            2.0 * precision * recall / sum
        } else {
            0.0
        })
    }

    /// The share of pixels that are nearer to the class's boundary than the tolerance.
    fn share_near(
        &self,
        pixels: &[usize],
        contours: &Contours,
        transform: &mut DistanceTransform,
    ) -> f64 {
        let size = contours.size;
        let on_boundary = |pixel: usize| contours.classes[pixel] == self.class;
        let squared = transform.squared(size.height, size.width, on_boundary);
        let near = |pixel: &&usize| squared[**pixel].sqrt() < self.tolerance;
        pixels.iter().filter(near).count() as f64 / pixels.len() as f64
    }
}
