//! Images as corruptions compute with them.

use cnn_data::Image;

use crate::Error;

/// Images whose sides are no longer are corrupted as those of CIFAR-10-C.
const SMALL: usize = 64;

/// An image with values in 0..1 in the order row, column, channel.
#[derive(Clone, Debug)]
pub(super) struct Pixels {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) values: Vec<f64>,
}

impl Pixels {
    /// The values of bytes.
    pub(super) fn of(image: &Image) -> Self {
        let values = image.bytes().iter().map(|&byte| f64::from(byte) / 255.);
        Self {
            height: image.height(),
            width: image.width(),
            channels: image.channels(),
            values: values.collect(),
        }
    }

    /// One value for each pixel.
    pub(super) fn layer(height: usize, width: usize, values: Vec<f64>) -> Self {
        Self {
            height,
            width,
            channels: 1,
            values,
        }
    }

    /// An image of the same size.
    pub(super) fn with_values(&self, values: Vec<f64>) -> Self {
        Self { values, ..*self }
    }

    /// Whether it is corrupted as an image of CIFAR-10-C.
    pub(super) fn is_small(&self) -> bool {
        self.height.max(self.width) <= SMALL
    }

    /// The number of pixels.
    pub(super) fn area(&self) -> usize {
        self.height * self.width
    }

    /// Where the values of a pixel begin.
    pub(super) fn at(&self, row: usize, column: usize) -> usize {
        (row * self.width + column) * self.channels
    }

    /// The bytes of the values: those outside 0..1 are clipped, and fractions are cut off as the
    /// published programs do.
    pub(super) fn to_image(&self) -> Result<Image, Error> {
        let bytes = self.values.iter();
        let bytes = bytes.map(|value| (value.clamp(0., 1.) * 255.) as u8);
        image(self, bytes.collect())
    }

    /// A weighted sum of the pixels around each place, from taps `(rows down, columns along,
    /// weight)`, where `border` has the place of what is outside.
    pub(super) fn correlated(
        &self,
        taps: &[(i64, i64, f64)],
        border: impl Fn(i64, usize) -> usize,
    ) -> Self {
        let mut values = vec![0.; self.values.len()];
        for row in 0..self.height {
            for column in 0..self.width {
                let to = self.at(row, column);
                for &(down, along, weight) in taps {
                    let from = self.at(
                        border(row as i64 + down, self.height),
                        border(column as i64 + along, self.width),
                    );
                    for channel in 0..self.channels {
                        values[to + channel] += weight * self.values[from + channel];
                    }
                }
            }
        }
        self.with_values(values)
    }

    /// The image seen at the places `(row, column)` that `source` says for each pixel, bilinear
    /// between pixels.
    pub(super) fn sampled(
        &self,
        source: impl Fn(usize, usize) -> [f64; 2],
        border: impl Fn(i64, usize) -> usize,
    ) -> Self {
        let mut values = vec![0.; self.values.len()];
        for row in 0..self.height {
            for column in 0..self.width {
                let to = self.at(row, column);
                let [y, x] = source(row, column);
                for (corner_y, weight_y) in neighbours(y) {
                    for (corner_x, weight_x) in neighbours(x) {
                        let from =
                            self.at(border(corner_y, self.height), border(corner_x, self.width));
                        for channel in 0..self.channels {
                            values[to + channel] +=
                                weight_y * weight_x * self.values[from + channel];
                        }
                    }
                }
            }
        }
        self.with_values(values)
    }
}

/// The two pixels around a place, and their shares.
fn neighbours(place: f64) -> [(i64, f64); 2] {
    let below = place.floor();
    let share = place - below;
    // A place that is no number is that of the first pixel, one far away stands still.
    let index = below.clamp(-1e9, 1e9) as i64;
    [(index, 1. - share), (index + 1, share)]
}

/// An image of this size.
pub(super) fn image(size: &Pixels, bytes: Vec<u8>) -> Result<Image, Error> {
    let image = Image::from_pixels(size.height, size.width, size.channels, bytes);
    image.map_err(|error| Error::Other(Box::new(error)))
}
