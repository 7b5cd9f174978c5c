//! The form of a survey's result.

use serde::Serialize;

use super::{BoxSurvey, ChannelStatistics};
use crate::{ColorModel, DatasetFormat, FileFormat, Skipped, Split};

/// What is in a dataset.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Survey {
    /// The path that was surveyed.
    pub path: String,
    /// How the dataset is stored.
    pub format: DatasetFormat,
    /// The classes' names in the order of their numbers.
    pub classes: Vec<String>,
    /// Number of samples, broken ones included.
    pub samples: usize,
    /// Number of samples that can be read.
    pub readable: usize,
    /// Each split with its counts.
    pub splits: Vec<SplitSurvey>,
    /// Sizes of the readable images; `None` if there are none.
    pub sizes: Option<Sizes>,
    /// File formats and color modes of the readable images, the most frequent first.
    pub kinds: Vec<KindCount>,
    /// Mean and standard deviation of the readable images' pixels; `None` if there are none.
    pub statistics: Option<ChannelStatistics>,
    /// What the masks hold; `None` without masks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masks: Option<MaskSurvey>,
    /// What the boxes are like; `None` without boxes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boxes: Option<BoxSurvey>,
    /// How its folders were understood where that is not plain, and what is left out, in sentences.
    pub notes: Vec<String>,
    /// The samples that cannot be read, in order.
    pub broken: Vec<Skipped>,
    /// Samples that are stored with the same bytes, in the order of their first ones.
    pub duplicates: Vec<DuplicateGroup>,
}

/// A split's counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SplitSurvey {
    /// The split; `None` for a dataset that is not divided.
    pub split: Option<Split>,
    /// Number of samples, broken ones included.
    pub samples: usize,
    /// Number of samples that can be read.
    pub readable: usize,
    /// Samples of each class, broken ones included, in the order of the classes.
    pub classes: Vec<ClassCount>,
    /// Samples without a class.
    pub unlabelled: usize,
}

/// Number of samples of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClassCount {
    /// The class's name.
    pub label: String,
    /// Number of samples.
    pub samples: usize,
}

/// What the readable masks of a dataset hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MaskSurvey {
    /// Each class of the masks, in the order of their numbers.
    pub classes: Vec<MaskClassCount>,
    /// The share of the pixels whose class is unknown, from 0 to 1.
    pub ignored: f64,
}

/// How much of masks a class covers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MaskClassCount {
    /// The class's name.
    pub label: String,
    /// Number of its pixels.
    pub pixels: u64,
    /// Its share of the pixels whose class is known, from 0 to 1.
    pub share: f64,
    /// Number of images with a pixel of it.
    pub images: usize,
}

/// Heights and widths in pixels, of upright images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Sizes {
    /// Numbers of rows.
    pub height: Range,
    /// Numbers of columns.
    pub width: Range,
}

/// Smallest, middle and largest of some numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Range {
    /// The smallest.
    pub min: usize,
    /// The middle one of the sorted values; the lower one of two.
    pub median: usize,
    /// The largest.
    pub max: usize,
}

impl Range {
    /// `None` without values.
    pub(super) fn of(values: impl Iterator<Item = usize>) -> Option<Self> {
        let mut values: Vec<_> = values.collect();
        values.sort_unstable();
        let middle = values.len().checked_sub(1)? / 2;
        Some(Self {
            min: *values.first()?,
            median: values[middle],
            max: *values.last()?,
        })
    }
}

/// Number of images that are stored in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KindCount {
    /// The file format; `None` for bare pixels.
    pub format: Option<FileFormat>,
    /// How color is stored.
    pub color: ColorModel,
    /// Bits of each channel, or of each number of a palette.
    pub bits: u8,
    /// Number of images.
    pub samples: usize,
}

/// Samples that are stored with the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DuplicateGroup {
    /// SHA-256 of the bytes, in hexadecimal digits.
    pub sha256: String,
    /// Where the samples are.
    pub samples: Vec<Location>,
    /// Whether they lie in more than one split, so that a network is tested on what it was trained
    /// on.
    pub across_splits: bool,
    /// Whether they have more than one label.
    pub across_classes: bool,
}

/// A sample in a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Location {
    /// The sample's name, as [`Dataset::id`](crate::Dataset::id) gives it.
    pub path: String,
    /// The split that it lies in.
    pub split: Option<Split>,
    /// Its class.
    pub label: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_a_lower_median() {
        let range = |min, median, max| Some(Range { min, median, max });
        let cases = [
            (&[][..], None),
            (&[7], range(7, 7, 7)),
            (&[3, 1], range(1, 1, 3)),
            (&[9, 1, 5], range(1, 5, 9)),
        ];
        for (values, expected) in cases {
            assert_eq!(Range::of(values.iter().copied()), expected, "{values:?}");
        }
    }
}
