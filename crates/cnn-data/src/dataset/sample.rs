//! One example of a dataset.

use crate::Image;

/// An image with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// The image, upright, grey or RGB as stored.
    pub image: Image,
    /// The class as a number into [`Dataset::classes`](crate::Dataset::classes).
    pub label: Option<usize>,
}

impl Sample {
    /// An image with its class, if it has one.
    pub fn new(image: Image, label: Option<usize>) -> Self {
        Self { image, label }
    }
}
