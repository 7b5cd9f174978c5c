//! Chroma of fewer samples brought to the size of the image, as libjpeg does by default: triangular
//! weights between neighbours where there are half as many, copies otherwise.

use super::segments::{Component, Frame};
use super::store::Plane;

/// Brings the rows of one component to the width of the image.
pub(super) struct Upsampler<'a> {
    plane: &'a Plane,
    /// Columns and rows of samples.
    width: usize,
    height: usize,
    across: usize,
    down: usize,
    row: Vec<u8>,
    /// Weighted sums of two rows.
    sums: Vec<u16>,
}

impl<'a> Upsampler<'a> {
    pub(super) fn new(frame: &Frame, component: &Component, plane: &'a Plane) -> Self {
        let across = frame.most.across / component.sampling.across;
        let width = frame.samples_across(component);
        Self {
            plane,
            width,
            height: frame.samples_down(component),
            across,
            down: frame.most.down / component.sampling.down,
            row: vec![0; width * across],
            sums: vec![0; width],
        }
    }

    /// The samples of a row of the image, at least as many as it is wide.
    pub(super) fn row(&mut self, y: usize) -> &[u8] {
        let width = self.width;
        let near = &self.plane.row(y / self.down)[..width];
        match (self.across, self.down) {
            (1, 1) => return near,
            (1, 2) => {
                let far = &self.plane.row(self.neighbour(y))[..width];
                let rounding = if y.is_multiple_of(2) { 1 } else { 2 };
                for ((out, &near), &far) in self.row.iter_mut().zip(near).zip(far) {
                    *out = ((3 * u16::from(near) + u16::from(far) + rounding) >> 2) as u8;
                }
            }
            (2, 1) if width > 2 => {
                for (sum, &near) in self.sums.iter_mut().zip(near) {
                    *sum = near.into();
                }
                spread::<2, 1, 2>(&self.sums, &mut self.row);
            }
            (2, 2) if width > 2 => {
                let far = &self.plane.row(self.neighbour(y))[..width];
                for ((sum, &near), &far) in self.sums.iter_mut().zip(near).zip(far) {
                    *sum = 3 * u16::from(near) + u16::from(far);
                }
                spread::<4, 8, 7>(&self.sums, &mut self.row);
            }
            (across, _) => {
                for (out, &near) in self.row.chunks_exact_mut(across).zip(near) {
                    out.fill(near);
                }
            }
        }
        &self.row
    }

    /// The other row of samples next to a row of the image, or the same at an edge.
    fn neighbour(&self, y: usize) -> usize {
        if y.is_multiple_of(2) {
            (y / 2).saturating_sub(1)
        } else {
            (y / 2 + 1).min(self.height - 1)
        }
    }
}

/// Two numbers for each sum: three parts of it and one of the neighbour on that side.
fn spread<const BITS: u32, const LEFT: u16, const RIGHT: u16>(sums: &[u16], row: &mut [u8]) {
    // Sums are at most 4 · 255, so that nothing wraps around: unchecked, for speed.
    let mix = |near: u16, far: u16, rounding: u16| {
        (near
            .wrapping_mul(3)
            .wrapping_add(far)
            .wrapping_add(rounding)
            >> BITS) as u8
    };
    let last = sums.len() - 1;
    row[0] = mix(sums[0], sums[0], LEFT);
    row[1] = mix(sums[0], sums[1], RIGHT);
    let inner = row[2..2 * last].as_chunks_mut().0;
    for ([left, right], sums) in inner.iter_mut().zip(sums.windows(3)) {
        *left = mix(sums[1], sums[0], LEFT);
        *right = mix(sums[1], sums[2], RIGHT);
    }
    row[2 * last] = mix(sums[last], sums[last - 1], LEFT);
    row[2 * last + 1] = mix(sums[last], sums[last], RIGHT);
}
