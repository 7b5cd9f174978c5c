//! The part of the source that a block of output rows reads: the source itself where that is
//! possible, else a copy with its padding.
#![allow(unsafe_code)]

use std::ops::Range;

use crate::conv2d::plan::Plan;
use crate::machine::scratch::Scratch;

/// Floats between pixels of which more than a few fall into the same set of the first-level cache:
/// 4 KiB.
const ALIASING: usize = 1024;

/// How a plan's source is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Whether a block's part is copied first.
    pub(crate) copied: bool,
    /// Floats between neighbouring pixels and rows.
    pub(crate) pixel: usize,
    pub(crate) row: usize,
}

impl Layout {
    pub(crate) fn of(plan: &Plan) -> Self {
        let aliased = plan.c_source.is_multiple_of(ALIASING);
        let copied = aliased || !plan.stays_inside();
        let columns = plan.columns.window(0..plan.columns.count());
        let width = if copied {
            columns.len()
        } else {
            plan.columns.source
        };
        let pixel = plan.c_source + if aliased { 16 } else { 0 };
        Self {
            copied,
            pixel,
            row: width * pixel,
        }
    }

    /// Floats of the copy that a block of `rows` output rows of one image needs.
    pub(crate) fn floats(&self, plan: &Plan, rows: usize) -> usize {
        plan.rows.window(0..rows).len() * self.row
    }
}

/// The source of one block of output rows, counted over the whole batch.
pub(crate) struct Strip {
    _copy: Option<Scratch>,
    start: *const f32,
    /// Where the window of each output row begins, from `start`.
    row_starts: Vec<usize>,
}

impl Strip {
    pub(crate) fn new(plan: &Plan, layout: &Layout, source: &[f32], block: Range<usize>) -> Self {
        if layout.copied {
            Self::copied(plan, layout, source, block)
        } else {
            Self::direct(plan, layout, source, block)
        }
    }

    /// The first float of the strip.
    pub(crate) fn start(&self) -> *const f32 {
        self.start
    }

    /// Where the window of the `row`th output row of the block begins: what the taps with the least
    /// shifts read for its first pixel.
    pub(crate) fn row_start(&self, row: usize) -> usize {
        self.row_starts[row]
    }

    fn direct(plan: &Plan, layout: &Layout, source: &[f32], block: Range<usize>) -> Self {
        let rows = plan.rows.window(0..1);
        let columns = plan.columns.window(0..1);
        let row_start = |(image, t): (usize, usize)| {
            (image * plan.rows.source + t * plan.rows.step + rows.start as usize) * layout.row
                + columns.start as usize * layout.pixel
        };
        Self {
            _copy: None,
            start: source.as_ptr(),
            row_starts: plan.places(block).map(row_start).collect(),
        }
    }

    fn copied(plan: &Plan, layout: &Layout, source: &[f32], block: Range<usize>) -> Self {
        let per_image = plan.rows.count();
        let mut sections = Vec::new();
        let mut row_starts = Vec::with_capacity(block.len());
        let mut floats = 0;
        let mut row = block.start;
        while row < block.end {
            let image = row / per_image;
            let t = row % per_image;
            let rows = (per_image - t).min(block.end - row);
            row_starts.extend((0..rows).map(|row| floats + row * plan.rows.step * layout.row));
            sections.push((image, plan.rows.window(t..t + rows), floats));
            floats += layout.floats(plan, rows);
            row += rows;
        }
        let mut copy = Scratch::take(floats);
        let start = copy.as_mut_ptr();
        for (image, window, offset) in sections {
            let image = &source[image * plan.rows.source * plan.columns.source * plan.c_source..];
            for (line, row) in window.enumerate() {
                let inside = usize::try_from(row)
                    .ok()
                    .filter(|&row| row < plan.rows.source);
                let row = inside.map(|row| &image[row * plan.columns.source * plan.c_source..]);
                // SAFETY: the section has `window.len()` lines of `layout.row` floats, all within
                // the `floats` taken.
                unsafe { copy_row(plan, layout, row, start.add(offset + line * layout.row)) };
            }
        }
        Self {
            _copy: Some(copy),
            start,
            row_starts,
        }
    }
}

/// Copies one row of the source with its padding; `None` is a row of padding.
///
/// # Safety
/// `to` is valid for `layout.row` floats.
unsafe fn copy_row(plan: &Plan, layout: &Layout, row: Option<&[f32]>, to: *mut f32) {
    let window = plan.columns.window(0..plan.columns.count());
    let inside = window.start.max(0)..window.end.min(plan.columns.source as isize);
    let (Some(row), false) = (row, inside.is_empty()) else {
        // SAFETY: the caller's promise.
        return unsafe { to.write_bytes(0, layout.row) };
    };
    let left = (inside.start - window.start) as usize;
    let pixels = inside.len();
    let from = &row[inside.start as usize * plan.c_source..][..pixels * plan.c_source];
    // SAFETY: left padding, the pixels inside, and right padding are together the window's
    // `layout.row` floats.
    unsafe {
        to.write_bytes(0, left * layout.pixel);
        let first = to.add(left * layout.pixel);
        if layout.pixel == plan.c_source {
            first.copy_from_nonoverlapping(from.as_ptr(), from.len());
        } else {
            for (index, pixel) in from.chunks_exact(plan.c_source).enumerate() {
                first
                    .add(index * layout.pixel)
                    .copy_from_nonoverlapping(pixel.as_ptr(), pixel.len());
            }
        }
        let written = (left + pixels) * layout.pixel;
        to.add(written).write_bytes(0, layout.row - written);
    }
}
