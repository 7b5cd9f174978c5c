//! A large image as tiles that overlap, and how their scores are blended.

use crate::Error;

/// Networks halve an image up to five times: tiles that begin at a multiple of this see its pixels
/// as the whole image's do.
pub(super) const ALIGNMENT: usize = 32;

/// How an image is cut into tiles, so that the memory does not grow with it.
///
/// Tiles begin at multiples of `size − overlap`. Where two overlap, their probabilities are blended
/// over the middle half of the overlap: what lies at a tile's edge, and so lacks its surroundings,
/// counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// Rows and columns of a tile.
    size: usize,
    /// Rows and columns that neighbours share.
    overlap: usize,
}

impl Tiling {
    /// Tiles of `size` pixels a side, of which neighbours share a quarter, to a multiple of 32.
    ///
    /// # Errors
    /// As [`Tiling::with_overlap`].
    pub fn new(size: usize) -> Result<Self, Error> {
        let overlap = (size / 4).next_multiple_of(ALIGNMENT);
        Self { size, overlap }.with_overlap(overlap)
    }

    /// Another overlap.
    ///
    /// # Errors
    /// [`Error::Argument`] unless both are multiples of 32 and the overlap is at least 32 and at
    /// most half the tile.
    pub fn with_overlap(self, overlap: usize) -> Result<Self, Error> {
        if self.size == 0 || !self.size.is_multiple_of(ALIGNMENT) {
            let expected = format!(
                "a multiple of {ALIGNMENT} pixels, at least {}",
                2 * ALIGNMENT
            );
            return Err(Error::argument("tile", self.size, expected));
        }
        let fits = overlap >= ALIGNMENT && 2 * overlap <= self.size;
        if !fits || !overlap.is_multiple_of(ALIGNMENT) {
            let expected = format!(
                "a multiple of {ALIGNMENT} pixels, at most half the tile, {}",
                self.size / 2
            );
            return Err(Error::argument("overlap", overlap, expected));
        }
        Ok(Self { overlap, ..self })
    }

    /// Rows and columns of a tile.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Rows and columns that neighbours share.
    pub fn overlap(&self) -> usize {
        self.overlap
    }

    /// The tiles along an axis of so many pixels.
    pub(super) fn along(&self, pixels: usize) -> Vec<Span> {
        let pixels = pixels.next_multiple_of(ALIGNMENT);
        let stride = self.size - self.overlap;
        let mut spans = Vec::new();
        let mut start = 0;
        // A tile that would lie within the overlap alone sees nothing new.
        while start == 0 || start + self.overlap < pixels {
            let end = pixels.min(start + self.size);
            spans.push(Span {
                start,
                len: end - start,
                before: if start > 0 { self.overlap } else { 0 },
                after: 0,
            });
            start += stride;
        }
        let count = spans.len();
        for span in &mut spans[..count - 1] {
            span.after = self.overlap;
        }
        spans
    }
}

/// A tile along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) len: usize,
    /// Pixels shared with the tile before.
    pub(super) before: usize,
    /// Pixels shared with the tile behind.
    pub(super) after: usize,
}

impl Span {
    /// The whole axis.
    pub(super) fn whole(pixels: usize) -> Self {
        Self {
            start: 0,
            len: pixels,
            before: 0,
            after: 0,
        }
    }

    /// How much each pixel counts; over all tiles the weights of a pixel sum to 1.
    pub(super) fn weights(&self) -> Vec<f32> {
        let ramp = |distance: f32, overlap: usize| {
            let overlap = overlap as f32;
            ((distance - 0.25 * overlap) / (0.5 * overlap)).clamp(0., 1.)
        };
        (0..self.len)
            .map(|at| {
                let from_start = at as f32 + 0.5;
                let from_end = (self.len - at) as f32 - 0.5;
                if self.before > 0 && at < self.before {
                    ramp(from_start, self.before)
                } else if self.after > 0 && self.len - at <= self.after {
                    ramp(from_end, self.after)
                } else {
                    1.
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_weights_of_every_pixel_sum_to_one() {
        for (size, overlap) in [(64, 32), (128, 32), (256, 96), (512, 256)] {
            let tiling = Tiling { size, overlap };
            for pixels in [1usize, 31, 33, 64, 65, 97, 200, 511, 512, 513, 1000] {
                let mut sums = vec![0f32; pixels.next_multiple_of(ALIGNMENT)];
                for span in tiling.along(pixels) {
                    for (at, weight) in (span.start..).zip(span.weights()) {
                        sums[at] += weight;
                    }
                }
                assert!(
                    sums.iter().all(|sum| (sum - 1.).abs() < 1e-6),
                    "{size} {overlap} {pixels}: {sums:?}"
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_a_tile_is_refused() {
        assert_eq!(Tiling::new(512).unwrap().overlap(), 128);
        assert_eq!(Tiling::new(64).unwrap().overlap(), 32);
        for (size, overlap) in [(0, 32), (100, 32), (32, 32), (128, 96), (128, 0), (128, 40)] {
            let tiling = Tiling { size, overlap: 32 };
            assert!(tiling.with_overlap(overlap).is_err(), "{size} {overlap}");
        }
    }
}
