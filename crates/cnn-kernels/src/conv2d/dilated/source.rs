//! The map that a dilated convolution reads: as it is, or with its pixels further apart where they
//! would all fall into the same sets of the first-level cache.

use crate::conv2d::plan::Plan;
use crate::conv2d::strip::ALIASING;
use crate::machine::parallel;
use crate::machine::scratch::Scratch;
use crate::machine::shared::Shared;

/// Floats between pixels that were moved apart, beyond their channels.
const GAP: usize = 16;

pub(super) struct Source<'a> {
    values: &'a [f32],
    copy: Option<(Scratch, Shared)>,
    /// Floats between neighbouring pixels, rows and images.
    pub(super) pixel: usize,
    pub(super) row: usize,
    image: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(plan: &Plan, values: &'a [f32]) -> Self {
        let aliased = plan.c_source.is_multiple_of(ALIASING);
        let pixel = plan.c_source + if aliased { GAP } else { 0 };
        let row = plan.columns.source * pixel;
        Self {
            values,
            copy: aliased.then(|| moved_apart(values, plan, pixel)),
            pixel,
            row,
            image: plan.rows.source * row,
        }
    }

    pub(super) fn start(&self) -> *const f32 {
        match &self.copy {
            // SAFETY: it is the start of the buffer.
            Some((_, start)) => unsafe { start.at(0) },
            None => self.values.as_ptr(),
        }
    }

    /// Where a pixel begins.
    pub(super) fn place(&self, image: usize, row: usize, column: usize) -> usize {
        image * self.image + row * self.row + column * self.pixel
    }
}

/// A copy of the values whose pixels are `pixel` floats apart.
fn moved_apart(values: &[f32], plan: &Plan, pixel: usize) -> (Scratch, Shared) {
    let channels = plan.c_source;
    let columns = plan.columns.source;
    let rows = plan.batch * plan.rows.source;
    let mut copy = Scratch::take(rows * columns * pixel);
    let start = Shared::new(copy.as_mut_ptr());
    parallel::for_each(rows, |row| {
        let from = &values[row * columns * channels..][..columns * channels];
        for (column, from) in from.chunks_exact(channels).enumerate() {
            // SAFETY: the copy has room for every pixel, and each row is one task's.
            unsafe {
                let to = start.at((row * columns + column) * pixel);
                to.copy_from_nonoverlapping(from.as_ptr(), channels);
            }
        }
    });
    (copy, start)
}
