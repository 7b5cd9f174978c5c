//! The crate's error type.

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

/// Beyond `usize` where the mistake is in the number of classes.
fn product(labels: usize, classes: usize) -> u128 {
    labels as u128 * classes as u128
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
