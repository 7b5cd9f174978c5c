//! How many pixels, and how many images, each class of masks has.

use super::report::{MaskClassCount, MaskSurvey};
use crate::Mask;

/// Counts over masks.
#[derive(Clone)]
pub(super) struct MaskCounts {
    pixels: [u64; 256],
    images: [usize; 256],
}

impl Default for MaskCounts {
    fn default() -> Self {
        Self {
            pixels: [0; 256],
            images: [0; 256],
        }
    }
}

impl MaskCounts {
    pub(super) fn of(mask: &Mask) -> Self {
        let mut counts = Self::default();
        for &value in mask.bytes() {
            counts.pixels[usize::from(value)] += 1;
        }
        counts.images = counts.pixels.map(|pixels| usize::from(pixels > 0));
        counts
    }

    pub(super) fn add(&mut self, other: &Self) {
        for value in 0..self.pixels.len() {
            self.pixels[value] += other.pixels[value];
            self.images[value] += other.images[value];
        }
    }

    /// `None` where no pixel was counted.
    pub(super) fn report(&self, classes: &[String]) -> Option<MaskSurvey> {
        let ignored = self.pixels[usize::from(Mask::IGNORE)];
        let all: u64 = self.pixels.iter().sum();
        let known = all - ignored;
        let share = |pixels: u64, of: u64| pixels as f64 / of.max(1) as f64;
        let counts = self.pixels.iter().zip(&self.images);
        let classes = classes.iter().zip(counts);
        (all > 0).then(|| MaskSurvey {
            classes: classes
                .map(|(label, (&pixels, &images))| MaskClassCount {
                    label: label.clone(),
                    pixels,
                    share: share(pixels, known),
                    images,
                })
                .collect(),
            ignored: share(ignored, all),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn shares_are_of_the_pixels_with_a_class() {
        let mut counts = MaskCounts::default();
        for bytes in [[0, 0, 2, 255], [0, 255, 255, 255]] {
            counts.add(&MaskCounts::of(&Mask::new(1, 4, bytes.into()).unwrap()));
        }
        let names = ["road", "car", "sky"].map(str::to_owned);
        let survey = counts.report(&names).unwrap();
        let found: Vec<_> = survey
            .classes
            .iter()
            .map(|class| {
                (
                    class.label.as_str(),
                    class.pixels,
                    class.share,
                    class.images,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("road", 3, 0.75, 2),
                ("car", 0, 0.0, 0),
                ("sky", 1, 0.25, 1)
            ]
        );
        assert_eq!(survey.ignored, 0.5);
        assert!(MaskCounts::default().report(&names).is_none());
    }
}
