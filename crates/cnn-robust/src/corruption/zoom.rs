//! The middle of an image, enlarged.

use super::border::nearest;
use super::pixels::Pixels;

/// The middle of an image enlarged so that it fills the image, bilinear, as the published programs
/// have it from scipy: the corners of the cut become the corners of the enlarged image.
pub(super) fn clipped_zoom(pixels: &Pixels, factor: f64) -> Pixels {
    let rows = Side::new(pixels.height, factor);
    let columns = Side::new(pixels.width, factor);
    let source = |row, column| [rows.source(row), columns.source(column)];
    pixels.sampled(source, nearest)
}

/// Where the pixels of one direction come from.
struct Side {
    /// The first pixel of the cut.
    start: f64,
    /// How many pixels of what is enlarged are cut off in front.
    trimmed: usize,
    /// Pixels of the cut for one of the enlarged.
    step: f64,
    last: f64,
}

impl Side {
    fn new(len: usize, factor: f64) -> Self {
        let cut = (len as f64 / factor).ceil() as usize;
        let start = ((len - cut) / 2) as f64;
        let enlarged = (cut as f64 * factor).round_ties_even() as usize;
        let step = match enlarged {
            0 | 1 => 0.,
            enlarged => (cut - 1) as f64 / (enlarged - 1) as f64,
        };
        Self {
            start,
            trimmed: enlarged.saturating_sub(len) / 2,
            step,
            last: start + (cut - 1) as f64,
        }
    }

    fn source(&self, place: usize) -> f64 {
        (self.start + (place + self.trimmed) as f64 * self.step).min(self.last)
    }
}
