//! The crate's error type.

use crate::Rect;

/// Everything that is wrong with what a metric was given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The number of logits is not that of the labels times the number of classes.
    #[error("{logits} logits for {labels} labels of {classes} classes, expected {} logits", product(*labels, *classes))]
    LogitCount {
        /// How many logits there are.
        logits: usize,
        /// How many labels, that is samples.
        labels: usize,
        /// How many classes.
        classes: usize,
    },
    /// Labels and predictions are not equally many.
    #[error("{predictions} predictions for {labels} labels, expected as many of either")]
    PredictionCount {
        /// How many predictions there are.
        predictions: usize,
        /// How many labels.
        labels: usize,
    },
    /// A class index is not below the number of classes.
    #[error("{role} {class} of sample {sample} is out of range, expected an index below {classes}")]
    ClassOutOfRange {
        /// What the index is: "label" or "prediction".
        role: &'static str,
        /// The position of its sample in the slice.
        sample: usize,
        /// The index.
        class: u32,
        /// How many classes there are.
        classes: usize,
    },
    /// A logit that cannot be ranked or that makes the softmax undefined.
    #[error(
        "logit {value} of sample {sample}, class {class}: expected a number below inf, and not -inf in the whole row"
    )]
    InvalidLogit {
        /// The position of its sample in the slice.
        sample: usize,
        /// Its class.
        class: usize,
        /// NaN, ∞, or −∞ where the whole row is −∞.
        value: f32,
    },
    /// Two masks or label images of one image do not have as many pixels.
    #[error(
        "{predictions} predicted pixels for {targets} of the truth, expected as many of either"
    )]
    PixelCount {
        /// How many pixels the prediction has.
        predictions: usize,
        /// How many pixels the truth has.
        targets: usize,
    },
    /// A pixel's class is not below the number of classes, nor is it a target that is ignored.
    #[error(
        "{role} {class} of pixel {pixel} is out of range, expected a class below {classes}{}",
        or_ignored(role)
    )]
    PixelOutOfRange {
        /// What the class is: "target" or "prediction".
        role: &'static str,
        /// The position of its pixel in the slice.
        pixel: usize,
        /// The class.
        class: u8,
        /// How many classes there are.
        classes: usize,
    },
    /// The number of pixels is not that of an image of this height and width.
    #[error("{pixels} pixels for a height of {height} and a width of {width}, expected {}", product(*height, *width))]
    ImageSize {
        /// How many pixels there are.
        pixels: usize,
        /// The image's height in pixels.
        height: usize,
        /// The image's width in pixels.
        width: usize,
    },
    /// No pixel of any image has a class.
    #[error("no pixel counts, {ignored} are ignored, expected at least 1 with a class")]
    NoPixels {
        /// How many pixels are ignored.
        ignored: u64,
    },
    /// The true label image has background alone.
    #[error(
        "the truth has no segment in {pixels} pixels, expected a label other than 0 in at least 1"
    )]
    NoForeground {
        /// How many pixels the truth has.
        pixels: usize,
    },
    /// The class of a box is not below the number of classes.
    #[error("class {class} of {role} {index} is out of range, expected a class below {classes}")]
    BoxClassOutOfRange {
        /// What the box is: "ground truth" or "detection".
        role: &'static str,
        /// Its position among those of its image.
        index: usize,
        /// The class.
        class: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// A box that has no place or no size.
    #[error(
        "box (x {}, y {}, width {}, height {}) of {role} {index}, expected finite edges and area and no negative side",
        rect.x, rect.y, rect.width, rect.height
    )]
    InvalidBox {
        /// What the box is: "ground truth" or "detection".
        role: &'static str,
        /// Its position among those of its image.
        index: usize,
        /// The box.
        rect: Rect,
    },
    /// An object's area is no area.
    #[error("area {area} of ground truth {index}, expected a finite number from 0 on")]
    InvalidArea {
        /// The object's position among those of its image.
        index: usize,
        /// Its area.
        area: f64,
    },
    /// A score by which a detection cannot be ranked.
    #[error("score {score} of detection {index}, expected a finite number")]
    InvalidScore {
        /// The detection's position among those of its image.
        index: usize,
        /// Its score.
        score: f64,
    },
    /// There is no sample to compute a metric of.
    #[error("no samples, expected at least 1")]
    NoSamples,
    /// An argument is out of its range.
    #[error("{name} is {found}, expected {expected}")]
    InvalidArgument {
        /// The argument's name.
        name: &'static str,
        /// Its value.
        found: String,
        /// What would be accepted.
        expected: &'static str,
    },
}

/// Beyond `usize` where the mistake is in one of the two.
fn product(rows: usize, columns: usize) -> u128 {
    rows as u128 * columns as u128
}

/// What a target may be besides a class.
fn or_ignored(role: &str) -> &'static str {
    if role == "target" {
        " or 255, which is ignored"
    } else {
        ""
    }
}

impl Error {
    pub(crate) fn argument(
        name: &'static str,
        found: impl ToString,
        expected: &'static str,
    ) -> Self {
        Self::InvalidArgument {
            name,
            found: found.to_string(),
            expected,
        }
    }
}

/// Fails unless there is at least one class.
pub(crate) fn check_classes(classes: usize) -> Result<(), Error> {
    if classes == 0 {
        Err(Error::argument("classes", classes, "at least 1"))
    } else {
        Ok(())
    }
}
