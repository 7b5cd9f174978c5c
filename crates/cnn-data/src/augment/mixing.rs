//! How the images of a batch were mixed.

use crate::Error;

/// Which images were mixed with each other, and how much of each is left.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixing {
    /// The share of each image that is its own; the rest is its partner's. 1 if nothing was mixed.
    pub lambda: f64,
    /// For each image the number of its partner, which is its own number if nothing was mixed.
    pub partners: Vec<usize>,
}

impl Mixing {
    /// A batch of this many images that was not mixed.
    pub fn none(images: usize) -> Self {
        Self {
            lambda: 1.0,
            partners: (0..images).collect(),
        }
    }

    /// The last image is the partner of the first, and so on. In a shuffled batch this is as random
    /// as a permutation, and pairs can be mixed in place.
    pub(super) fn reversed(images: usize, lambda: f64) -> Self {
        Self {
            lambda,
            partners: (0..images).rev().collect(),
        }
    }

    /// The mixed labels as class probabilities: each image gives `lambda` to its own class and the
    /// rest to its partner's. If the two classes are equal, the class gets both.
    ///
    /// # Shapes
    ///
    /// `labels`: one per image; the result: a row of `classes` numbers per image, row after row.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if there are more or fewer labels than images, a label is not
    /// below `classes`, or a partner is no image of the batch.
    pub fn soft_targets(&self, labels: &[usize], classes: usize) -> Result<Vec<f32>, Error> {
        if labels.len() != self.partners.len() {
            return Err(Error::argument(
                "labels",
                labels.len(),
                format!("one for each of {} images", self.partners.len()),
            ));
        }
        if let Some(label) = labels.iter().find(|&&label| label >= classes) {
            return Err(Error::argument(
                "labels",
                label,
                format!("numbers below {classes}"),
            ));
        }
        let mut targets = vec![0f32; labels.len() * classes];
        for (index, (&label, &partner)) in labels.iter().zip(&self.partners).enumerate() {
            let Some(&other) = labels.get(partner) else {
                return Err(Error::argument(
                    "partners",
                    partner,
                    format!("numbers below {}", labels.len()),
                ));
            };
            let row = &mut targets[index * classes..][..classes];
            row[label] += self.lambda as f32;
            row[other] += (1.0 - self.lambda) as f32;
        }
        Ok(targets)
    }
}

/// Number of images and of values in each.
pub(super) fn batch_of(
    images: &[f32],
    [count, height, width, channels]: [usize; 4],
) -> Result<[usize; 2], Error> {
    let each = height
        .checked_mul(width)
        .and_then(|pixels| pixels.checked_mul(channels));
    match each {
        Some(each) if each > 0 && each.checked_mul(count) == Some(images.len()) => {
            Ok([count, each])
        }
        _ => {
            let found = format!("{count}x{height}x{width}x{channels}");
            Err(Error::argument(
                "dims",
                found,
                format!(
                    "the shape of {} values, no side of an image zero",
                    images.len()
                ),
            ))
        }
    }
}

/// The two images of each pair of [`Mixing::reversed`]. The middle image of an odd batch is its own
/// partner and is left out.
pub(super) fn pairs(
    images: &mut [f32],
    [count, each]: [usize; 2],
) -> impl Iterator<Item = [&mut [f32]; 2]> {
    let (first, last) = images.split_at_mut(count / 2 * each);
    first
        .chunks_exact_mut(each)
        .zip(last.chunks_exact_mut(each).rev())
        .map(|(one, other)| [one, other])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn labels_are_mixed_as_the_images_are() {
        let mixing = Mixing::reversed(3, 0.75);
        let expected = [0.75, 0.0, 0.25, 0.0, 1.0, 0.0, 0.25, 0.0, 0.75];
        assert_eq!(mixing.soft_targets(&[0, 1, 2], 3).unwrap(), expected);
        assert_eq!(
            Mixing::none(2).soft_targets(&[1, 0], 2).unwrap(),
            [0.0, 1.0, 1.0, 0.0]
        );
        assert_eq!(Mixing::none(0).soft_targets(&[], 2).unwrap(), [0f32; 0]);
    }

    #[test]
    fn wrong_labels_are_named() {
        let cases: [(Mixing, &[usize], &str); 3] = [
            (
                Mixing::none(2),
                &[1],
                "`labels`: found 1, expected one for each of 2 images",
            ),
            (
                Mixing::none(2),
                &[1, 3],
                "`labels`: found 3, expected numbers below 3",
            ),
            (
                Mixing {
                    lambda: 0.5,
                    partners: vec![1, 2],
                },
                &[0, 0],
                "`partners`: found 2, expected numbers below 2",
            ),
        ];
        for (mixing, labels, expected) in cases {
            assert_eq!(
                mixing.soft_targets(labels, 3).unwrap_err().to_string(),
                expected
            );
        }
    }

    #[test]
    fn shapes_are_checked() {
        let values = [0f32; 24];
        assert_eq!(batch_of(&values, [2, 2, 3, 2]).unwrap(), [2, 12]);
        assert_eq!(batch_of(&[], [0, 2, 3, 2]).unwrap(), [0, 12]);
        for dims in [
            [2, 2, 3, 3],
            [0, 2, 3, 2],
            [24, 0, 1, 1],
            [usize::MAX, usize::MAX, 2, 2],
        ] {
            assert!(batch_of(&values, dims).is_err(), "{dims:?}");
        }
    }
}
