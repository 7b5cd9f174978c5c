//! Weights of the classes of pixels, which are never equally frequent.

use std::fmt;
use std::str::FromStr;

use cnn_core::did_you_mean;
use cnn_data::{Dataset, Mask};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::settings::numbers;

/// How many pixels each class has in some masks.
///
/// ```
/// use cnn_train::{PixelCounts, PixelWeighting};
///
/// // Two masks; class 1 is in the second one only, and a pixel of that is ignored.
/// let mut counts = PixelCounts::new(2);
/// counts.add(&[0, 0, 0, 0, 0])?;
/// counts.add(&[0, 0, 0, 1, 255])?;
/// assert_eq!(counts.pixels(), [8, 1]);
/// let inverse = PixelWeighting::Inverse.weights(&counts)?;
/// assert_eq!(inverse, [9. / 16., 9. / 2.]);
/// // Class 0 is 8 of 9 pixels where it is found, class 1 one of 4.
/// let median = PixelWeighting::Median.weights(&counts)?;
/// assert!((median[1] / median[0] - (8. / 9.) / (1. / 4.)).abs() < 1e-12);
/// # Ok::<(), cnn_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PixelCounts {
    /// Of each class.
    pixels: Vec<u64>,
    /// Of each class, the pixels that count of the masks that have the class.
    around: Vec<u64>,
}

impl PixelCounts {
    /// No masks yet, of so many classes.
    pub fn new(classes: usize) -> Self {
        Self {
            pixels: vec![0; classes],
            around: vec![0; classes],
        }
    }

    /// Those of all masks of a dataset, whose images are decoded for it.
    ///
    /// # Errors
    /// [`Error::Data`] if a sample cannot be read, and [`Error::Argument`] for a class beyond
    /// [`Dataset::mask_classes`].
    pub fn of(dataset: &dyn Dataset) -> Result<Self, Error> {
        let mut counts = Self::new(dataset.mask_classes().len());
        for index in 0..dataset.len() {
            if let Some(mask) = dataset.read(index)?.mask {
                counts.add(mask.bytes())?;
            }
        }
        Ok(counts)
    }

    /// Counts the pixels of one more mask; 255 is ignored.
    ///
    /// # Errors
    /// [`Error::Argument`] for another class beyond the classes; nothing of the mask is counted
    /// then.
    pub fn add(&mut self, mask: &[u8]) -> Result<(), Error> {
        let classes = self.pixels.len();
        let mut counts = [0u64; 256];
        for &class in mask {
            counts[usize::from(class)] += 1;
        }
        counts[usize::from(Mask::IGNORE)] = 0;
        let beyond = (classes..counts.len()).find(|&class| counts[class] > 0);
        if let Some(class) = beyond {
            return Err(Error::argument(
                "mask",
                format!("class {class}"),
                format!("classes below {classes}, or {}", Mask::IGNORE),
            ));
        }
        let counted: u64 = counts.iter().sum();
        let places = self.pixels.iter_mut().zip(&mut self.around);
        for ((pixels, around), count) in places.zip(counts) {
            *pixels += count;
            if count > 0 {
                *around += counted;
            }
        }
        Ok(())
    }

    /// How many pixels each class has.
    pub fn pixels(&self) -> &[u64] {
        &self.pixels
    }
}

/// How much the pixels of each class weigh in a loss.
///
/// As text it is `inverse`, `median`, or the weights joined by `+`: `1+2.5+4`. It is serialised as
/// that text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PixelWeighting {
    /// The inverse of the class's share of all pixels that count, over the number of classes:
    /// `pixels / (classes · pixels of the class)`. All classes have the same sum of weights, and on
    /// average over the pixels the weight is 1.
    Inverse,
    /// Median frequency balancing (Eigen and Fergus 2015, <https://arxiv.org/abs/1411.4734>): the
    /// median over the classes of their frequencies, over the class's. The
    /// frequency of a class is its share of the pixels that count of the masks that have it.
    Median,
    /// A weight for each class; finite, not negative, with a sum above 0.
    Given(Vec<f64>),
}

impl PixelWeighting {
    /// The weight of each class. Of a class without pixels, which frequencies say nothing about, it
    /// is 1.
    ///
    /// # Errors
    /// [`Error::Argument`] if given weights are out of their range or not one per class.
    pub fn weights(&self, counts: &PixelCounts) -> Result<Vec<f64>, Error> {
        let classes = counts.pixels.len();
        let frequencies = match self {
            Self::Given(weights) => {
                check(weights)?;
                if weights.len() != classes {
                    return Err(Error::argument(
                        "class_weights",
                        format!("{} weights", weights.len()),
                        format!("{classes}, one per class"),
                    ));
                }
                return Ok(weights.clone());
            }
            Self::Inverse => {
                let all: u64 = counts.pixels.iter().sum();
                shares(&counts.pixels, &vec![all; classes])
            }
            Self::Median => shares(&counts.pixels, &counts.around),
        };
        let numerator = match self {
            Self::Median => median(frequencies.iter().copied().flatten().collect()),
            _ => 1. / classes as f64,
        };
        let weight = |frequency: Option<f64>| frequency.map_or(1., |share| numerator / share);
        Ok(frequencies.into_iter().map(weight).collect())
    }
}

impl fmt::Display for PixelWeighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inverse => f.write_str("inverse"),
            Self::Median => f.write_str("median"),
            Self::Given(weights) => f.write_str(&numbers(weights)),
        }
    }
}

impl TryFrom<String> for PixelWeighting {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<PixelWeighting> for String {
    fn from(weighting: PixelWeighting) -> Self {
        weighting.to_string()
    }
}

impl FromStr for PixelWeighting {
    type Err = Error;

    /// Reads `inverse`, `median`, or weights joined by `+`.
    ///
    /// # Errors
    /// If it is none of these; the nearest name is suggested.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.trim() {
            "inverse" => Ok(Self::Inverse),
            "median" => Ok(Self::Median),
            given => {
                let weights = given.split('+').map(|weight| weight.trim().parse().ok());
                let Some(weights) = weights.collect::<Option<Vec<f64>>>() else {
                    let expected = format!(
                        "inverse, median, or weights joined by `+` as in 1+2.5{}",
                        did_you_mean(given, ["inverse", "median"])
                    );
                    return Err(Error::argument(
                        "class_weights",
                        format!("`{text}`"),
                        expected,
                    ));
                };
                check(&weights)?;
                Ok(Self::Given(weights))
            }
        }
    }
}

fn check(weights: &[f64]) -> Result<(), Error> {
    let fault = |found: String, expected| Err(Error::argument("class_weights", found, expected));
    let is_valid = |weight: &f64| weight.is_finite() && *weight >= 0.;
    if let Some(weight) = weights.iter().find(|weight| !is_valid(weight)) {
        return fault(weight.to_string(), "finite numbers, 0 or more");
    }
    if weights.iter().sum::<f64>() > 0. {
        Ok(())
    } else {
        fault("weight 0 for every class".to_string(), "a sum above 0")
    }
}

/// The share of each class in what is around it; `None` of a class without pixels.
fn shares(pixels: &[u64], around: &[u64]) -> Vec<Option<f64>> {
    let share =
        |(&pixels, &around): (&u64, &u64)| (pixels > 0).then_some(pixels as f64 / around as f64);
    pixels.iter().zip(around).map(share).collect()
}

/// The middle one, or the mean of the two in the middle; 1 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (None, _) => 1.,
        (Some(upper), 1) => *upper,
        (Some(upper), _) => (values[middle - 1] + upper) / 2.,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn counts() -> PixelCounts {
        let mut counts = PixelCounts::new(4);
        counts.add(&[0, 0, 0, 0, 0, 0, 1, 1]).unwrap();
        counts.add(&[0, 0, 0, 3, 255, 255]).unwrap();
        counts
    }

    #[test]
    fn inverse_weights_give_each_class_the_same_sum() {
        let counts = counts();
        assert_eq!(counts.pixels(), [9, 2, 0, 1]);
        let weights = PixelWeighting::Inverse.weights(&counts).unwrap();
        for class in [0, 1, 3] {
            let sum = weights[class] * counts.pixels()[class] as f64;
            assert!((sum - 12. / 4.).abs() < 1e-12, "{weights:?}");
        }
        assert_eq!(weights[2], 1.);
    }

    #[test]
    fn median_weights_follow_the_paper() {
        // Frequencies 9/12, 2/8 and 1/4, of which the median is 1/4.
        let weights = PixelWeighting::Median.weights(&counts()).unwrap();
        let expected = [1. / 3., 1., 1., 1.];
        for (weight, expected) in weights.iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-12, "{weights:?}");
        }
        // Of two, the mean is the median: 1/2 and 1/4.
        let mut two = PixelCounts::new(2);
        two.add(&[0, 0, 0, 1]).unwrap();
        two.add(&[0, 255]).unwrap();
        let weights = PixelWeighting::Median.weights(&two).unwrap();
        let middle = (0.8 + 0.25) / 2.;
        assert!((weights[0] - middle / 0.8).abs() < 1e-12);
        assert!((weights[1] - middle / 0.25).abs() < 1e-12);
    }

    #[test]
    fn masks_without_pixels_have_weights_of_1() {
        let mut none = PixelCounts::new(2);
        none.add(&[255, 255]).unwrap();
        for weighting in [PixelWeighting::Inverse, PixelWeighting::Median] {
            assert_eq!(weighting.weights(&none).unwrap(), [1., 1.]);
        }
    }

    #[test]
    fn a_class_beyond_the_classes_is_named_and_nothing_of_its_mask_counted() {
        let mut counts = PixelCounts::new(2);
        let message = counts.add(&[0, 1, 2]).unwrap_err().to_string();
        assert_eq!(
            message,
            "`mask`: found class 2, expected classes below 2, or 255"
        );
        assert_eq!(counts, PixelCounts::new(2));
    }

    #[test]
    fn text_is_read_and_written() {
        for (text, weighting) in [
            ("inverse", PixelWeighting::Inverse),
            ("median", PixelWeighting::Median),
            ("1+2.5+0", PixelWeighting::Given(vec![1., 2.5, 0.])),
        ] {
            assert_eq!(text.parse::<PixelWeighting>().unwrap(), weighting);
            assert_eq!(weighting.to_string(), text);
        }
        for (text, expected) in [
            (
                "invers",
                "`class_weights`: found `invers`, expected inverse, median, or weights joined by `+` as in 1+2.5, did you mean `inverse`?",
            ),
            ("1+-1", "`class_weights`: found -1, expected finite numbers"),
            ("0+0", "`class_weights`: found weight 0 for every class"),
            ("1+", "`class_weights`: found `1+`"),
        ] {
            let message = text.parse::<PixelWeighting>().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
        let few = PixelWeighting::Given(vec![1.]);
        let message = few.weights(&counts()).unwrap_err().to_string();
        assert_eq!(
            message,
            "`class_weights`: found 1 weights, expected 4, one per class"
        );
    }
}
