//! Places of an image, and squares in it.

use crate::Threat;

/// The image that is changed.
pub(super) struct Canvas<'a> {
    pub(super) threat: Threat,
    /// Height, width, channels.
    pub(super) size: [usize; 3],
    pub(super) clean: &'a [f64],
}

impl Canvas<'_> {
    /// The place of a value, of a pixel at a row and column.
    pub(super) fn place(&self, [row, column]: [usize; 2], channel: usize) -> usize {
        let [_, width, channels] = self.size;
        (row * width + column) * channels + channel
    }
}

/// A square of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) side: usize,
}

impl Window {
    /// The row and column of each pixel, row after row.
    pub(super) fn pixels(self) -> impl Iterator<Item = [usize; 2]> {
        let rows = self.top..self.top + self.side;
        rows.flat_map(move |row| {
            let columns = self.left..self.left + self.side;
            columns.map(move |column| [row, column])
        })
    }

    pub(super) fn contains(self, [row, column]: [usize; 2]) -> bool {
        let rows = self.top..self.top + self.side;
        let columns = self.left..self.left + self.side;
        rows.contains(&row) && columns.contains(&column)
    }
}

/// A square at a random place; as in the authors' code it never touches the lower and the right
/// border, unless it fills the image.
pub(super) fn corner(canvas: &Canvas<'_>, side: usize, numbers: [f64; 2]) -> Window {
    let [height, width, _] = canvas.size;
    let [down, right] = numbers;
    Window {
        top: (down * (height - side) as f64) as usize,
        left: (right * (width - side) as f64) as usize,
        side,
    }
}

/// −1 or 1, by a number of 0..1.
pub(super) fn sign(number: f64) -> f64 {
    if number < 0.5 { -1. } else { 1. }
}
