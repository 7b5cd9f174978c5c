//! An image as a network sees it: floating-point numbers in the order row, column, channel.

use std::fmt;

/// Rows of pixels, top to bottom; each pixel is `channels` numbers.
///
/// Made by [`preprocess`](crate::preprocess()).
#[derive(Clone, PartialEq)]
pub struct FloatImage {
    height: usize,
    width: usize,
    channels: usize,
    values: Vec<f32>,
}

impl FloatImage {
    pub(super) fn new(height: usize, width: usize, channels: usize, values: Vec<f32>) -> Self {
        debug_assert_eq!(values.len(), height * width * channels);
        Self {
            height,
            width,
            channels,
            values,
        }
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The numbers in the order row, column, channel.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The numbers in the order row, column, channel, without a copy.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }
}

impl fmt::Debug for FloatImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "FloatImage({}x{}x{})",
            self.height, self.width, self.channels
        )
    }
}
