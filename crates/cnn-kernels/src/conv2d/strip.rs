//! The part of the source that a block of output rows reads: the source itself where that is
//! possible, else a copy with its padding.
#![allow(unsafe_code)]

use std::ops::Range;

use crate::conv2d::joined::SourcePart;
use crate::conv2d::plan::Plan;
use crate::machine::scratch::Scratch;

/// Floats between pixels of which more than a few fall into the same set of the first-level cache:
/// 4 KiB.
pub(super) const ALIASING: usize = 1024;

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
        Self::new(plan, false)
    }

    /// Of a plan that reads these maps as one.
    pub(crate) fn of_parts(plan: &Plan, parts: &[SourcePart]) -> Self {
        Self::new(plan, SourcePart::alone(parts).is_none())
    }

    fn new(plan: &Plan, joined: bool) -> Self {
        let aliased = plan.c_source.is_multiple_of(ALIASING);
        let copied = joined || aliased || !plan.stays_inside();
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
    pub(crate) fn new(
        plan: &Plan,
        layout: &Layout,
        source: &[SourcePart],
        block: Range<usize>,
    ) -> Self {
        match SourcePart::alone(source) {
            Some(source) if !layout.copied => Self::direct(plan, layout, source, block),
            _ => Self::copied(plan, layout, source, block),
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

    fn copied(plan: &Plan, layout: &Layout, source: &[SourcePart], block: Range<usize>) -> Self {
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
            for (line, row) in window.enumerate() {
                let inside = usize::try_from(row)
                    .ok()
                    .filter(|&row| row < plan.rows.source);
                let row = inside.map(|row| (image, row));
                // SAFETY: the section has `window.len()` lines of `layout.row` floats, all within
                // the `floats` taken.
                unsafe {
                    let to = start.add(offset + line * layout.row);
                    copy_row(plan, layout, source, row, to);
                }
            }
        }
        Self {
            _copy: Some(copy),
            start,
            row_starts,
        }
    }
}

/// Copies one row of an image of the source with its padding; `None` is a row of padding.
///
/// # Safety
/// `to` is valid for `layout.row` floats.
unsafe fn copy_row(
    plan: &Plan,
    layout: &Layout,
    source: &[SourcePart],
    row: Option<(usize, usize)>,
    to: *mut f32,
) {
    let window = plan.columns.window(0..plan.columns.count());
    let inside = window.start.max(0)..window.end.min(plan.columns.source as isize);
    let (Some((image, row)), false) = (row, inside.is_empty()) else {
        // SAFETY: the caller's promise.
        return unsafe { to.write_bytes(0, layout.row) };
    };
    let left = (inside.start - window.start) as usize;
    let first = inside.start as usize;
    let pixels = inside.len();
    // SAFETY: left padding, the pixels inside, and right padding are together the window's
    // `layout.row` floats; the parts are all channels of a pixel.
    unsafe {
        to.write_bytes(0, left * layout.pixel);
        let mut to_part = to.add(left * layout.pixel);
        for part in source {
            let run = part.run(image, row, first, pixels);
            match run.filter(|_| layout.pixel == part.channels) {
                Some(run) => to_part.copy_from_nonoverlapping(run.as_ptr(), run.len()),
                None => {
                    for index in 0..pixels {
                        let pixel = part.pixel(image, row, first + index);
                        let to = to_part.add(index * layout.pixel);
                        to.copy_from_nonoverlapping(pixel.as_ptr(), pixel.len());
                    }
                }
            }
            to_part = to_part.add(part.channels);
        }
        let written = (left + pixels) * layout.pixel;
        to.add(written).write_bytes(0, layout.row - written);
    }
}
