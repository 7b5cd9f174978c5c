//! How far the pixels predicted as a class are those that have it, for each image and in sum.

use crate::mean::mean;

/// Counts of pixels of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Overlap {
    /// Have the class and are predicted as it.
    pub(super) shared: u64,
    /// Have the class.
    pub(super) target: u64,
    /// Are predicted as it.
    pub(super) predicted: u64,
}

impl Overlap {
    pub(super) fn occurs(self) -> bool {
        self.target > 0 || self.predicted > 0
    }

    pub(super) fn union(self) -> u64 {
        self.target + self.predicted - self.shared
    }

    pub(super) fn iou(self) -> Option<f64> {
        ratio(self.shared, self.union())
    }

    pub(super) fn dice(self) -> Option<f64> {
        ratio(2 * self.shared, self.target + self.predicted)
    }

    pub(super) fn recall(self) -> Option<f64> {
        ratio(self.shared, self.target)
    }
}

impl std::ops::AddAssign for Overlap {
    fn add_assign(&mut self, other: Self) {
        self.shared += other.shared;
        self.target += other.target;
        self.predicted += other.predicted;
    }
}

/// None without a denominator.
fn ratio(numerator: u64, denominator: u64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}

/// The scores of one set of overlaps, an image's or those of all pixels; none where no pixel
/// counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Scores {
    pub(super) mean_iou: Option<f64>,
    pub(super) mean_dice: Option<f64>,
    pub(super) mean_accuracy: Option<f64>,
    pub(super) micro_iou: Option<f64>,
    pub(super) pixel_accuracy: Option<f64>,
    pub(super) frequency_weighted_iou: Option<f64>,
}

impl Scores {
    pub(super) fn of(overlaps: impl Iterator<Item = Overlap> + Clone) -> Self {
        let mut total = Overlap::default();
        let mut weighted = 0.0;
        for overlap in overlaps.clone() {
            total += overlap;
            weighted += overlap.target as f64 * overlap.iou().unwrap_or(0.0);
        }
        Self {
            mean_iou: mean(overlaps.clone().map(Overlap::iou)),
            mean_dice: mean(overlaps.clone().map(Overlap::dice)),
            mean_accuracy: mean(overlaps.map(Overlap::recall)),
            micro_iou: total.iou(),
            pixel_accuracy: total.recall(),
            frequency_weighted_iou: (total.target > 0).then(|| weighted / total.target as f64),
        }
    }
}

/// The overlaps of every image that has a pixel that counts, one behind the other: only those of
/// classes that occur in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Images {
    overlaps: Vec<(u8, Overlap)>,
    ends: Vec<usize>,
}

impl Images {
    /// Adds an image by the overlaps of all classes.
    pub(super) fn push(&mut self, overlaps: &[Overlap]) {
        let occurring = (0..=u8::MAX)
            .zip(overlaps.iter().copied())
            .filter(|(_, overlap)| overlap.occurs());
        self.overlaps.extend(occurring);
        if self.ends.last().copied().unwrap_or(0) < self.overlaps.len() {
            self.ends.push(self.overlaps.len());
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The classes of an image with their overlaps.
    pub(super) fn get(&self, image: usize) -> &[(u8, Overlap)] {
        let start = match image {
            0 => 0,
            _ => self.ends[image - 1],
        };
        &self.overlaps[start..self.ends[image]]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[(u8, Overlap)]> {
        (0..self.len()).map(|image| self.get(image))
    }
}
